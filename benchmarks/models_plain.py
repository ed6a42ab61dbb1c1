"""The default models once more, as a good Keras user writes them down: the same layers, sizes and weights."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from pipeline.models.image_sizes import plan
from pipeline.spec import Spec

# Weights begin as ours do, so that the losses can be compared.
_HIDDEN = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
_LINE = keras.initializers.RandomUniform(-1.0, 1.0)


def table(spec: Spec, members: int, width: int = 256, depth: int = 3, dropout: float = 0.1) -> Any:
    """TabM: piecewise-linear encodings with a `Dense` for each column, and every row repeated for each member."""
    numeric = keras.Input((spec.num_numeric,), name="numeric")
    categorical = keras.Input((len(spec.vocabulary_sizes),), dtype="int32", name="categorical")
    parts = [_number(numeric[:, place : place + 1], edges) for place, edges in enumerate(spec.edges)]
    for column, size in enumerate(spec.vocabulary_sizes):
        parts.append(keras.layers.Embedding(size, min(64, round(1.6 * size**0.56)))(categorical[:, column]))
    x = _Views(members, [part.shape[-1] for part in parts])(keras.layers.Concatenate()(parts))
    for _ in range(depth):
        x = keras.layers.Dropout(dropout)(keras.layers.Dense(width, "relu", kernel_initializer=_HIDDEN.clone())(x))
    output = _Answers(spec.num_outputs)(x)
    return keras.Model({"numeric": numeric, "categorical": categorical}, output)


def text(spec: Spec, width: int, word_dropout: float = 0.5, gain: float = 10.0) -> Any:
    """An `Embedding`, the mean of the words that are there, and two `Dense`."""
    (bag,) = spec.bags
    words = keras.Input((bag.slots,), dtype="int32", name="bags")
    there = keras.layers.Dropout(word_dropout)(ops.cast(words != 0, "float32"))
    there = ops.cast(there > 0, "float32")
    vectors = keras.layers.Embedding(bag.size, width)(words)
    total = ops.sum(vectors * ops.expand_dims(there, -1), axis=1)
    x = gain * total / ops.sqrt(ops.maximum(ops.sum(there, axis=1, keepdims=True), 1.0))
    x = keras.layers.Dense(width, "relu", kernel_initializer="he_normal")(x)
    return keras.Model({"bags": words}, keras.layers.Dense(spec.num_outputs)(x))


def images(spec: Spec, dropout: float = 0.1) -> Any:
    """Residual blocks of `Conv2D`, `BatchNormalization` and `ReLU`, of the sizes that `convnet` chooses."""
    size = plan(spec)
    image = keras.Input(spec.image_shape, dtype="uint8", name="image")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    for stage in size.stem:
        x = keras.layers.ReLU()(_convolution(x, stage.channels, stride=2 if stage.halves else 1))
    for place, stage in enumerate(size.stages):
        for block in range(size.depth):
            x = _block(x, stage.channels, stage.halves and block == 0, dropout if place else 0.0)
    x = keras.layers.Dropout(dropout)(keras.layers.GlobalAveragePooling2D()(x))
    return keras.Model({"image": image}, keras.layers.Dense(spec.num_outputs)(x))


def ensemble_loss(label: Any, logits: Any) -> Any:
    """Each member's own cross-entropy of two classes, in the mean: int [rows], float [rows, members, 1] -> [rows]."""
    logits = ops.cast(logits[..., 0], "float32")
    label = ops.repeat(ops.cast(ops.reshape(label, (-1, 1)), "float32"), logits.shape[1], axis=1)
    return keras.losses.binary_crossentropy(label, logits, from_logits=True)


def _number(x: Any, edges: tuple[float, ...]) -> Any:
    """One column: float [rows, 1] -> [rows, 16]."""
    encoded = keras.layers.Dense(16, use_bias=False, kernel_initializer="zeros")(_Bins(edges)(x))
    line = keras.layers.Dense(16, kernel_initializer=_LINE.clone(), bias_initializer=_LINE.clone())(x)
    return keras.layers.Add()([encoded, line])


def _block(x: Any, channels: int, halves: bool, dropout: float) -> Any:
    inside = keras.layers.ReLU()(_convolution(x, channels, stride=2 if halves else 1))
    if dropout:
        inside = keras.layers.SpatialDropout2D(dropout)(inside)
    inside = _convolution(inside, channels)
    if halves:
        x = keras.layers.AveragePooling2D(2, padding="same")(x)
    if x.shape[-1] != channels:
        x = _convolution(x, channels, side=1)
    return keras.layers.ReLU()(keras.layers.Add()([x, inside]))


def _convolution(x: Any, channels: int, side: int = 3, stride: int = 1) -> Any:
    x = keras.layers.Conv2D(
        channels, side, strides=stride, padding="same", use_bias=False, kernel_initializer="he_normal"
    )(x)
    return keras.layers.BatchNormalization(momentum=0.9)(x)


class _Bins(keras.layers.Layer):
    """Piecewise-linear encoding of one column: float [rows, 1] -> [rows, bins]."""

    def __init__(self, edges: tuple[float, ...]) -> None:
        super().__init__()
        self.edges = edges

    def call(self, x: Any) -> Any:
        lower, upper = (ops.convert_to_tensor(part, x.dtype) for part in (self.edges[:-1], self.edges[1:]))
        part = (x - lower) / (upper - lower)
        if part.shape[-1] == 1:
            return part
        first = ops.minimum(part[:, :1], 1.0)
        last = ops.maximum(part[:, -1:], 0.0)
        return ops.concatenate([first, ops.clip(part[:, 1:-1], 0.0, 1.0), last], axis=1)


class _Views(keras.layers.Layer):
    """Each member's view of a row: float [rows, width] -> [rows, members, width]; it begins with a number a column."""

    def __init__(self, members: int, columns: list[int]) -> None:
        super().__init__()
        self.members, self.columns = members, columns

    def build(self, input_shape: Any) -> None:
        def draw(shape: tuple[int, ...], dtype: Any = None) -> Any:
            numbers = keras.random.normal((shape[0], len(self.columns)), dtype=dtype)
            return ops.repeat(numbers, np.asarray(self.columns), axis=1)

        self.scale = self.add_weight(shape=(self.members, input_shape[-1]), initializer=draw)

    def call(self, x: Any) -> Any:
        return ops.expand_dims(x, 1) * self.scale


class _Answers(keras.layers.Layer):
    """A `Dense` of its own for each member: float [rows, members, width] -> [rows, members, units]."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.units = units

    def build(self, input_shape: Any) -> None:
        _, members, width = input_shape
        self.kernel = self.add_weight(shape=(members, width, self.units), initializer=_HIDDEN.clone())
        self.bias = self.add_weight(shape=(members, self.units), initializer="zeros")

    def call(self, x: Any) -> Any:
        return ops.einsum("rmw,mwu->rmu", x, self.kernel) + self.bias
