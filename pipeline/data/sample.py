"""The first look at a source: rows to tell the kinds of columns from, and one of every side of a published split."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.data.convert import is_text
from pipeline.data.sides import SIDE_OF_NAME, SPLIT_COLUMNS, TEST
from pipeline.data.sources.source import Source
from pipeline.errors import DataError

# Kinds are inferred from so many rows, evenly spread over the first SAMPLE_ROWS that are not test rows.
SAMPLE_ROWS, _INFERRED_ROWS = 50_000, 10_000


def read_sample(source: Source) -> pa.Table:
    """Some 10,000 of the first rows, evenly spread over some 50,000.

    Where a column looks like a published split, rows of test do not count, and reading goes on until a second side
    comes up: a file may be sorted by its sides.

    Raises:
      DataError: the source cannot be read, or holds no row.
    """
    kept: list[pa.RecordBatch] = []
    examples: list[pa.RecordBatch] = []
    rows, seen = 0, set[str]()
    for batch in source.batches(lambda reject: None):
        column = _side_column(batch)
        if column is not None:
            sides = np.asarray([_spelled(value) for value in batch.column(column).to_pylist()], object)
            for side in sorted(set(sides) - seen):
                examples.append(batch.slice(int(np.flatnonzero(sides == side)[0]), 1))
            seen |= set(sides)
            batch = batch.filter(pa.array([SIDE_OF_NAME[side] != TEST for side in sides], pa.bool_()))
        if rows < SAMPLE_ROWS:
            kept.append(batch)
            rows += batch.num_rows
        if rows >= SAMPLE_ROWS and (column is None or len(seen) > 1):
            break
    if not kept:
        raise DataError(f"{getattr(source, 'path', 'The source')} holds no row that can be read.")
    sample = pa.Table.from_batches(kept)
    stride = max(1, rows // _INFERRED_ROWS)
    spread = sample.take(pa.array(np.arange(0, rows, stride))) if stride > 1 else sample
    return pa.concat_tables([spread, *(pa.Table.from_batches([example]) for example in examples)])


def _side_column(batch: pa.RecordBatch) -> str | None:
    """The column that is named like a split and holds nothing but names of sides."""
    for field in batch.schema:
        if field.name.strip().lower() in SPLIT_COLUMNS and is_text(field.type) and batch.num_rows:
            values = pc.unique(batch.column(field.name)).to_pylist()
            if all(_spelled(value) in SIDE_OF_NAME for value in values):
                return str(field.name)
    return None


def _spelled(value: object) -> str:
    return str(value).strip().lower()
