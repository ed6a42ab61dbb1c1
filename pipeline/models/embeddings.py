"""Columns of every kind as vectors, in front of a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import keras

from pipeline.errors import ConfigError
from pipeline.models.bags import embed_bags
from pipeline.models.numbers import PeriodicEmbedding, PiecewiseEmbedding, PiecewiseLinear
from pipeline.models.pixels import normalize_pixels
from pipeline.spec import Spec

# How a number is given to a network: as it is, by its quantile bins, or by sines.
Numbers = Literal["plain", "piecewise", "periodic"]
# Of the vector of a number, as TabM's authors chose it most often.
NUMBER_WIDTH = 16


def embed_categories(x: keras.KerasTensor, vocabulary_sizes: Sequence[int]) -> list[keras.KerasTensor]:
    """A trained vector for every category of every column: int32 [rows, columns] -> one [rows, width] a column.

    The width grows slowly with the vocabulary, 1.6 * size ** 0.56 up to 64, the rule of thumb that the fastai
    library measured.
    """
    return [
        keras.layers.Embedding(size, category_width(size), name=f"category_{column}")(x[:, column])
        for column, size in enumerate(vocabulary_sizes)
    ]


def category_width(size: int) -> int:
    """Of the vectors of a vocabulary of so many entries, see `embed_categories`."""
    return min(64, round(1.6 * size**0.56))


def embed_columns(
    features: dict[str, keras.KerasTensor],
    spec: Spec,
    *,
    numbers: Numbers = "piecewise",
    width: int | None = NUMBER_WIDTH,
) -> list[keras.KerasTensor]:
    """The vectors of all columns that are no images, [rows, width] each; none where there are no such columns.

    Args:
      features: of `inputs`.
      spec: of the same data.
      numbers: plain, piecewise (see `PiecewiseEmbedding`) or periodic (see `PeriodicEmbedding`).
      width: of the vector of a number; None: piecewise ones come as plain numbers beside the encoding itself.

    Raises:
      ConfigError: `numbers` is none of the three, or a width is below 1.
    """
    found = embed_numbers(features["numeric"], spec, numbers, width) if "numeric" in features else []
    if "categorical" in features:
        found += embed_categories(features["categorical"], spec.vocabulary_sizes)
    if "bags" in features:
        found += embed_bags(features["bags"], spec.bags)
    return found


def embed_numbers(x: keras.KerasTensor, spec: Spec, numbers: Numbers, width: int | None) -> list[keras.KerasTensor]:
    """The columns of `numeric` as vectors, see `embed_columns`; indicators and one-hot columns stay as they are."""
    if numbers not in get_args(Numbers):
        raise ConfigError(f'"model.numbers" is {numbers!r}.', expected=f"one of {', '.join(get_args(Numbers))}")
    if width is not None and width < 1:
        raise ConfigError(f'"model.embedding_width" is {width}.', expected="a whole number of 1 or more")
    num_embedded = len(spec.edges)
    if numbers == "plain" or num_embedded == 0:
        return [x]
    if numbers == "piecewise" and width is None:  # wide, but the textbook's form
        return [x, PiecewiseLinear(spec.edges, name="piecewise")(x)] if any(spec.edges) else [x]
    rest = [x[:, num_embedded:]] if spec.num_numeric > num_embedded else []
    if numbers == "piecewise":
        return [PiecewiseEmbedding(spec.edges, width or 0, name="piecewise")(x), *rest]
    return [PeriodicEmbedding(num_embedded, width or NUMBER_WIDTH, name="periodic")(x), *rest]


def embed_all(
    features: dict[str, keras.KerasTensor], spec: Spec, *, numbers: Numbers, width: int | None
) -> keras.KerasTensor:
    """All features as one vector, [rows, width]; an image as its pixels. See `embed_columns`."""
    parts = embed_columns(features, spec, numbers=numbers, width=width)
    if "image" in features:
        parts.append(keras.layers.Flatten()(normalize_pixels(features["image"], spec)))
    return keras.layers.Concatenate()(parts) if len(parts) > 1 else parts[0]


def column_widths(spec: Spec, *, numbers: Numbers, width: int, total: int) -> list[int]:
    """The width of the vector of every column in what `embed_all` gives; indicators and pixels count as columns.

    Args:
      spec, numbers, width: as in `embed_all`.
      total: width of all together.

    Example:
      >>> column_widths(Spec("binary", 2, num_numeric=3, edges=[[0.0, 1.0], []]), numbers="piecewise", width=4, total=9)
      [4, 4, 1]
    """
    embedded = 0 if numbers == "plain" else len(spec.edges)
    found = [width] * embedded + [1] * (spec.num_numeric - embedded)
    found += [category_width(size) for size in spec.vocabulary_sizes]
    return found + [1] * (total - sum(found))


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
