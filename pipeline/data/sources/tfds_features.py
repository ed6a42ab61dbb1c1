"""The features of a TFDS data set as flat columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.data.kinds import Kind
from pipeline.errors import DataError, did_you_mean

# A tensor of one dimension becomes a column for every element, up to this many.
MAX_ELEMENTS = 256


@dataclass(frozen=True)
class Column:
    """One column of a TFDS data set.

    Attributes:
      name: the feature's, with dots where it is nested: `inner.x`; `box_0` is the first element of the tensor `box`.
      feature: the name of the feature that it comes from.
      kind: where the feature tells it, else None.
      type: of its values.
      value: finds it in a decoded example.
    """

    name: str
    feature: str
    kind: Kind | None
    type: pa.DataType
    value: Callable[[Mapping[str, Any]], Any]


def columns_of(features: Any, leave_out: Collection[str], dataset: str) -> list[Column]:
    """The columns of a data set, by the names of its features.

    `ClassLabel` is categorical, by name (-1, no label, is null); `Image` the encoded bytes; `Text` and other strings
    are strings; numbers are numbers and booleans "true" and "false"; tensors of one dimension are a column for every
    element; sequences of texts or class labels are lists. See
    https://www.tensorflow.org/datasets/api_docs/python/tfds/features

    Args:
      features: the `tfds.features.FeaturesDict`.
      leave_out: names of features, or of dicts of features, that become no columns.
      dataset: its name, for errors.

    Raises:
      DataError: `leave_out` names what does not exist, or a feature is none of these.
    """
    if not hasattr(features, "items"):
        raise DataError(f"{dataset} has no named features: {features}", expected="a tfds.features.FeaturesDict")
    leaves = list(_leaves(features, ()))
    parents = {".".join(path[:depth]) for path, _ in leaves for depth in range(1, len(path) + 1)}
    for name in leave_out:
        if name not in parents:
            raise DataError(
                f'{dataset} has no feature "{name}" to leave out.',
                expected=f"some of {', '.join(sorted(parents))}",
                fix=did_you_mean(name, parents).strip() or None,
            )
    columns: list[Column] = []
    unknown: dict[str, str] = {}
    for path, feature in leaves:
        if is_left_out(path, leave_out):
            continue
        found = _columns(path, feature)
        columns += found
        if not found:
            unknown[".".join(path)] = _described(feature)
    if unknown:
        listed = ", ".join(f'"{name}" ({what})' for name, what in unknown.items())
        raise DataError(
            f"{dataset} has features that cannot be columns: {listed}.",
            expected="numbers, booleans, texts, class labels, images of 8 bits, sequences of texts or of class labels, "
            f"tensors of one dimension with at most {MAX_ELEMENTS} elements",
            fix=f"source.leave_out = [{', '.join(chr(34) + name + chr(34) for name in (*leave_out, *unknown))}]",
        )
    twice = [name for name, count in Counter(column.name for column in columns).items() if count > 1]
    if twice:
        raise DataError(
            f'{dataset} has two features that would both be the column "{twice[0]}".',
            fix="Leave one of them out with source.leave_out.",
        )
    return columns


def kept(features: Any, leave_out: Collection[str], path: tuple[str, ...] = ()) -> tuple[Any, dict[str, Any]]:
    """The features that are not left out, and decoders for them that leave images encoded.

    Returns:
      A `tfds.features.FeaturesDict`, and decoders for its `deserialize_example_np`.
    """
    import tensorflow_datasets as tfds

    found: dict[str, Any] = {}
    decoders: dict[str, Any] = {}
    for name, feature in features.items():
        here = (*path, name)
        if is_left_out(here, leave_out):
            continue
        if type(feature) is tfds.features.FeaturesDict:
            feature, decoders[name] = kept(feature, leave_out, here)
        elif type(feature) is tfds.features.Image:
            decoders[name] = tfds.decode.SkipDecoding()
        found[name] = feature
    return tfds.features.FeaturesDict(found), {name: value for name, value in decoders.items() if value}


def is_left_out(path: tuple[str, ...], leave_out: Collection[str]) -> bool:
    """Whether a feature, or a dict around it, is listed.

    >>> is_left_out(("objects", "box"), ["objects"]), is_left_out(("image",), ["objects"])
    (True, False)
    """
    return any(".".join(path[: depth + 1]) in leave_out for depth in range(len(path)))


def _leaves(features: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    import tensorflow_datasets as tfds

    # By name: as read from features.json they come in any order.
    for name, feature in sorted(features.items()):
        if type(feature) is tfds.features.FeaturesDict:
            yield from _leaves(feature, (*path, name))
        else:
            yield (*path, name), feature


def _columns(path: tuple[str, ...], feature: Any) -> list[Column]:
    """The columns of one feature; none if it cannot be one. Types are compared exactly: an `Audio` is a `Tensor`."""
    import tensorflow_datasets as tfds

    known, name = tfds.features, ".".join(path)
    inner = getattr(feature, "feature", None) if type(feature) is known.Sequence else None

    def one(kind: Kind | None, of: pa.DataType, convert: Callable[[Any], Any]) -> list[Column]:
        return [Column(name, name, kind, of, lambda example: convert(_at(example, path)))]

    if type(feature) is known.Image:
        return one("image", pa.binary(), bytes) if np.dtype(feature.np_dtype) == np.uint8 else []
    if type(feature) is known.Text:
        return one("text", pa.string(), _text)
    if type(feature) is known.ClassLabel:
        return one("categorical", pa.string(), _namer(feature))
    if type(inner) in (known.Text, known.ClassLabel):
        element = _text if type(inner) is known.Text else _namer(inner)
        return one("tags", pa.list_(pa.string()), lambda values: [element(value) for value in values])
    if type(inner or feature) in (known.Tensor, known.Scalar, known.BBoxFeature):
        return _tensor(path, feature)
    return []


def _tensor(path: tuple[str, ...], feature: Any) -> list[Column]:
    plain, name = _PLAIN.get(np.dtype(feature.np_dtype).kind), ".".join(path)
    if plain is None or len(feature.shape) > 1:
        return []
    if not feature.shape:
        return [Column(name, name, plain[0], plain[1], lambda example: plain[2](_at(example, path)))]
    if feature.shape[0] is None or feature.shape[0] > MAX_ELEMENTS:
        return []

    def element(place: int) -> Callable[[Mapping[str, Any]], Any]:
        return lambda example: plain[2](_at(example, path)[place])

    return [Column(f"{name}_{place}", name, plain[0], plain[1], element(place)) for place in range(feature.shape[0])]


def _at(example: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    for name in path:
        example = example[name]
    return example


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


# Kind, type and conversion by NumPy's letter for a dtype. Whether a plain string is a text or a category, TFDS does
# not say: that is told from the values.
_PLAIN: dict[str, tuple[Kind | None, pa.DataType, Callable[[Any], Any]]] = {
    **dict.fromkeys("iuf", ("numeric", pa.float64(), float)),
    "b": ("categorical", pa.string(), lambda value: "true" if value else "false"),
    "O": (None, pa.string(), _text),
}


def _namer(feature: Any) -> Callable[[Any], str | None]:
    names = feature.names or [str(number) for number in range(feature.num_classes)]

    def name(value: Any) -> str | None:
        number = int(value)
        if number >= len(names):
            raise ValueError(f"{number} is none of the {len(names)} classes")
        return names[number] if number >= 0 else None

    return name


def _described(feature: Any) -> str:
    inner = getattr(feature, "feature", None)
    if inner is not None:
        return f"{type(feature).__name__} of {type(inner).__name__}"
    return f"{type(feature).__name__}, shape {feature.shape}, {getattr(feature.np_dtype, '__name__', feature.np_dtype)}"
