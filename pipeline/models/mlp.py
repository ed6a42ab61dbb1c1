"""The multilayer perceptron for tables and for text."""

from __future__ import annotations

import keras

from pipeline.models.embeddings import embed_columns, inputs
from pipeline.models.regularization import dropout as drop
from pipeline.models.regularization import kernel
from pipeline.spec import Spec


def mlp(
    spec: Spec,
    *,
    width: int = 256,
    depth: int = 2,
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
      dropout: rate after each hidden layer.
      l1, l2: penalties on every kernel.
      piecewise: whether numbers also come as a piecewise-linear encoding; False is the plain MLP.

    Returns:
      An uncompiled model from features (see `Spec`) to logits, float32 [rows, spec.num_outputs].

    Raises:
      ConfigError: a rate or a penalty is out of range.

    Example:
      >>> mlp(Spec("binary", 2, num_numeric=3), width=8).output_shape
      (None, 1)
    """
    features = inputs(spec)
    parts = embed_columns(features, spec, piecewise=piecewise)
    if "image" in features:
        pixels = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(features["image"])
        parts.append(keras.layers.Flatten()(pixels))
    x = keras.layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
    for layer in range(depth):
        x = keras.layers.Dense(
            width,
            activation="relu",
            kernel_initializer="he_normal",
            kernel_regularizer=kernel(l1, l2),
            name=f"hidden_{layer}",
        )(x)
        x = drop(x, dropout)
    output = keras.layers.Dense(spec.num_outputs, kernel_regularizer=kernel(l1, l2), name="output")(x)
    return keras.Model(features, output, name="mlp")
