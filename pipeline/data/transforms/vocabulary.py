"""Categories to indices, with a place for what is missing and one for what train never showed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.data.kinds import Kind
from pipeline.data.missing import MISSING

if TYPE_CHECKING:
    import tensorflow as tf

MISSING_INDEX, UNKNOWN_INDEX, FIRST_INDEX = 0, 1, 2
# Different values of a column that are counted exactly; beyond, those seen once are forgotten from time to time.
_COUNTED = 1_000_000


@dataclass
class CountLearner:
    """How often each category occurs.

    Attributes:
      counts: of categories; missing ones left out.
      num_rows: rows seen, missing ones included.
      num_missing: rows without a category.

    Example:
      >>> learner = CountLearner()
      >>> learner.add(pa.array(["a", None, "a"]))
      >>> learner.counts, learner.num_rows, learner.num_missing
      (Counter({'a': 2}), 3, 1)
    """

    counts: Counter[str] = field(default_factory=Counter)
    num_rows: int = 0
    num_missing: int = 0

    def add(self, column: pa.Array) -> None:
        """Takes text [rows], as it is or as a dictionary."""
        self.num_rows += len(column)
        self.num_missing += column.null_count
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        codes = np.asarray(column.indices.drop_null())
        counts = np.bincount(codes, minlength=len(column.dictionary)).tolist()
        found = zip(column.dictionary.to_pylist(), counts, strict=True)
        self.counts.update({text: count for text, count in found if count and text is not None})
        if len(self.counts) > _COUNTED:  # an identifier: what is seen once is in no vocabulary anyway
            self.counts = Counter({value: count for value, count in self.counts.items() if count > 1})

    def most_common(self, max_size: int, min_count: int) -> tuple[str, ...]:
        """At most so many categories that were seen so often: by falling frequency, ties by the alphabet."""
        ordered = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
        return tuple(token for token, count in ordered[:max_size] if count >= min_count)


@dataclass(frozen=True)
class Vocabulary:
    """Learns the categories.

    Args:
      max_size: at most so many, the most frequent ones.
      min_count: a category seen less often counts as unknown; so the place of the unknown is trained, too.
    """

    max_size: int = 10_000
    min_count: int = 2
    kinds: ClassVar[tuple[Kind, ...]] = ("categorical",)

    def learner(self) -> CountLearner:
        """What must see train."""
        return CountLearner()

    def fit(self, learner: CountLearner) -> FittedVocabulary:
        """From the categories of train; ties are broken by the alphabet."""
        return FittedVocabulary(learner.most_common(self.max_size, self.min_count))


@dataclass(frozen=True)
class FittedVocabulary:
    """0 for missing, 1 for unknown, from 2 the tokens by falling frequency."""

    tokens: tuple[str, ...]
    part: ClassVar[str] = "categorical"
    dtype: ClassVar[str] = "string"

    @property
    def size(self) -> int:
        """The number of indices."""
        return FIRST_INDEX + len(self.tokens)

    def __call__(self, values: pa.Array) -> np.ndarray:
        """Encodes a column of normalized text, as it is or as a dictionary: int32 [rows, 1]."""
        return by_distinct(values, self._indices)

    def _indices(self, values: pa.Array) -> np.ndarray:
        found = pc.index_in(values, value_set=pa.array(self.tokens, pa.string()), skip_nulls=True)
        known = np.asarray(pc.fill_null(found, -1), np.int32)
        indices = np.where(known < 0, UNKNOWN_INDEX, known + FIRST_INDEX)
        indices[np.asarray(values.is_null())] = MISSING_INDEX
        return indices.astype(np.int32)

    def layer(self) -> Any:
        """The same in TensorFlow, raw text included: string [rows] -> int32 [rows, 1]."""
        import tensorflow as tf

        # Missing spellings are entries too, so that one lookup answers all three cases.
        keys = [*MISSING, *self.tokens]
        values = [MISSING_INDEX] * len(MISSING) + list(range(FIRST_INDEX, self.size))
        entries = tf.lookup.KeyValueTensorInitializer(tf.constant(keys), tf.constant(values, tf.int32))

        class Layer(tf.Module):
            """The serving form; the table is an attribute, so that a SavedModel takes it along."""

            def __init__(_) -> None:
                super().__init__()
                _.table = tf.lookup.StaticHashTable(entries, default_value=UNKNOWN_INDEX)

            def __call__(_, values: tf.Tensor) -> tf.Tensor:
                return _.table.lookup(tf.strings.strip(values))[:, tf.newaxis]

        return Layer()


def by_distinct(values: pa.Array, indices_of: Callable[[pa.Array], np.ndarray]) -> np.ndarray:
    """The index of each row, int32 [rows, 1]; of a dictionary each distinct value is looked up once.

    Args:
      values: text [rows], as it is or as a dictionary.
      indices_of: text [n] -> int32 [n], `MISSING_INDEX` for null.
    """
    if not pa.types.is_dictionary(values.type):
        return indices_of(values)[:, None]
    places = np.asarray(pc.fill_null(values.indices, -1))
    return np.append(indices_of(values.dictionary), np.int32(MISSING_INDEX))[places][:, None]
