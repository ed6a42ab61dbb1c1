"""Free text to the indices of its words and pairs of words, without a vocabulary."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, get_args

import numpy as np
import pyarrow as pa

from pipeline.data.kinds import Kind
from pipeline.data.transforms.grams import (
    Grams,
    Unit,
    count_units,
    encode_texts,
    sizes_of,
    whole_length,
)
from pipeline.data.transforms.ranges import check_choice, check_range
from pipeline.spec import Bag

if TYPE_CHECKING:
    import tensorflow as tf

_MOST_BUCKETS = 2**24


@dataclass(frozen=True)
class HashedText:
    """Learns how long texts are, and how many buckets they need.

    Args:
      unit: what is hashed: "words" or "characters".
      ngrams: how many neighboring units make one index: a number for all sizes up to it, or a list of sizes.
      buckets: how many indices there are, that of padding included; None: chosen.
      max_words: a text is cut after so many units at the most.
      min_buckets, max_buckets: powers of two between which the number of buckets is chosen: about one for every two
        units of train, at which a collision rarely matters (Weinberger and others, "Feature Hashing for Large Scale
        Multitask Learning", ICML 2009).

    Raises:
      ConfigError: an argument is out of range.

    Example:
      >>> learner = HashedText(buckets=1000).learner()
      >>> learner.add(pa.array(["Where is it?", None]))
      >>> HashedText(buckets=1000).fit(learner)
      FittedHashedText(buckets=1000, words=3, unit='words', ngrams=(1, 2))
    """

    unit: Unit = "words"
    ngrams: int | tuple[int, ...] = (1, 2)
    buckets: int | None = None
    max_words: int = 256
    min_buckets: int = 2**12
    max_buckets: int = 2**17
    kinds: ClassVar[tuple[Kind, ...]] = ("text",)

    def __post_init__(self) -> None:
        check_choice(self, "unit", get_args(Unit))
        sizes_of(self.ngrams)
        check_range(self, "max_words", 1)
        check_range(self, "buckets", 2, _MOST_BUCKETS)
        check_range(self, "max_buckets", 2, _MOST_BUCKETS)
        check_range(self, "min_buckets", 2, self.max_buckets)

    def learner(self) -> TextLengths:
        """What it must see of train."""
        return TextLengths(self.unit)

    def fit(self, learner: TextLengths) -> FittedHashedText:
        """From what was seen of train."""
        words = whole_length(learner.lengths, self.max_words)
        return FittedHashedText(self.buckets or self._needed(learner.lengths), words, self.unit, sizes_of(self.ngrams))

    def _needed(self, lengths: Counter[int]) -> int:
        needed = sum(length * count for length, count in lengths.items()) // 2
        buckets = self.min_buckets
        while buckets < min(needed, self.max_buckets):
            buckets *= 2
        return buckets


@dataclass
class TextLengths:
    """How many texts have how many units.

    Attributes:
      unit: what is counted.
      lengths: so far.
    """

    unit: Unit
    lengths: Counter[int] = field(default_factory=Counter)

    def add(self, column: pa.Array) -> None:
        """Sees some rows of train: text, null where missing."""
        self.lengths.update(count_units(column, self.unit))


@dataclass(frozen=True)
class FittedHashedText:
    """The words of a text, then its pairs of neighboring words, each hashed into a bucket; 0 where there are no more.

    What a word or a character is, `Grams` tells. Training and serving run the same TensorFlow operations.

    Attributes:
      buckets: number of indices, that of padding included.
      words: a text is cut after so many units.
      unit, ngrams: see `HashedText`.
    """

    buckets: int
    words: int
    unit: Unit = "words"
    ngrams: tuple[int, ...] = (1, 2)
    part: ClassVar[str] = "bags"
    dtype: ClassVar[str] = "string"

    @property
    def bag(self) -> Bag:
        """Its size and its slots: every word and every pair."""
        return Bag(self.buckets, self._grams.slots)

    def __call__(self, column: pa.Array) -> np.ndarray:
        """Encodes a column of text (null where missing): int32 [rows, slots]."""
        return encode_texts(column, self._hash, self.bag.slots, "int32")

    def layer(self) -> Any:
        """The same for raw text: string [rows] -> int32 [rows, slots]."""
        import tensorflow as tf

        class Layer(tf.Module):
            """The serving form."""

            def __call__(_, values: tf.Tensor) -> tf.Tensor:
                return self._hash(values)

        return Layer()

    @property
    def _grams(self) -> Grams:
        return Grams(self.unit, self.ngrams, self.words)

    def _hash(self, values: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        grams = self._grams(values)
        # 0 is left for padding.
        buckets = tf.cast(tf.strings.to_hash_bucket_fast(grams.flat_values, self.buckets - 1), tf.int32) + 1
        return grams.with_flat_values(buckets).to_tensor(0, shape=[None, self.bag.slots])
