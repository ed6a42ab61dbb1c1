"""Which arrays of an NPZ file are the columns of which side, and whether they make one table."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pipeline.data.sides import SIDE_OF_NAME, SIDES, TRAIN
from pipeline.data.sources.array_columns import check_array, column_names
from pipeline.data.sources.npy_stream import Npy
from pipeline.errors import DataError

Arrays = Mapping[str, Npy]


def by_side(arrays: Arrays) -> dict[str, dict[str, Npy]]:
    """The arrays of each side by the names of their columns, sides in the order train, validation, test.

    Sides are told by the ends of the names (`x_train`), if every name has one and train is among them; otherwise, and
    where train is the only one, all are of the side "".
    """
    ends = {name: SIDE_OF_NAME.get(name.rpartition("_")[2].lower()) for name in arrays}
    if TRAIN not in ends.values() or None in ends.values() or not all(name.rpartition("_")[0] for name in arrays):
        return {"": dict(arrays)}
    found = sorted({side for side in ends.values() if side is not None})
    sides = {
        SIDES[side]: {name.rpartition("_")[0]: array for name, array in arrays.items() if ends[name] == side}
        for side in found
    }
    return sides if len(sides) > 1 else {"": sides["train"]}


def check_sides(sides: Mapping[str, Arrays], path: str) -> None:
    """Refuses arrays that do not make one table.

    Raises:
      DataError: see `check_array`; differing lengths within a side, differing columns between sides, a column twice.
    """
    first = next(iter(sides.values()))
    for side in sides.values():
        for array in side.values():
            check_array(f'{path}: "{array.name}"', array.dtype, array.shape)
        _check_lengths(side, path)
        if set(side) != set(first):
            lacking = min(set(side) ^ set(first))
            expected = f"the same arrays for each of {', '.join(sides)}"
            raise DataError(f'{path}: not every side has an array "{lacking}".', expected=expected)
        for name, array in side.items():
            _check_alike(name, first[name], array, path)
    names = [column for name, array in first.items() for column in column_names(name, array.shape)]
    names += ["split"] * (len(sides) > 1)
    for name in (name for name in names if names.count(name) > 1):
        raise DataError(f'{path}: two arrays give a column "{name}".', fix="Rename one of them.")


def check_label(array: Npy, path: str) -> None:
    """Refuses a label of several columns.

    Raises:
      DataError: it is.
    """
    if array.rank == 2 and array.shape[1] > 1:
        fix = "If they stand for classes, save the array's argmax(axis=1)."
        raise DataError(
            f'{path}: the label "{array.name}" has {array.shape[1]} columns.', expected="one column", fix=fix
        )


def _check_lengths(arrays: Arrays, path: str) -> None:
    first = next(iter(arrays.values()))
    for array in arrays.values():
        if array.num_rows != first.num_rows:
            raise DataError(
                f'{path}: "{first.name}" has {first.num_rows:,} rows, "{array.name}" has {array.num_rows:,}.',
                expected="as many rows in every array",
            )


def _check_alike(name: str, first: Npy, array: Npy, path: str) -> None:
    """Images may differ in their size from side to side, columns not in their number."""
    columns = [column_names(name, found.shape) for found in (first, array)]
    if columns[0] != columns[1] or (first.rank > 2) != (array.rank > 2):
        raise DataError(
            f'{path}: "{first.name}" has the shape {first.shape}, "{array.name}" has {array.shape}.',
            expected="the same columns on every side",
        )
    try:
        np.result_type(first.dtype, array.dtype)
    except TypeError as error:
        raise DataError(
            f'{path}: "{first.name}" is of type {first.dtype}, "{array.name}" is of type {array.dtype}.',
            expected="types that have something in common",
        ) from error
