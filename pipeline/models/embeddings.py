"""Columns of every kind as vectors, in front of a network."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from pipeline.models.bags import embed_bags
from pipeline.spec import Spec


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


def embed_categories(x: keras.KerasTensor, vocabulary_sizes: Sequence[int]) -> list[keras.KerasTensor]:
    """A trained vector for every category of every column: int32 [rows, columns] -> one [rows, width] a column.

    The width grows slowly with the vocabulary, 1.6 * size ** 0.56 up to 64, the rule of thumb that the fastai
    library measured.
    """
    return [
        keras.layers.Embedding(size, min(64, round(1.6 * size**0.56)), name=f"category_{column}")(x[:, column])
        for column, size in enumerate(vocabulary_sizes)
    ]


def embed_columns(
    features: dict[str, keras.KerasTensor], spec: Spec, *, piecewise: bool = True
) -> list[keras.KerasTensor]:
    """The vectors of all columns that are no images, [rows, width] each; none where there are no such columns.

    Args:
      features: of `inputs`.
      spec: of the same data.
      piecewise: whether numbers also come as a piecewise-linear encoding.
    """
    found = []
    if "numeric" in features:
        found.append(features["numeric"])
        if piecewise and any(spec.edges):
            found.append(PiecewiseLinear(spec.edges, name="piecewise")(features["numeric"]))
    if "categorical" in features:
        found += embed_categories(features["categorical"], spec.vocabulary_sizes)
    if "bags" in features:
        found += embed_bags(features["bags"], spec.bags)
    return found


def inputs(spec: Spec) -> dict[str, keras.KerasTensor]:
    """The Keras inputs of a model over the features of `spec`."""
    found = {}
    if spec.num_numeric:
        found["numeric"] = keras.Input((spec.num_numeric,), dtype="float32", name="numeric")
    if spec.vocabulary_sizes:
        found["categorical"] = keras.Input((len(spec.vocabulary_sizes),), dtype="int32", name="categorical")
    if spec.bags:
        found["bags"] = keras.Input((sum(bag.slots for bag in spec.bags),), dtype="int32", name="bags")
    if spec.image_shape:
        found["image"] = keras.Input(spec.image_shape, dtype="uint8", name="image")
    return found
