"""The one reading of the source: types inferred, every value checked, rows kept as typed Arrow columns."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.data.images import probe_all
from pipeline.data.schema import SAMPLE_ROWS, BadValue, Schema, convert, infer_schema
from pipeline.data.sources.source import Source
from pipeline.errors import DataError
from pipeline.progress import Reporter, silent

# Beside an image column stand its height, width and channels, so that prepare can choose a size without opening it.
IMAGE_ABOUT = ("height", "width", "channels")
_PROBE_ROWS = 256


def read_sample(source: Source) -> tuple[pa.Table, Iterator[pa.RecordBatch]]:
    """The first rows of a source (some 100,000), and its record batches from the beginning."""
    batches = source.batches()
    first: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        first.append(batch)
        rows += batch.num_rows
        if rows >= SAMPLE_ROWS:
            break
    return pa.Table.from_batches(first), itertools.chain(first, batches)


def ingest(
    source: Source,
    rows_path: Path,
    *,
    split: str | None = None,
    drop: Iterable[str] = (),
    numeric: Iterable[str] = (),
    categorical: Iterable[str] = (),
    reporter: Reporter | None = None,
) -> tuple[Schema, int, int]:
    """Reads a source into an Arrow file.

    Args:
      source: see `pipeline.data.sources`.
      rows_path: the Arrow IPC file to write: the columns of the schema, typed; missing values null.
      split, drop, numeric, categorical: what a person knows of the columns.
      reporter: for progress.

    Returns:
      The schema, the number of rows, and how many of them have no label.

    Raises:
      DataError: the source cannot be read, a column does not exist, or a value does not fit its column; with its
        file, line, column and value.
    """
    reporter = reporter or silent()
    sample, batches = read_sample(source)
    schema = infer_schema(
        sample,
        label=source.label,
        split=split,
        drop=tuple(drop),
        numeric=tuple(numeric),
        categorical=(*categorical, *source.categorical),
        images=source.images,
    )
    num_rows = num_unlabelled = 0
    writer = None
    try:
        with reporter.bar("rows read") as advance:
            for batch in batches:
                converted = _converted(batch, schema, source, num_rows)
                num_rows += batch.num_rows
                num_unlabelled += converted.column(schema.label.name).null_count
                for part in _with_image_sizes(converted, schema):
                    writer = writer or pa.ipc.new_file(rows_path, part.schema)
                    writer.write_batch(part)
                    advance(part.num_rows)
    finally:
        if writer is not None:
            writer.close()
    return schema, num_rows, num_unlabelled


def stored_rows(path: Path) -> pa.ipc.RecordBatchFileReader:
    """Opens what `ingest` wrote; batches are mapped into memory, not read."""
    return pa.ipc.open_file(pa.memory_map(str(path)))


def stored_column(path: Path, name: str) -> pa.Array:
    """One whole column of the stored rows."""
    reader = stored_rows(path)
    index = reader.schema.get_field_index(name)
    return pa.chunked_array(
        [reader.get_batch(i).column(index) for i in range(reader.num_record_batches)]
    ).combine_chunks()


def _converted(batch: pa.RecordBatch, schema: Schema, source: Source, first_row: int) -> pa.RecordBatch:
    try:
        return convert(batch, schema)
    except BadValue as bad:
        raise DataError(
            f'{source.locate(first_row + bad.row)}, column "{bad.column}": "{bad.value}" is not a number.',
            expected="a number, as in the column's other rows; ?, nothing and NaN are missing values",
            fix=f'Correct the value; or, if the column is no number: features.categorical = ["{bad.column}"].',
        ) from None


def _with_image_sizes(batch: pa.RecordBatch, schema: Schema) -> Iterator[pa.RecordBatch]:
    """Adds the size columns; in small parts, because every image is opened here."""
    names = schema.of_kind("image")
    if not names:
        yield batch
        return
    for start in range(0, batch.num_rows, _PROBE_ROWS):
        part = batch.slice(start, _PROBE_ROWS)
        for name in names:
            sizes = np.asarray(list(probe_all(part.column(name).to_pylist())), np.int32)
            for place, about in enumerate(IMAGE_ABOUT):
                part = part.append_column(f"{name}.{about}", pa.array(sizes[:, place]))
        yield part
