"""Columns of several values a row to indices into one vocabulary."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.data.kinds import Kind
from pipeline.data.missing import MISSING
from pipeline.data.transforms.vocabulary import FIRST_INDEX, UNKNOWN_INDEX, CountLearner, Vocabulary
from pipeline.spec import Bag

if TYPE_CHECKING:
    import tensorflow as tf

PADDING_INDEX = 0


@dataclass
class TagLearner:
    """Counts of tags, and how many a row has at the most.

    Args:
      separator: of the column.
    """

    separator: str
    tags: CountLearner = field(default_factory=CountLearner)
    longest: int = 0

    def add(self, column: pa.Array) -> None:
        """Takes list<string> [rows]."""
        tags = split_tags(column, self.separator)
        self.tags.add(tags.flatten())
        self.longest = max([self.longest, *tags.value_lengths().to_pylist()])


@dataclass(frozen=True)
class Tags:
    """Learns the tags and how many a row has.

    Args:
      separator: between the tags of a row when serving, where a row is one string: `"jazz|live"`.
      max_size, min_count: see `Vocabulary`.
      max_slots: of a row's tags at most so many are kept, the first ones.
    """

    separator: str = "|"
    max_size: int = 10_000
    min_count: int = 2
    max_slots: int = 32
    kinds: ClassVar[tuple[Kind, ...]] = ("tags",)

    def learner(self) -> TagLearner:
        """What must see train."""
        return TagLearner(self.separator)

    def fit(self, learner: TagLearner) -> FittedTags:
        """From the tags of train."""
        tokens = Vocabulary(self.max_size, self.min_count).fit(learner.tags).tokens
        return FittedTags(tokens, min(max(learner.longest, 1), self.max_slots), self.separator)


@dataclass(frozen=True)
class FittedTags:
    """0 for padding, 1 for an unknown tag, from 2 the tokens by falling frequency; in the order of the row.

    Attributes:
      tokens: the tags that are known.
      slots: a row has so many places.
      separator: between tags when serving.
    """

    tokens: tuple[str, ...]
    slots: int
    separator: str
    part: ClassVar[str] = "bags"
    dtype: ClassVar[str] = "string"

    @property
    def bag(self) -> Bag:
        """Its size and its slots."""
        return Bag(FIRST_INDEX + len(self.tokens), self.slots)

    def __call__(self, values: pa.Array) -> np.ndarray:
        """Encodes a column of lists of text: int32 [rows, slots]. An empty list and a missing one are alike."""
        tags = split_tags(values, self.separator)
        lengths = tags.value_lengths().to_numpy()
        rows = np.repeat(np.arange(len(lengths)), lengths)
        places = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        found = pc.index_in(tags.flatten(), value_set=pa.array(self.tokens, pa.string()))
        indices = np.asarray(pc.fill_null(pc.add(found, FIRST_INDEX), UNKNOWN_INDEX), np.int32)
        encoded = np.full((len(lengths), self.slots), PADDING_INDEX, np.int32)
        kept = places < self.slots
        encoded[rows[kept], places[kept]] = indices[kept]
        return encoded

    def layer(self) -> Any:
        """The same in TensorFlow for tags joined by the separator: string [rows] -> int32 [rows, slots]."""
        import tensorflow as tf

        # Missing spellings are entries too: they are found, and left out.
        keys = [*MISSING, *self.tokens]
        values = [PADDING_INDEX] * len(MISSING) + list(range(FIRST_INDEX, FIRST_INDEX + len(self.tokens)))
        entries = tf.lookup.KeyValueTensorInitializer(tf.constant(keys), tf.constant(values, tf.int32))

        class Layer(tf.Module):
            """The serving form; the table is an attribute, so that a SavedModel takes it along."""

            def __init__(_) -> None:
                super().__init__()
                _.table = tf.lookup.StaticHashTable(entries, default_value=UNKNOWN_INDEX)

            def __call__(_, values: tf.Tensor) -> tf.Tensor:
                tags = tf.strings.split(values, self.separator)
                indices = tags.with_flat_values(_.table.lookup(tf.strings.strip(tags.flat_values)))
                present = tf.ragged.boolean_mask(indices, indices != PADDING_INDEX)
                return present.to_tensor(PADDING_INDEX, shape=[None, self.slots])

        return Layer()


def split_tags(values: pa.Array, separator: str = "|") -> pa.ListArray:
    """The tags of each row as serving will see them: stripped, without missing ones, split where they hold a separator.

    Args:
      values: list<string> [rows].
      separator: of the column.

    Returns:
      list<string> [rows], without nulls.

    Example:
      >>> split_tags(pa.array([["a", " b|c"], None, ["?", ""]])).to_pylist()
      [['a', 'b', 'c'], [], []]
    """
    lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy()
    whole = pa.ListArray.from_arrays(_offsets(lengths), pc.fill_null(pc.list_flatten(values), ""))
    pieces = pc.split_pattern(pc.binary_join(whole, separator), separator)
    tags = pc.ascii_trim_whitespace(pieces.flatten())
    present = pc.invert(pc.is_in(tags, value_set=pa.array(MISSING)))
    rows = np.repeat(np.arange(len(values)), pieces.value_lengths().to_numpy())
    kept = np.bincount(rows[np.asarray(present, bool)], minlength=len(values))
    return pa.ListArray.from_arrays(_offsets(kept), tags.filter(present))


def _offsets(lengths: np.ndarray) -> pa.Array:
    return pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
