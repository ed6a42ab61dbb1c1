"""A residual perceptron over embedded columns: one network, deeper than the plain one can be."""

from __future__ import annotations

import keras

from pipeline.models.dense import output_layer
from pipeline.models.embeddings import NUMBER_WIDTH, Numbers, embed_all, inputs
from pipeline.models.regularization import Penalty, kernel
from pipeline.models.regularization import dropout as drop
from pipeline.models.table_sizes import check_sizes
from pipeline.spec import Spec


def residual_mlp(
    spec: Spec,
    *,
    width: int = 192,
    depth: int = 3,
    expansion: float = 2.0,
    dropout: float = 0.1,
    l1: Penalty = 0.0,
    l2: Penalty = 0.0,
    proximal: bool = False,
    numbers: Numbers = "piecewise",
    embedding_width: int = NUMBER_WIDTH,
) -> keras.Model:
    """A linear layer, residual blocks, and a linear layer over all features side by side.

    A block is x + dense(dropout(relu(dense(norm(x))))): the ResNet for tables of Gorishniy, Rubachev, Khrulkov and
    Babenko, "Revisiting Deep Learning Models for Tabular Data" (NeurIPS 2021), with LayerNorm in place of BatchNorm, so
    that a row's answer in training does not depend on its batch.

    Args:
      spec: what the data look like. An image is taken as its pixels.
      width: of the path that the blocks add to.
      depth: blocks.
      expansion: units inside a block, as a multiple of the width.
      dropout: rate inside a block.
      l1, l2: penalties on every kernel, or by kind of layer (hidden, output).
      proximal: whether l1 makes exact zeros, see `ProximalL1L2`.
      numbers: piecewise, periodic or plain, see `embed_columns`.
      embedding_width: of the vector of a number, unless they are plain.

    Returns:
      An uncompiled model from features (see `Spec`) to logits, float32 [rows, spec.num_outputs].

    Raises:
      ConfigError: a size, a rate or a penalty is out of range.

    Example:
      >>> residual_mlp(Spec("multiclass", 3, num_numeric=3), width=8).output_shape
      (None, 3)
    """
    check_sizes(width=width, depth=depth)
    features = inputs(spec)

    def dense(x: keras.KerasTensor, units: int, name: str) -> keras.KerasTensor:
        penalty = kernel(l1, l2, "hidden", proximal)
        return keras.layers.Dense(units, kernel_initializer="he_normal", kernel_regularizer=penalty, name=name)(x)

    x = dense(embed_all(features, spec, numbers=numbers, width=embedding_width), width, "first")
    inner = max(round(expansion * width), 1)
    for block in range(depth):
        normed = keras.layers.LayerNormalization()(x)
        inside = keras.layers.ReLU()(dense(normed, inner, f"block_{block}_in"))
        x = keras.layers.Add()([x, dense(drop(inside, dropout), width, f"block_{block}_out")])
    x = keras.layers.ReLU()(keras.layers.LayerNormalization()(x))
    return keras.Model(features, output_layer(x, spec, l1, l2, proximal), name="residual_mlp")
