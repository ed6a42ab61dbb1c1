"""A row's content as one 64-bit number: how twins are found, and how a row is known again in another file.

The hashes of the columns are added up, so neither the order of the columns nor how a value was stored changes a key.
Numbers are mixed (see `mixing`); text goes through BLAKE2b. Two different rows share a key with probability 2**-64.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.data.mixing import STEP, mix

_MISSING = STEP
_NUMBER_BEGINS = tuple("+-.0123456789")


def row_keys(batch: pa.RecordBatch, columns: Iterable[str]) -> np.ndarray:
    """The key of each row.

    Args:
      batch: stored columns (see `pipeline.data.schema`).
      columns: those that make up a row.

    Returns:
      uint64 [rows].

    Example:
      >>> batch = pa.RecordBatch.from_pydict({"a": [1.0, 1.0, None], "b": ["x", "x", "x"]})
      >>> keys = row_keys(batch, ["a", "b"])
      >>> bool(keys[0] == keys[1]), bool(keys[0] == keys[2]), bool((keys == row_keys(batch, ["b", "a"])).all())
      (True, False, True)
    """
    keys = np.zeros(batch.num_rows, np.uint64)
    for name in columns:
        keys += mix(_bits(batch.column(name)) ^ text_key(name))
    return keys


@functools.lru_cache(1 << 17)
def text_key(text: str) -> np.uint64:
    """The hash of one text; remembered, since categories come again in every batch."""
    return bytes_key(text.encode())


def bytes_key(data: bytes) -> np.uint64:
    """The hash of bytes."""
    return np.uint64(int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little"))


def _bits(column: pa.Array) -> np.ndarray:
    """A number for each value, equal for equal values: uint64 [rows], a new array."""
    kind = column.type
    if pa.types.is_string(kind):
        encoded = column.dictionary_encode()
        if len(encoded.dictionary) <= len(column) // 2:  # categories; not sentences, each of which comes once
            column, kind = encoded, encoded.type
    if pa.types.is_dictionary(kind):
        codes = np.asarray(column.indices.fill_null(len(column.dictionary)), np.int64)
        keys = [_MISSING if value is None else _category_key(str(value)) for value in column.dictionary.to_pylist()]
        return np.asarray([*keys, _MISSING], np.uint64)[codes]
    if pa.types.is_floating(kind):
        values = np.asarray(column.to_numpy(zero_copy_only=False), np.float64) + 0.0  # -0.0 is 0.0
        bits = values.view(np.uint64)
        bits[np.isnan(values)] = _MISSING
        return bits
    if pa.types.is_uint64(kind):
        return np.array(column.fill_null(0), np.uint64)
    if pa.types.is_timestamp(kind):
        bits = np.array(column.cast(pa.int64()).fill_null(0), np.int64).view(np.uint64)
        bits[np.asarray(column.is_null())] = _MISSING
        return bits
    return _hashed(column.to_pylist())


@functools.lru_cache(1 << 17)
def _category_key(text: str) -> np.uint64:
    """A number or a time has one key, as text and as what it is: configs may differ in what they take it for."""
    if text[:1] not in _NUMBER_BEGINS or "_" in text:  # 1_0 is a number for Python alone
        return text_key(text)
    try:
        if text[4:5] == "-":
            return np.uint64(np.int64(_microseconds(datetime.fromisoformat(text))).view(np.uint64))
        number = np.float64(text) + 0.0
    except ValueError:
        return text_key(text)
    return np.uint64(number.view(np.uint64)) if np.isfinite(number) else text_key(text)


def _microseconds(time: datetime) -> int:
    """Since 1970, as a time is stored."""
    naive = time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time
    return (naive - datetime(1970, 1, 1)) // timedelta(microseconds=1)


def _hashed(values: list[Any]) -> np.ndarray:
    return np.fromiter((_MISSING if value is None else _of(value) for value in values), np.uint64, len(values))


def _of(value: Any) -> np.uint64:
    if isinstance(value, str):
        return _category_key(value) if value[:1] in _NUMBER_BEGINS else bytes_key(value.encode())
    return bytes_key(value) if isinstance(value, bytes) else bytes_key(json.dumps(value).encode())
