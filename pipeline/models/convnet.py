"""A small convolutional network for images of 8x8 up to some 200x200 pixels."""

from __future__ import annotations

import keras

from pipeline.errors import ConfigError
from pipeline.models.embeddings import embed_columns, inputs
from pipeline.models.pixels import normalize_pixels
from pipeline.models.regularization import dropout as drop
from pipeline.models.regularization import kernel
from pipeline.spec import Spec

# Blocks go on halving the image until its smaller side is at most this.
_SMALLEST_SIDE = 4
# From this size on the first convolution takes every second place: a quarter of the work, for detail that a
# network this small does not use.
_LARGE_SIDE = 48


def convnet(
    spec: Spec,
    *,
    width: int = 32,
    depth: int = 2,
    dropout: float = 0.1,
    l1: float = 0.0,
    l2: float = 0.0,
) -> keras.Model:
    """Blocks of 3x3 convolutions with BatchNorm and ReLU, each block half the size and up to twice the channels.

    Columns beside the image pass a hidden layer of their own, and one together with what the convolutions found.

    Args:
      spec: what the data look like; it must have an image.
      width: channels of the first block, doubled block by block up to four times.
      depth: convolutions in a block.
      dropout: rate of whole channels after each convolution of a block, of units after the last one and after each
        hidden layer.
      l1, l2: penalties on every kernel.

    Returns:
      An uncompiled model from features (see `Spec`) to logits, float32 [rows, spec.num_outputs].

    Raises:
      ConfigError: the data have no image, or a rate or a penalty is out of range.

    Example:
      >>> convnet(Spec("multiclass", 10, image_shape=(8, 8, 1)), width=4).output_shape
      (None, 10)
    """
    if spec.image_shape is None:
        raise ConfigError('"model.name" is convnet, but the data hold no image.', fix='Use model.name = "mlp".')
    features = inputs(spec)
    x = drop(_trunk(normalize_pixels(features["image"], spec), width, depth, dropout, l1, l2), dropout)
    columns = embed_columns(features, spec)
    if columns:
        beside = keras.layers.Concatenate()(columns) if len(columns) > 1 else columns[0]
        x = keras.layers.Concatenate()([x, _hidden(beside, 4 * width, dropout, l1, l2)])
        x = _hidden(x, 4 * width, dropout, l1, l2)
    output = keras.layers.Dense(spec.num_outputs, kernel_regularizer=kernel(l1, l2), name="output")(x)
    return keras.Model(features, output, name="convnet")


def _trunk(image: keras.KerasTensor, width: int, depth: int, dropout: float, l1: float, l2: float) -> keras.KerasTensor:
    """Normalized pixels, float32 [rows, height, width, channels] -> float32 [rows, channels of the last block]."""
    x, side = image, min(image.shape[1:3])
    if side >= _LARGE_SIDE:
        x = _convolution(x, width, l1, l2, stride=2)
        side //= 2
    channels = width
    while True:
        for _ in range(depth):
            x = drop(_convolution(x, channels, l1, l2), dropout, spatial=True)
        if side <= _SMALLEST_SIDE:
            break
        x = keras.layers.MaxPooling2D()(x)
        side //= 2
        channels = min(2 * channels, 4 * width)
    return keras.layers.GlobalAveragePooling2D()(x)


def _hidden(x: keras.KerasTensor, units: int, dropout: float, l1: float, l2: float) -> keras.KerasTensor:
    x = keras.layers.Dense(units, activation="relu", kernel_initializer="he_normal", kernel_regularizer=kernel(l1, l2))(
        x
    )
    return drop(x, dropout)


def _convolution(x: keras.KerasTensor, channels: int, l1: float, l2: float, stride: int = 1) -> keras.KerasTensor:
    x = keras.layers.Conv2D(
        channels,
        3,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        kernel_regularizer=kernel(l1, l2),
    )(x)
    x = keras.layers.BatchNormalization(momentum=0.9)(x)
    return keras.layers.ReLU()(x)
