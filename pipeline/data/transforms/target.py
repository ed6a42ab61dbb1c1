"""The label to what the network is trained on, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.data.statistics import Moments
from pipeline.errors import DataError

UNKNOWN_CLASS = -1


@dataclass(frozen=True)
class ClassIndex:
    """Learns the classes."""

    def fit(self, labels: np.ndarray) -> FittedClassIndex:
        """From the labels of train: text (object) or numbers (float64), in sorted order.

        Raises:
          DataError: there are fewer than two classes.
        """
        values = sorted(pa.array(labels).unique().to_pylist())
        if len(values) < 2:
            raise DataError(
                f'The label has one class in train: "{_text(values[0]) if values else "none"}".',
                expected="at least two classes",
                fix="Check the label's name, and that the rows are not filtered by it.",
            )
        integer = all(isinstance(value, float) and value.is_integer() for value in values)
        return FittedClassIndex(tuple(_text(value) for value in values), integer)


@dataclass(frozen=True)
class FittedClassIndex:
    """A class to its place among the sorted classes of train.

    Attributes:
      names: of the classes.
      integer: whether the names are whole numbers, which are then served as int64.
    """

    names: tuple[str, ...]
    integer: bool

    def __call__(self, labels: np.ndarray) -> np.ndarray:
        """int32 [rows]; `UNKNOWN_CLASS` for a class that train never showed."""
        if labels.dtype.kind == "f":  # the names are in the order of their numbers
            known = np.asarray([float(name) for name in self.names])
            places = np.minimum(np.searchsorted(known, labels), len(known) - 1)
            return np.where(known[places] == labels, places, UNKNOWN_CLASS).astype(np.int32)
        found = pc.index_in(pa.array(labels, pa.string()), value_set=pa.array(self.names, pa.string()))
        return np.asarray(found.fill_null(UNKNOWN_CLASS), np.int32)


@dataclass(frozen=True)
class ScaleTarget:
    """Learns mean and standard deviation of a numeric label."""

    def fit(self, labels: np.ndarray) -> ScaledTarget:
        """From the labels of train, float64 [rows].

        Raises:
          DataError: all are equal.
        """
        moments = Moments.of(labels)
        deviation = moments.standard_deviation
        if deviation <= 1e-12 * max(abs(moments.minimum), abs(moments.maximum)):
            raise DataError(f"The label is {moments.mean:g} in every train row.", expected="a label that varies")
        return ScaledTarget(moments.mean, deviation)


@dataclass(frozen=True)
class ScaledTarget:
    """`(y - mean) / scale` for training; `inverse` gives the label's own unit back."""

    mean: float
    scale: float

    def __call__(self, labels: np.ndarray) -> np.ndarray:
        """float32 [rows], standardized.

        Raises:
          DataError: a label is so far from those of train that float32 cannot hold it.
        """
        with np.errstate(over="ignore"):
            scaled: np.ndarray = ((labels - self.mean) / self.scale).astype(np.float32)
        if np.isinf(scaled).any():
            raise DataError(
                f"A label is {labels[np.isinf(scaled)][0]:g}; those of train are {self.mean:g} on average and vary by "
                f"{self.scale:g}.",
                expected="labels of one order of magnitude",
                fix="Mend it, or give the label's min and max in the schema file and checks.out_of_range.",
            )
        return scaled

    def inverse(self, scaled: Any) -> Any:
        """Back to the label's unit; for arrays and tensors of floats."""
        return scaled * self.scale + self.mean


def looks_like_classes(labels: np.ndarray, max_classes: int) -> bool:
    """Whether a label is a class rather than a quantity: text, or a few whole numbers, or two numbers."""
    if labels.dtype.kind != "f":
        return True
    values = np.unique(labels)
    whole = bool(np.all(values == np.round(values)))
    return len(values) <= 2 or (whole and len(values) <= max_classes)


def class_counts(labels: np.ndarray) -> dict[str, int]:
    """How often each class occurs, by name."""
    values, counts = np.unique(np.asarray([_text(label) for label in labels], object), return_counts=True)
    return {str(value): int(count) for value, count in zip(values, counts, strict=True)}


def _text(value: Any) -> str:
    """A class's name: whole numbers without a decimal point."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def names_of(labels: Sequence[Any]) -> list[str]:
    """The class names of labels as they stand in the data."""
    return [_text(label) for label in labels]
