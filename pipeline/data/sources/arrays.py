"""NumPy arrays in memory, and whatever turns into them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.data.kinds import Kind
from pipeline.data.sources.array_columns import check_array, column_names, columns_of, rows_in_a_part
from pipeline.data.sources.arrow_table import add_content
from pipeline.data.sources.source import OnReject, Place
from pipeline.errors import DataError
from pipeline.hashing import FileHashes


@dataclass(frozen=True, eq=False)
class Arrays:
    """Arrays of equal length; for Python only.

    Args:
      features: by name, or one array: a matrix gives columns `x_0`, `x_1`, ...; uint8 [rows, height, width] or [rows,
        height, width, channels] gives images as `image`. By name, an array [rows] is a column, a matrix is several and
        images are images. Anything with `__array__`, and a data frame, will do; masked values are missing ones.
      labels: [rows]; None: the label is one of the features.
      label: the name of the column to predict.

    Example:
      >>> from pipeline.data.sources.source import refuse
      >>> source = Arrays({"size": [1.0, 2.0]}, labels=["small", "large"])
      >>> next(source.batches(refuse)).to_pylist()
      [{'size': 1.0, 'label': 'small'}, {'size': 2.0, 'label': 'large'}]
    """

    features: Any
    labels: Any = None
    label: str | None = "label"

    @property
    def kinds(self) -> dict[str, Kind]:
        """The columns of images."""
        return {name: "image" for name, values in self._arrays.items() if _axes(values) > 2}

    def fingerprint(self, hashes: FileHashes) -> str:
        """The hash of names, types and values."""
        digest = hashlib.blake2b(digest_size=16)
        for name, values in self._arrays.items():
            if isinstance(values, np.ndarray):
                digest.update(repr((name, values.dtype.str, values.shape)).encode())
                for start in range(0, len(values), self._rows):
                    digest.update(np.ascontiguousarray(values[start : start + self._rows]).tobytes())
            else:
                add_content(digest, pa.RecordBatch.from_arrays([values], names=[name]))
        return f"arrays-{digest.hexdigest()}"

    def batches(self, on_reject: OnReject) -> Iterator[pa.RecordBatch]:
        """Record batches of some megabytes.

        Raises:
          DataError: no rows, lengths that differ, two columns of one name, or a type or shape that makes no column.
        """
        num_rows = _num_rows(self._arrays)
        for start in range(0, num_rows, self._rows):
            columns: dict[str, pa.Array] = {}
            for name, values in self._arrays.items():
                part = values[start : start + self._rows]
                columns |= columns_of(name, part, "arrays") if isinstance(part, np.ndarray) else {name: part}
            yield pa.RecordBatch.from_pydict(columns)

    def places(self, rows: Sequence[int]) -> list[Place]:
        """`arrays:17`, the number of the row, from 1."""
        return [Place("arrays", row + 1) for row in rows]

    @cached_property
    def _arrays(self) -> dict[str, np.ndarray | pa.Array]:
        """By name; a list that NumPy holds as objects becomes an Arrow array."""
        given = dict(self.features.items()) if hasattr(self.features, "items") else _named(self.features)
        if self.labels is not None:
            if self.label is None or self.label in given:
                raise DataError(f"The labels cannot be named {self.label!r}.", expected="a name that no feature has")
            given[self.label] = self.labels
        found = {str(name): _as_array(str(name), values) for name, values in given.items()}
        if self.labels is not None and _axes(found[str(self.label)]) > 1:
            raise DataError(
                f"The labels have the shape {np.shape(found[str(self.label)])}.",
                expected="[rows]",
                fix="Where they are one-hot, give labels.argmax(axis=1).",
            )
        check_names({name: np.shape(values) for name, values in found.items()})
        _num_rows(found)
        return found

    @cached_property
    def _rows(self) -> int:
        dense = {name: values for name, values in self._arrays.items() if isinstance(values, np.ndarray)}
        return rows_in_a_part(
            {name: values.shape for name, values in dense.items()},
            {name: values.dtype for name, values in dense.items()},
        )


def check_names(shapes: Mapping[str, Sequence[int]]) -> None:
    """Refuses arrays of which two would make a column of one name.

    Raises:
      DataError: `x` with two columns, and `x_0`.
    """
    names = [column for name, shape in shapes.items() for column in column_names(name, shape)]
    twice = [name for name in names if names.count(name) > 1] if len(set(names)) < len(names) else []
    if twice:
        raise DataError(f'Two arrays would make the column "{twice[0]}".', fix="Rename one of them.")


def _named(values: Any) -> dict[str, Any]:
    array = values if isinstance(values, np.ndarray) else np.asarray(values)
    return {"image" if array.ndim > 2 else "x": array}


def _as_array(name: str, values: Any) -> np.ndarray | pa.Array:
    try:
        array = values if isinstance(values, np.ndarray) else np.asarray(values)
    except (TypeError, ValueError) as error:
        raise DataError(f'"{name}" is no array: {error}', expected="values in rows of equal shape") from error
    if isinstance(array, np.ma.MaskedArray):
        numbers, mask = array.dtype.kind in "biuf", np.ma.getmaskarray(array)
        array = array.data.astype(np.float64 if numbers else object)
        array[mask] = np.nan if numbers else None
    if array.dtype.kind != "O" or array.ndim != 1:
        check_array(f'"{name}"', array.dtype, array.shape)
        return np.asarray(array)
    try:
        return pa.array(array.tolist())
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f'"{name}" holds objects that make no column: {error}', expected="numbers, text, booleans or times, or None"
        ) from error


def _num_rows(arrays: Mapping[str, np.ndarray | pa.Array]) -> int:
    lengths = {name: len(values) for name, values in arrays.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f'"{name}" has {length}' for name, length in lengths.items())
        raise DataError(f"The arrays have different numbers of rows: {listed}.", expected="as many rows in each")
    num_rows = next(iter(lengths.values()), 0)
    if num_rows == 0:
        raise DataError("The arrays have no rows.", expected="at least one row")
    return num_rows


def _axes(values: np.ndarray | pa.Array) -> int:
    return values.ndim if isinstance(values, np.ndarray) else 1
