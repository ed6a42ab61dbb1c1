"""The multilayer perceptron for tables and for text."""

from __future__ import annotations

import keras

from pipeline.errors import ConfigError
from pipeline.models.embeddings import embed_columns, inputs
from pipeline.models.pixels import normalize_pixels
from pipeline.models.regularization import dropout as drop
from pipeline.models.regularization import kernel
from pipeline.spec import Spec

_WIDTH, _DEPTH = 256, 2


def mlp(
    spec: Spec,
    *,
    width: int = _WIDTH,
    depth: int = _DEPTH,
    units: tuple[int, ...] | None = None,
    dropout: float = 0.1,
    l1: float = 0.0,
    l2: float = 0.0,
    piecewise: bool = True,
) -> keras.Model:
    """Dense layers with ReLU over all features, each of them embedded first.

    Numbers are embedded by their quantiles, categories, tags and the words of texts by trained vectors.

    Args:
      spec: what the data look like. An image is taken as its pixels.
      width: units of each hidden layer.
      depth: hidden layers.
      units: of each hidden layer, where they differ; in place of width and depth.
      dropout: rate after each hidden layer.
      l1, l2: penalties on every kernel.
      piecewise: whether numbers also come as a piecewise-linear encoding; False is the plain MLP.

    Returns:
      An uncompiled model from features (see `Spec`) to logits, float32 [rows, spec.num_outputs].

    Raises:
      ConfigError: a rate or a penalty is out of range, or there are units beside a width or a depth.

    Example:
      >>> mlp(Spec("binary", 2, num_numeric=3), width=8).output_shape
      (None, 1)
      >>> mlp(Spec("binary", 2, num_numeric=3), units=(16, 8)).get_layer("hidden_1").units
      8
    """
    layers = _units(width, depth, units)
    features = inputs(spec)
    parts = embed_columns(features, spec, piecewise=piecewise)
    if "image" in features:
        parts.append(keras.layers.Flatten()(normalize_pixels(features["image"], spec)))
    x = keras.layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
    for layer, size in enumerate(layers):
        x = keras.layers.Dense(
            size,
            activation="relu",
            kernel_initializer="he_normal",
            kernel_regularizer=kernel(l1, l2),
            name=f"hidden_{layer}",
        )(x)
        x = drop(x, dropout)
    output = keras.layers.Dense(spec.num_outputs, kernel_regularizer=kernel(l1, l2), name="output")(x)
    return keras.Model(features, output, name="mlp")


def _units(width: int, depth: int, units: tuple[int, ...] | None) -> tuple[int, ...]:
    """Of each hidden layer, by one of the two ways to say it."""
    if units is None:
        return (width,) * depth
    if (width, depth) != (_WIDTH, _DEPTH):
        raise ConfigError(
            f'"model.units" is {list(units)} beside a width of {width} and a depth of {depth}.',
            expected="units, or width and depth",
        )
    if min(units, default=1) < 1:
        raise ConfigError(f'"model.units" is {list(units)}.', expected="numbers of at least 1")
    return tuple(units)
