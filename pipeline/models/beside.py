"""The columns beside an image."""

from __future__ import annotations

import keras

from pipeline.models.embeddings import embed_columns
from pipeline.models.regularization import Penalty, kernel
from pipeline.models.regularization import dropout as drop
from pipeline.spec import Spec


def with_columns(
    x: keras.KerasTensor,
    features: dict[str, keras.KerasTensor],
    spec: Spec,
    units: int,
    dropout: float,
    l1: Penalty,
    l2: Penalty,
    proximal: bool,
) -> keras.KerasTensor:
    """What was found in an image, joined by its columns: they pass a hidden layer, and another one with the image.

    Args:
      x: float32 [rows, channels], of the image.
      features: of `inputs`.
      spec: of the same data; where it has no columns x is handed back.
      units: of both hidden layers.
      dropout: rate after each of them.
      l1, l2, proximal: penalties on their kernels.

    Returns:
      float32 [rows, units], or x itself.
    """
    columns = embed_columns(features, spec)
    if not columns:
        return x

    def hidden(values: keras.KerasTensor) -> keras.KerasTensor:
        penalty = kernel(l1, l2, "hidden", proximal)
        dense = keras.layers.Dense(units, activation="relu", kernel_initializer="he_normal", kernel_regularizer=penalty)
        return drop(dense(values), dropout)

    beside = hidden(keras.layers.Concatenate()(columns) if len(columns) > 1 else columns[0])
    return hidden(keras.layers.Concatenate()([x, beside]))
