"""Free text to the indices of its words in a vocabulary that is learnt on train, in the order of the text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, get_args

import numpy as np
import pyarrow as pa

from pipeline.data.kinds import Kind
from pipeline.data.transforms.gram_counts import GramCounts
from pipeline.data.transforms.grams import Grams, Unit, encode_texts, sizes_of, whole_length
from pipeline.data.transforms.ranges import check_choice, check_range
from pipeline.data.transforms.vocabulary import FIRST_INDEX, UNKNOWN_INDEX
from pipeline.spec import Bag

if TYPE_CHECKING:
    import tensorflow as tf

PADDING_INDEX = 0


@dataclass(frozen=True)
class Tokenize:
    """Learns the words, and how long texts are.

    Args:
      unit: what a token is: "words" or "characters".
      ngrams: how many neighboring units make one token: a number for all sizes up to it, or a list of sizes.
      max_size: at most so many tokens, the most frequent ones.
      min_count: a token seen less often counts as unknown; so the place of the unknown is trained, too.
      max_length: a text is cut after so many units at the most.

    Raises:
      ConfigError: an argument is out of range.

    Example:
      >>> learner = Tokenize().learner()
      >>> learner.add(pa.array(["to be or not to be", "to go"]))
      >>> fitted = Tokenize().fit(learner)
      >>> fitted.tokens, fitted(pa.array(["To be, or to go!", None])).tolist()
      (('to', 'be'), [[2, 3, 1, 2, 1, 0], [0, 0, 0, 0, 0, 0]])
    """

    unit: Unit = "words"
    ngrams: int | tuple[int, ...] = 1
    max_size: int = 10_000
    min_count: int = 2
    max_length: int = 256
    kinds: ClassVar[tuple[Kind, ...]] = ("text",)

    def __post_init__(self) -> None:
        check_choice(self, "unit", get_args(Unit))
        sizes_of(self.ngrams)
        for name in ("max_size", "min_count", "max_length"):
            check_range(self, name, 1)

    def learner(self) -> GramCounts:
        """What it must see of train."""
        return GramCounts(Grams(self.unit, sizes_of(self.ngrams), self.max_length))

    def fit(self, learner: GramCounts) -> FittedTokenize:
        """From what was seen of train."""
        tokens = learner.most_frequent(self.max_size, self.min_count)
        return FittedTokenize(tokens, whole_length(learner.lengths, self.max_length), self.unit, sizes_of(self.ngrams))


@dataclass(frozen=True)
class FittedTokenize:
    """0 for padding, 1 for an unknown token, from 2 the tokens by falling frequency.

    The tokens of the first size come in the order of the text, then those of the next. Training and serving run the
    same TensorFlow operations.

    Attributes:
      tokens: that are known.
      length: a text is cut after so many units.
      unit, ngrams: see `Tokenize`.
    """

    tokens: tuple[str, ...]
    length: int
    unit: Unit
    ngrams: tuple[int, ...]
    part: ClassVar[str] = "bags"
    dtype: ClassVar[str] = "string"

    @property
    def bag(self) -> Bag:
        """Its size and its slots."""
        return Bag(FIRST_INDEX + len(self.tokens), self._grams.slots, ordered=self.ngrams == (1,))

    def __call__(self, column: pa.Array) -> np.ndarray:
        """Encodes a column of text (null where missing): int32 [rows, slots]."""
        return encode_texts(column, self._layer, self.bag.slots, "int32")

    def layer(self) -> Any:
        """The same for raw text: string [rows] -> int32 [rows, slots]."""
        import tensorflow as tf

        class Layer(tf.Module):
            """The serving form; the table is an attribute, so that a SavedModel takes it along."""

            def __init__(_) -> None:
                super().__init__()
                _.table = token_table(self.tokens, FIRST_INDEX, UNKNOWN_INDEX)

            def __call__(_, values: tf.Tensor) -> tf.Tensor:
                grams = self._grams(values)
                indices = grams.with_flat_values(_.table.lookup(grams.flat_values))
                return indices.to_tensor(PADDING_INDEX, shape=[None, self.bag.slots])

        return Layer()

    @property
    def _grams(self) -> Grams:
        return Grams(self.unit, self.ngrams, self.length)

    @cached_property
    def _layer(self) -> Any:
        return self.layer()


def token_table(tokens: tuple[str, ...], first: int, unknown: int) -> tf.lookup.StaticHashTable:
    """A table from tokens to int32: the first to `first`, the next to `first` + 1; any other to `unknown`."""
    import tensorflow as tf

    # No token is empty, but a table must not be: "" is an entry, too.
    keys, values = tf.constant(["", *tokens]), tf.constant([unknown, *range(first, first + len(tokens))], tf.int32)
    entries = tf.lookup.KeyValueTensorInitializer(keys, values)
    return tf.lookup.StaticHashTable(entries, default_value=unknown)
