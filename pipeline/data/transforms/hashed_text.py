"""Free text to the indices of its words and pairs of words, without a vocabulary."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.data.missing import MISSING
from pipeline.spec import Bag

if TYPE_CHECKING:
    import tensorflow as tf

# Letters with their accents, and digits; Arrow and TensorFlow both read it by RE2.
_WORD = r"[\pL\pM\pN]+"
_BETWEEN_WORDS = r"[^\pL\pM\pN]+"
# This share of the train texts fits whole; the few longer ones are cut, so that one essay makes no wide store.
_WHOLE_FRACTION = 0.99
# Words of so many texts are held as strings at once.
_CHUNK_ROWS = 8192


@dataclass(frozen=True)
class HashedText:
    """Learns how long texts are, and how many buckets they need.

    Args:
      max_words: a text is cut after so many words at the most.
      min_buckets, max_buckets: powers of two between which the number of buckets is chosen: about one for every two
        words of train, at which a collision rarely matters (Weinberger and others, "Feature Hashing for Large Scale
        Multitask Learning", ICML 2009).
    """

    max_words: int = 256
    min_buckets: int = 2**12
    max_buckets: int = 2**17

    def fit(self, lengths: Counter[int]) -> FittedHashedText:
        """From the counts of `count_words` over train.

        >>> HashedText().fit(Counter({3: 99, 1000: 1}))
        FittedHashedText(buckets=4096, words=3)
        """
        needed = sum(length * count for length, count in lengths.items()) // 2
        buckets = self.min_buckets
        while buckets < min(needed, self.max_buckets):
            buckets *= 2
        return FittedHashedText(buckets, min(max(_quantile(lengths, _WHOLE_FRACTION), 1), self.max_words))


def _quantile(lengths: Counter[int], fraction: float) -> int:
    """The smallest length that is enough for this share of the texts; 0 where there are none."""
    seen = 0
    for length, count in sorted(lengths.items()):
        seen += count
        if seen >= fraction * lengths.total():
            return length
    return 0


@dataclass(frozen=True)
class FittedHashedText:
    """The words of a text, then its pairs of neighboring words, each hashed into a bucket; 0 where there are no more.

    Text is put in lower case and split at everything that is neither a letter nor a digit of any script. Training and
    serving run the same TensorFlow operations.

    Attributes:
      buckets: number of indices, that of padding included.
      words: a text is cut after so many.
    """

    buckets: int
    words: int
    part: ClassVar[str] = "bags"
    dtype: ClassVar[str] = "string"

    @property
    def bag(self) -> Bag:
        """Its size and its slots: every word and every pair."""
        return Bag(self.buckets, 2 * self.words - 1)

    def __call__(self, values: pa.Array) -> np.ndarray:
        """Encodes a column of text (null where missing): int32 [rows, slots]."""
        import tensorflow as tf

        found = np.zeros((len(values), self.bag.slots), np.int32)
        texts = pc.fill_null(values, "")
        for start in range(0, len(values), _CHUNK_ROWS):
            chunk = tf.constant(texts[start : start + _CHUNK_ROWS].to_pylist(), tf.string)
            found[start : start + _CHUNK_ROWS] = self._hash(chunk).numpy()
        return found

    def layer(self) -> Any:
        """The same for raw text: string [rows] -> int32 [rows, slots]."""
        import tensorflow as tf

        class Layer(tf.Module):
            """The serving form."""

            def __call__(_, values: tf.Tensor) -> tf.Tensor:
                return self._hash(values)

        return Layer()

    def _hash(self, values: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        stripped = tf.strings.strip(values)
        missing = tf.reduce_any(stripped[:, tf.newaxis] == tf.constant(MISSING), axis=1)
        text = tf.strings.lower(tf.where(missing, "", stripped), encoding="utf-8")
        words = tf.strings.split(tf.strings.regex_replace(text, _BETWEEN_WORDS, " "))[:, : self.words]
        grams = tf.strings.ngrams(words, (1, 2), separator=" ")
        # 0 is left for padding.
        buckets = tf.cast(tf.strings.to_hash_bucket_fast(grams.flat_values, self.buckets - 1), tf.int32) + 1
        return grams.with_flat_values(buckets).to_tensor(0, shape=[None, self.bag.slots])


def count_words(values: pa.Array) -> Counter[int]:
    """How many texts have how many words; missing ones have none. Counters merge by `+`.

    >>> sorted(count_words(pa.array(["Where is it?", None, "Où?"])).items())
    [(0, 1), (1, 1), (3, 1)]
    """
    lengths, counts = np.unique(pc.fill_null(pc.count_substring_regex(values, _WORD), 0), return_counts=True)
    return Counter(dict(zip(lengths.tolist(), counts.tolist(), strict=True)))
