"""NumPy arrays as columns: numbers and text as they are, matrices as several columns, pixels as PNG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from pipeline.errors import DataError

_CHANNELS = (1, 3, 4)
# Rows are taken in parts of about so many bytes.
_PART_BYTES, _PART_ROWS = 16 << 20, 65_536


def check_array(name: str, dtype: np.dtype, shape: Sequence[int]) -> None:
    """Refuses an array of which no columns can be made.

    Args:
      name: for errors: `rows.npz: "x"`.
      dtype, shape: of the whole array; the first axis counts the rows.

    Raises:
      DataError: pickled objects, complex numbers, no axis of rows, more than four axes, pixels that are not uint8.
    """
    if dtype.kind == "O":
        raise DataError(
            f"{name} holds pickled Python objects.",
            expected="an array of numbers or text: reading pickles could run any code",
            fix="Save it again with a type of its own, e.g. array.astype(str).",
        )
    if dtype.kind not in "biufSUM":
        raise DataError(f"{name} is of type {dtype}.", expected="numbers, text, booleans or times")
    if not 1 <= len(shape) <= 4:
        raise DataError(f"{name} has {len(shape)} axes.", expected="1 (a column), 2 (columns), or 3 or 4 (images)")
    if len(shape) < 3:
        return
    if dtype != np.uint8:
        raise DataError(
            f"{name} has {len(shape)} axes and is of type {dtype.name}.",
            expected="images as uint8, 0 to 255",
            fix="Scale and convert it, e.g. (array * 255).round().astype(np.uint8).",
        )
    if 0 in shape[1:]:
        raise DataError(f"{name} holds images of {shape[1]}x{shape[2]} pixels.", expected="at least one pixel")
    if len(shape) == 4 and shape[3] not in _CHANNELS:
        fix = "Move the axis, e.g. array.transpose(0, 2, 3, 1)." if shape[1] in _CHANNELS else None
        raise DataError(f"{name} has the shape {tuple(shape)}.", expected="[rows, height, width, 1, 3 or 4]", fix=fix)


def column_names(name: str, shape: Sequence[int]) -> tuple[str, ...]:
    """The columns that an array becomes.

    >>> column_names("x", (10, 3)), column_names("x", (10, 1)), column_names("x", (10, 28, 28))
    (('x_0', 'x_1', 'x_2'), ('x',), ('x',))
    """
    if len(shape) == 2 and shape[1] != 1:
        return tuple(f"{name}_{number}" for number in range(shape[1]))
    return (name,)


def columns_of(name: str, values: np.ndarray, where: str) -> dict[str, pa.Array]:
    """The columns of an array that `check_array` lets pass.

    Args:
      name: of the array.
      values: [rows], [rows, columns], or uint8 [rows, height, width] or [rows, height, width, channels].
      where: for errors: the file.

    Raises:
      DataError: bytes that are not UTF-8.
    """
    if values.ndim > 2:
        from pipeline.data.sources.png import encode_png

        return {name: encode_png(values)}
    columns = values[:, None] if values.ndim == 1 else values
    names = column_names(name, columns.shape)
    return {name: _column(columns[:, place], f'{where}: "{name}"') for place, name in enumerate(names)}


def rows_in_a_part(shapes: Mapping[str, Sequence[int]], dtypes: Mapping[str, np.dtype]) -> int:
    """How many rows to take at a time, so that a part stays at some 16 MB however long its rows are."""
    row_bytes = sum(math.prod(shape[1:]) * dtypes[name].itemsize for name, shape in shapes.items())
    return min(max(_PART_BYTES // max(row_bytes, 1), 1), _PART_ROWS)


def _column(values: np.ndarray, where: str) -> pa.Array:
    if values.dtype.kind == "M":
        return pa.array(values.astype("datetime64[us]"))
    if values.dtype.kind == "S":
        try:
            return pa.array(values.tolist(), pa.binary()).cast(pa.string())
        except pa.ArrowInvalid as error:
            raise DataError(f"{where} holds bytes that are not UTF-8.", expected="text in UTF-8") from error
    if values.dtype.kind == "U":
        return pa.array(values.tolist(), pa.string())
    if values.dtype.kind == "f" and values.dtype.itemsize not in (4, 8):
        values = values.astype(np.float32 if values.dtype.itemsize == 2 else np.float64)
    return pa.array(np.ascontiguousarray(values, values.dtype.newbyteorder("=")))
