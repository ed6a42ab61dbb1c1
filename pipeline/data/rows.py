"""The rows as `ingest` keeps them: typed columns in an Arrow stream, read batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

# Beside an image column stand its size, so that prepare can choose one without opening it, and what twins share.
IMAGE_ABOUT = ("height", "width", "channels")
IMAGE_KEY, IMAGE_SIGNATURE = "key", "signature"
# Larger images are brought to this size unless the config says otherwise: what a small convnet on a laptop
# can use. 8x8 digits or 28x28 clothes keep their size.
DEFAULT_IMAGE_SIZE = 64
# What a row is known by in another file or under another config: the hash of all its columns but label and side.
ROW_KEY = "#row"


def pixels_name(name: str, height: int, width: int) -> str:
    """The column that holds the pixels of an image column, decoded and resized to this size in ingest."""
    return f"{name}.pixels.{height}x{width}"


def stored_batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The record batches, in their order; only those columns, where they are given.

    A dictionary-encoded column may have another dictionary in every batch.
    """
    # Whole rows are read rather than mapped: pages of a map stay in the process's memory, and that is to be flat.
    # Of a few columns only few pages are touched.
    opened = pa.OSFile(str(path)) if columns is None else pa.memory_map(str(path))
    with opened, pa.ipc.open_stream(opened) as reader:
        for batch in reader:
            yield batch if columns is None else batch.select(list(columns))


def stored_schema(path: Path) -> pa.Schema:
    """The stored columns and their types."""
    with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as reader:
        return reader.schema


def stored_column(path: Path, name: str) -> pa.Array:
    """One whole column; text that was dictionary-encoded comes as text."""
    parts = [batch.column(0) for batch in stored_batches(path, [name])]
    parts = [part.dictionary_decode() if pa.types.is_dictionary(part.type) else part for part in parts]
    return pa.chunked_array(parts).combine_chunks()


def labels_of(column: pa.Array) -> np.ndarray:
    """A stored label column as float64 with NaN, or as text (object) with None. [rows]"""
    if pa.types.is_floating(column.type):
        return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)
    if pa.types.is_dictionary(column.type):
        names = np.asarray([*column.dictionary.to_pylist(), None], object)
        return names[np.asarray(column.indices.fill_null(len(names) - 1), np.int64)]
    return np.asarray(column.to_pylist(), object)


def values_of(column: pa.Array) -> np.ndarray:
    """As `labels_of`; timestamps as datetime64[us] with NaT. [rows], never a view of the column's memory."""
    if pa.types.is_timestamp(column.type):
        return np.array(column.to_numpy(zero_copy_only=False), "datetime64[us]")
    return np.array(labels_of(column))


def image_column(batch: pa.RecordBatch, name: str) -> pa.StructArray:
    """A column of images with what `ingest` found out about them.

    Returns:
      Fields `image` (paths or bytes), `height`, `width`, `channels`, and where ingest kept the pixels
      `pixels.HEIGHTxWIDTH`; null where there is no image.
    """
    fields = [*IMAGE_ABOUT, *(one[len(name) + 1 :] for one in batch.schema.names if one.startswith(f"{name}.pixels."))]
    columns = [batch.column(name), *(batch.column(f"{name}.{field}") for field in fields)]
    return pa.StructArray.from_arrays(columns, names=["image", *fields])


def rows_at(path: Path, rows: np.ndarray, columns: Sequence[str]) -> pa.Table:
    """Some rows; `rows` are increasing row numbers, int64 [n]."""
    found, start = [], 0
    for batch in stored_batches(path, columns):
        here = rows[np.searchsorted(rows, start) : np.searchsorted(rows, start + batch.num_rows)] - start
        start += batch.num_rows
        if len(here):
            found.append(_decoded(batch.take(pa.array(here))))
    if not found:
        schema = stored_schema(path)
        found = [_decoded(pa.RecordBatch.from_pylist([], schema=pa.schema([schema.field(name) for name in columns])))]
    return pa.Table.from_batches(found)


def sample_rows(path: Path, sides: np.ndarray | None, side: int, most: int, columns: Sequence[str]) -> pa.Table:
    """At most so many rows of one side (of all, where `sides` is None), evenly spread."""
    if sides is None:
        chosen = np.arange(sum(batch.num_rows for batch in stored_batches(path, columns[:1])))
    else:
        chosen = np.flatnonzero(sides == side)
    stride = max(1, -(-len(chosen) // most))
    return rows_at(path, chosen[::stride], columns)


def _decoded(batch: pa.RecordBatch) -> pa.RecordBatch:
    columns = [
        column.dictionary_decode() if pa.types.is_dictionary(column.type) else column for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
