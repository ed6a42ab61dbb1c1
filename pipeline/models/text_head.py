"""What stands beside a text and behind it, in every model for text."""

from __future__ import annotations

import keras

from pipeline.models.dense import hidden_layers, output_layer
from pipeline.models.embeddings import embed_columns
from pipeline.models.pixels import normalize_pixels
from pipeline.models.regularization import Penalty
from pipeline.models.regularization import dropout as drop
from pipeline.spec import Spec


def other_columns(features: dict[str, keras.KerasTensor], spec: Spec) -> list[keras.KerasTensor]:
    """All that is no bag as vectors, [rows, width] each; an image as its pixels.

    Args:
      features: of `inputs`.
      spec: of the same data.
    """
    found = embed_columns({name: part for name, part in features.items() if name != "bags"}, spec)
    if "image" in features:
        found.append(keras.layers.Flatten()(normalize_pixels(features["image"], spec)))
    return found


def head(
    parts: list[keras.KerasTensor],
    spec: Spec,
    *,
    units: tuple[int, ...],
    dropout: float,
    l1: Penalty,
    l2: Penalty,
    proximal: bool,
) -> keras.KerasTensor:
    """The logits: parts side by side, hidden layers with ReLU, and a linear one.

    Args:
      parts: [rows, width] each.
      spec: tells the number of outputs.
      units: of each hidden layer.
      dropout: rate after the parts, and after each hidden layer.
      l1, l2, proximal: see `regularization.kernel`.

    Returns:
      float32 [rows, spec.num_outputs].
    """
    x = drop(keras.layers.Concatenate()(parts) if len(parts) > 1 else parts[0], dropout)
    return output_layer(hidden_layers(x, units, dropout, l1, l2, proximal), spec, l1, l2, proximal)
