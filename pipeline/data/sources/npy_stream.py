"""One array of NumPy's format from a stream, a few rows at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np

from pipeline.errors import DataError


@dataclass(frozen=True)
class Npy:
    """What stands in the header of an array.

    Attributes:
      name: of the array.
      dtype, shape: of the array.
      is_fortran: whether the first axis runs fastest.
    """

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    is_fortran: bool

    @property
    def rank(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def num_rows(self) -> int:
        """The length of the first axis."""
        return self.shape[0] if self.shape else 1


def npy_header(handle: IO[bytes], name: str, where: str) -> Npy:
    """Reads the header; the stream then stands at the first value.

    Raises:
      DataError: of a version that holds no plain arrays.
      ValueError: it is no header.
    """
    version = np.lib.format.read_magic(handle)
    if version not in ((1, 0), (2, 0)):
        raise DataError(f"{where} is in version {version[0]}.{version[1]} of NumPy's format.", expected="1.0 or 2.0")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_fortran, dtype = read(handle)
    return Npy(name, dtype, tuple(shape), bool(is_fortran))


def npy_parts(handle: IO[bytes], array: Npy, rows: int, where: str) -> Iterator[np.ndarray]:
    """The array in parts of `rows` rows. An array whose first axis runs fastest is read as a whole.

    Args:
      handle: at the beginning of the array.
      array: its header.
      rows: at most so many a part.
      where: for errors.

    Raises:
      DataError: it is cut short.
    """
    npy_header(handle, array.name, where)
    if array.is_fortran and array.rank > 1:
        whole = _read(handle, array.dtype, array.shape[::-1], where).transpose()
        yield from (whole[start : start + rows] for start in range(0, array.num_rows, rows))
        return
    for start in range(0, array.num_rows, rows):
        yield _read(handle, array.dtype, (min(rows, array.num_rows - start), *array.shape[1:]), where)


def _read(handle: IO[bytes], dtype: np.dtype, shape: tuple[int, ...], where: str) -> np.ndarray:
    wanted = math.prod(shape) * dtype.itemsize
    if wanted == 0:  # text without a character has no bytes
        return np.zeros(shape, dtype)
    content = handle.read(wanted)
    if len(content) < wanted:
        raise DataError(f"{where} is cut short: {wanted - len(content):,} bytes are missing.", expected="a whole array")
    return np.frombuffer(content, dtype).reshape(shape)
