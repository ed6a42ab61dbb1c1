"""Stored columns as a client of the SavedModel would send them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import DataError


def raw_column(column: pa.Array, dtype: str, *, is_image: bool = False, separator: str = "|") -> np.ndarray:
    """One column of raw values [rows], missing ones as NaN or "".

    Args:
      column: as it is stored, see `pipeline.data.kinds`.
      dtype: of the signature: float32, float64 or string.
      is_image: whether it holds images, as paths or as bytes.
      separator: between the tags of a row.

    Returns:
      `dtype`, or bytes (object): text, tags joined by the separator, times in ISO 8601, encoded images.

    Raises:
      DataError: an image cannot be read.

    Example:
      >>> raw_column(pa.array([["a", "b"], None]), "string").tolist()
      [b'a|b', b'']
      >>> raw_column(pa.array([0, None], pa.timestamp("us")), "string").tolist()
      [b'1970-01-01 00:00:00.000000', b'']
    """
    if dtype != "string":
        with np.errstate(over="ignore"):
            return np.asarray(column.to_numpy(zero_copy_only=False), np.float64).astype(dtype)
    if is_image:
        return np.asarray([_image_bytes(value) for value in column.to_pylist()], object)
    if pa.types.is_list(column.type):
        column = pc.binary_join(column, separator)
    texts = pc.fill_null(pc.cast(column, pa.string()), "")
    return np.asarray(pc.cast(texts, pa.binary()).to_pylist(), object)


def _image_bytes(value: str | bytes | None) -> bytes:
    if not value:
        return b""
    if isinstance(value, bytes):
        return value
    try:
        return Path(value).read_bytes()
    except OSError as error:
        raise DataError(
            f"The image {value} cannot be read: {error.strerror}.", expected="a path to a JPEG or PNG"
        ) from error
