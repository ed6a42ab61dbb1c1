"""Numbers as vectors: what a network needs to see steps and waves in a single column, as trees do."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf


@keras.saving.register_keras_serializable(package="pipeline")
class PiecewiseLinear(keras.layers.Layer):
    """Piecewise-linear encoding of numbers by their quantile bins.

    Value x of a feature with edges b_0 < ... < b_T becomes T numbers: 1 for every bin below x, the part of
    the way through the bin that holds x, 0 for every bin above; linear beyond the outer edges. From Gorishniy,
    Rubachev and Babenko, "On Embeddings for Numerical Features in Tabular Deep Learning" (NeurIPS 2022).

    Args:
      edges: for each feature its increasing edges; none for a feature to leave out.

    Call with float32 [rows, at least len(edges)]; returns float32 [rows, total number of bins].

    Example:
      >>> PiecewiseLinear([[0.0, 1.0, 3.0]])(np.array([[2.0]], "float32")).numpy().tolist()
      [[1.0, 0.5]]
    """

    stays_in_float32 = True

    def __init__(self, edges: Sequence[Sequence[float]], **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.edges = [list(feature) for feature in edges]
        widths = [np.diff(np.asarray(feature, np.float64)) for feature in self.edges]
        nothing = np.empty(0)
        # One long row of bins over all features: a gather and five elementwise operations, no loop.
        self._feature = np.repeat(np.arange(len(widths)), [len(width) for width in widths]).astype(np.int32)
        self._lower = np.concatenate([nothing, *(feature[:-1] for feature in self.edges)]).astype(np.float32)
        self._inverse = np.concatenate([nothing, *(1.0 / width for width in widths)]).astype(np.float32)
        first, last = (np.zeros(len(self._feature), bool) for _ in range(2))
        ends = np.cumsum([len(width) for width in widths])
        first[[end - len(width) for end, width in zip(ends, widths, strict=True) if len(width)]] = True
        last[[end - 1 for end, width in zip(ends, widths, strict=True) if len(width)]] = True
        self._smallest = np.where(first, -np.float32(np.inf), 0).astype(np.float32)
        self._largest = np.where(last, np.float32(np.inf), 1).astype(np.float32)

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Encodes a batch."""
        position = (keras.ops.take(x, self._feature, axis=1) - self._lower) * self._inverse
        return keras.ops.minimum(keras.ops.maximum(position, self._smallest), self._largest)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, int]:
        """[rows, total number of bins]."""
        return (input_shape[0], len(self._feature))

    def get_config(self) -> dict[str, object]:
        """Its arguments, for serialization."""
        return {**super().get_config(), "edges": self.edges}


class _Embedding(keras.layers.Layer):
    """What the embeddings of numbers share: float32 [rows, numbers] -> [rows, num_embedded * width].

    The layer works in float32 under every policy: beyond a number's third digit bfloat16 has nothing.
    """

    num_embedded: int
    width: int
    stays_in_float32 = True

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, int]:
        """[rows, num_embedded * width]."""
        return (input_shape[0], self.num_embedded * self.width)


