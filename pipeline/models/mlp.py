"""The plain multilayer perceptron: the textbook's, to compare with, and the quickest to train."""

from __future__ import annotations

import keras

from pipeline.errors import ConfigError
from pipeline.models.dense import hidden_layers, output_layer
from pipeline.models.embeddings import NUMBER_WIDTH, Numbers, embed_all, inputs
from pipeline.models.regularization import Penalty
from pipeline.models.table_sizes import check_sizes
from pipeline.spec import Spec

_WIDTH, _DEPTH = 256, 2


def mlp(
    spec: Spec,
    *,
    width: int = _WIDTH,
    depth: int = _DEPTH,
    units: tuple[int, ...] | None = None,
    dropout: float = 0.1,
    l1: Penalty = 0.0,
    l2: Penalty = 0.0,
    proximal: bool = False,
    numbers: Numbers = "plain",
) -> keras.Model:
    """Dense layers with ReLU over all features side by side.

    Numbers come as they are; categories, tags and the words of texts by trained vectors.

    Args:
      spec: what the data look like. An image is taken as its pixels.
      width: units of each hidden layer.
      depth: hidden layers.
      units: of each hidden layer, where they differ; in place of width and depth.
      dropout: rate after each hidden layer.
      l1, l2: penalties on every kernel, or by kind of layer (hidden, output).
      proximal: whether l1 makes exact zeros, see `ProximalL1L2`.
      numbers: plain; or piecewise or periodic, see `embed_columns`.

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
    check_sizes(width=width, depth=depth)
    layers = _units(width, depth, units)
    features = inputs(spec)
    x = embed_all(features, spec, numbers=numbers, width=None if numbers == "piecewise" else NUMBER_WIDTH)
    x = hidden_layers(x, layers, dropout, l1, l2, proximal)
    output = output_layer(x, spec, l1, l2, proximal)
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
