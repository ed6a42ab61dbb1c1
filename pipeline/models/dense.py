"""Dense layers as every model here has them: hidden ones with ReLU and dropout, and the linear one that answers."""

from __future__ import annotations

import keras

from pipeline.models.regularization import Penalty, kernel
from pipeline.models.regularization import dropout as drop
from pipeline.spec import Spec


def hidden_layers(
    x: keras.KerasTensor, units: tuple[int, ...], dropout: float, l1: Penalty, l2: Penalty, proximal: bool
) -> keras.KerasTensor:
    """Dense layers with ReLU, named hidden_0, hidden_1, ...

    Args:
      x: [rows, width].
      units: of each layer.
      dropout: rate after each.
      l1, l2, proximal: see `regularization.kernel`.

    Returns:
      [rows, units of the last], or x itself.
    """
    for layer, size in enumerate(units):
        dense = keras.layers.Dense(
            size,
            activation="relu",
            kernel_initializer="he_normal",
            kernel_regularizer=kernel(l1, l2, "hidden", proximal),
            name=f"hidden_{layer}",
        )
        x = drop(dense(x), dropout)
    return x


def output_layer(x: keras.KerasTensor, spec: Spec, l1: Penalty, l2: Penalty, proximal: bool) -> keras.KerasTensor:
    """The logits of [rows, width]: [rows, spec.num_outputs], by a linear layer named output."""
    penalty = kernel(l1, l2, "output", proximal)
    return keras.layers.Dense(spec.num_outputs, kernel_regularizer=penalty, name="output")(x)