@keras.saving.register_keras_serializable(package="pipeline")
class PiecewiseEmbedding(_Embedding):
    """A trained piecewise-linear curve of each number: a vector for every quantile edge, and lines in between.

    It equals a `PiecewiseLinear` encoding of every feature followed by a linear layer of its own, plus a linear layer
    of the plain number (the version of TabM: Gorishniy, Kotelnikov and Babenko, "TabM: Advancing Tabular Deep Learning
    with Parameter-Efficient Ensembling", ICLR 2025), but is computed by looking up the bin that holds the number: the
    sum of the weights of all bins below is a running sum over the weights, the same for all rows. That takes `width`
    operations for each number of a row, where the encoding takes `bins * width`.

    Args:
      edges: for each feature its increasing edges; for a feature without, the line alone.
      width: of a vector.

    Call with float32 [rows, at least len(edges)]; returns float32 [rows, len(edges) * width].

    Example:
      >>> PiecewiseEmbedding([[0.0, 1.0, 3.0], []], 4)(np.zeros((5, 2), "float32")).shape
      TensorShape([5, 8])
    """

    def __init__(self, edges: Sequence[Sequence[float]], width: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.edges, self.width = [list(feature) for feature in edges], width
        self.num_embedded = len(self.edges)
        self.num_bins = max([1, *(len(feature) - 1 for feature in self.edges)])
        # Features with fewer bins are filled up with bins that no number reaches.
        lower = np.full((self.num_embedded, self.num_bins), np.inf, np.float32)
        inverse = np.zeros((self.num_embedded, self.num_bins), np.float32)
        for place, feature in enumerate(self.edges):
            bins = len(feature) - 1
            if bins > 0:
                lower[place, :bins] = feature[:-1]
                inverse[place, :bins] = 1.0 / np.diff(np.asarray(feature, np.float64))
        self._inner = np.ascontiguousarray(lower[:, 1:])
        self._lower = np.where(np.isfinite(lower), lower, 0).astype(np.float32).reshape(-1)
        self._inverse = inverse.reshape(-1)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the weights; those of the bins are 0, so that every curve begins as a line."""
        shape = (self.num_embedded, self.width)
        # An initializer of its own for each: one that is asked twice gives the same numbers again.
        self.slope, self.bias = (
            self.add_weight(shape=shape, initializer=keras.initializers.RandomUniform(-1.0, 1.0), name=name)
            for name in ("slope", "bias")
        )
        bins = (self.num_embedded, self.num_bins, self.width)
        self.bins = self.add_weight(shape=bins, initializer="zeros", name="bins")

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Embeds a batch."""
        x = x[:, : self.num_embedded]
        weights = keras.ops.convert_to_tensor(self.bins)
        below = tf.reshape(tf.cumsum(weights, axis=1, exclusive=True), [-1, self.width])
        if self.num_bins > 1:
            bin_ = tf.transpose(tf.searchsorted(tf.constant(self._inner), tf.transpose(x), side="right"))
        else:
            bin_ = tf.zeros(tf.shape(x), tf.int32)
        place = bin_ + tf.range(self.num_embedded, dtype=tf.int32) * self.num_bins
        part = (x - tf.gather(self._lower, place)) * tf.gather(self._inverse, place)
        curve = tf.gather(below, place) + part[..., tf.newaxis] * tf.gather(
            tf.reshape(weights, [-1, self.width]), place
        )
        found = curve + x[..., tf.newaxis] * self.slope + self.bias
        return tf.reshape(found, [-1, self.num_embedded * self.width])

    def get_config(self) -> dict[str, object]:
        """Its arguments, for serialization."""
        return {**super().get_config(), "edges": self.edges, "width": self.width}


@keras.saving.register_keras_serializable(package="pipeline")
class PeriodicEmbedding(_Embedding):
    """Trained sines and cosines of each number, a linear layer of their own for every feature, and ReLU.

    The PLR embedding of Gorishniy, Rubachev and Babenko (NeurIPS 2022), cited at `PiecewiseLinear`.

    Args:
      num_embedded: how many of the leading numbers are embedded.
      width: of a vector.
      frequencies: of each number.
      scale: standard deviation of the frequencies at the start, in waves for each standard deviation of the number.

    Call with float32 [rows, at least num_embedded]; returns float32 [rows, num_embedded * width].

    Example:
      >>> PeriodicEmbedding(2, 4)(np.zeros((5, 3), "float32")).shape
      TensorShape([5, 8])
    """

    def __init__(
        self, num_embedded: int, width: int, frequencies: int = 32, scale: float = 0.3, **kwargs: object
    ) -> None:
        super().__init__(**kwargs)
        self.num_embedded, self.width, self.frequencies, self.scale = num_embedded, width, frequencies, scale

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the frequencies and the weights."""
        waves = (self.num_embedded, self.frequencies)
        self.waves = self.add_weight(
            shape=waves, initializer=keras.initializers.RandomNormal(0.0, self.scale), name="waves"
        )
        bound = 1 / math.sqrt(2 * self.frequencies)
        shapes: dict[str, tuple[int, ...]] = {"kernel": (self.num_embedded, 2 * self.frequencies, self.width)}
        shapes["bias"] = (self.num_embedded, self.width)
        self.kernel, self.bias = (
            self.add_weight(shape=shape, initializer=keras.initializers.RandomUniform(-bound, bound), name=name)
            for name, shape in shapes.items()
        )

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Embeds a batch."""
        ops = keras.ops
        angles = 2 * math.pi * x[:, : self.num_embedded, None] * self.waves
        both = ops.concatenate([ops.cos(angles), ops.sin(angles)], axis=-1)
        found = ops.relu(ops.einsum("rfw,fwd->rfd", both, self.kernel) + self.bias)
        return ops.reshape(found, (-1, self.num_embedded * self.width))

    def get_config(self) -> dict[str, object]:
        """Its arguments, for serialization."""
        own = ("num_embedded", "width", "frequencies", "scale")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}
