"""Free text as a row of numbers: how much each known word stands out in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, get_args

import numpy as np
import pyarrow as pa

from pipeline.data.kinds import Kind
from pipeline.data.transforms.gram_counts import GramCounts
from pipeline.data.transforms.grams import Grams, Unit, encode_texts, sizes_of
from pipeline.data.transforms.ranges import check_choice, check_range
from pipeline.data.transforms.tokenize import token_table

if TYPE_CHECKING:
    import tensorflow as tf

# Squares of weights are added up as whole multiples of 2^-20, so that the sum is exact in whatever order a machine
# adds them. Texts of at most so many units keep it below 2^63.
_FRACTION = 2.0**20
_LONGEST = 2**14
_MOST_TOKENS = 2**16


@dataclass(frozen=True)
class TfIdf:
    """Learns the words, and in how many texts each occurs.

    A word's weight in a text is its count there times `ln((1 + n) / (1 + df)) + 1`, with n texts in train of which df
    hold it; the weights of a text are then divided by the square root of the sum of their squares. That is
    scikit-learn's `TfidfVectorizer` (Spärck Jones, "A Statistical Interpretation of Term Specificity and its
    Application in Retrieval", 1972).

    Args:
      unit: what a token is: "words" or "characters".
      ngrams: how many neighboring units make one token: a number for all sizes up to it, or a list of sizes.
      max_size: at most so many tokens, those that the most texts hold; a row takes 4 bytes for each.
      min_count: a token that fewer texts hold is left out.
      max_length: a text is cut after so many units.

    Raises:
      ConfigError: an argument is out of range.

    Example:
      >>> learner = TfIdf(min_count=1).learner()
      >>> learner.add(pa.array(["a b", "a c c", "a c"]))
      >>> fitted = TfIdf(min_count=1).fit(learner)
      >>> print(fitted.tokens, fitted(pa.array(["c a", "d"])).round(2))
      ('a', 'c', 'b') [[0.61 0.79 0.  ]
       [0.   0.   0.  ]]
    """

    unit: Unit = "words"
    ngrams: int | tuple[int, ...] = 1
    max_size: int = 1000
    min_count: int = 2
    max_length: int = _LONGEST
    kinds: ClassVar[tuple[Kind, ...]] = ("text",)

    def __post_init__(self) -> None:
        check_choice(self, "unit", get_args(Unit))
        sizes_of(self.ngrams)
        check_range(self, "max_size", 1, _MOST_TOKENS)
        check_range(self, "min_count", 1)
        check_range(self, "max_length", 1, _LONGEST)

    def learner(self) -> GramCounts:
        """What it must see of train."""
        return GramCounts(Grams(self.unit, sizes_of(self.ngrams), self.max_length), once_a_text=True)

    def fit(self, learner: GramCounts) -> FittedTfIdf:
        """From what was seen of train."""
        tokens = learner.most_frequent(self.max_size, self.min_count)
        held = np.asarray([learner.counts[token] for token in tokens], np.float64)
        weights = np.log((1 + learner.num_texts) / (1 + held)) + 1
        return FittedTfIdf(tokens, tuple(weights.tolist()), self.max_length, self.unit, sizes_of(self.ngrams))


@dataclass(frozen=True)
class FittedTfIdf:
    """The weight of each token, by falling frequency in train. Training and serving run the same TensorFlow operations.

    Attributes:
      tokens: that are known.
      weights: the inverse document frequency of each.
      length: a text is cut after so many units.
      unit, ngrams: see `TfIdf`.
    """

    tokens: tuple[str, ...]
    weights: tuple[float, ...]
    length: int
    unit: Unit
    ngrams: tuple[int, ...]
    part: ClassVar[str] = "numeric"
    dtype: ClassVar[str] = "string"
    lead: ClassVar[int] = 0

    @property
    def width(self) -> int:
        """Its columns: one for each token; one of zeros, where there are none."""
        return max(len(self.tokens), 1)

    def __call__(self, column: pa.Array) -> np.ndarray:
        """Encodes a column of text (null where missing): float32 [rows, width], each row of length 1 or 0."""
        return encode_texts(column, self._layer, self.width, "float32")

    def layer(self) -> Any:
        """The same for raw text: string [rows] -> float32 [rows, width]."""
        import tensorflow as tf

        grams = Grams(self.unit, self.ngrams, self.length)
        weights = np.asarray(self.weights or (0.0,), np.float64)
        squares = np.round(weights**2 * _FRACTION).astype(np.int64)

        class Layer(tf.Module):
            """The serving form; the table is an attribute, so that a SavedModel takes it along."""

            def __init__(_) -> None:
                super().__init__()
                # What is unknown lies beyond the last column, and is not counted.
                _.table = token_table(self.tokens, 0, self.width)

            def __call__(_, values: tf.Tensor) -> tf.Tensor:
                found = grams(values)
                places = found.with_flat_values(_.table.lookup(found.flat_values))
                counts = tf.math.bincount(places, minlength=self.width, maxlength=self.width, axis=-1, dtype=tf.int64)
                squared = tf.reduce_sum(counts * counts * tf.constant(squares), axis=1, keepdims=True)
                norm = tf.sqrt(tf.cast(squared, tf.float64) / _FRACTION)
                scaled = tf.math.divide_no_nan(tf.cast(counts, tf.float64) * tf.constant(weights), norm)
                return tf.ensure_shape(tf.cast(scaled, tf.float32), [None, self.width])

        return Layer()

    @cached_property
    def _layer(self) -> Any:
        return self.layer()
