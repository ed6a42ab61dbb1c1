"""What a schema file says at first: that of the data as they are now."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.data.convert import convert
from pipeline.data.keys import row_keys
from pipeline.data.schema import Feature, Schema
from pipeline.data.schema_file import Column
from pipeline.data.sources.source import Source, typed_batches

# A column with more categories is not listed: nobody would review it.
_MOST_VALUES = 100
# From so many rows on, a column without a repetition is taken for one that never repeats.
_UNIQUE_ROWS = 50
# Of a longer table nobody says whether a column repeats itself: memory stays flat.
_MOST_KEYS = 2_000_000
# The share of missing values may double before it is an anomaly.
_MISSING_FACTOR = 2.0


@dataclass
class _Observed:
    """Of one column."""

    feature: Feature
    num_rows: int = 0
    num_missing: int = 0
    low: Any = None  # a number or a time, as Arrow gives them
    high: Any = None
    whole: bool = True
    values: set[str] = field(default_factory=set)
    keys: set[int] | None = field(default_factory=set)

    def add(self, batch: pa.RecordBatch) -> None:
        column = batch.column(self.feature.name)
        self.num_rows += len(column)
        self.num_missing += column.null_count
        kind = self.feature.kind
        if kind in ("numeric", "datetime") and column.null_count < len(column):
            bounds = pc.min_max(column).as_py()
            self.low = bounds["min"] if self.low is None else min(self.low, bounds["min"])
            self.high = bounds["max"] if self.high is None else max(self.high, bounds["max"])
            if kind == "numeric" and self.whole:
                self.whole = bool(pc.all(pc.equal(column, pc.round(column))).as_py())
        if kind in ("categorical", "tags") and len(self.values) <= _MOST_VALUES:
            parts = column.flatten() if kind == "tags" else column.dictionary
            self.values |= {str(value) for value in parts.to_pylist() if value is not None}
        self._look_for_repetitions(batch)

    def _look_for_repetitions(self, batch: pa.RecordBatch) -> None:
        if self.keys is None:
            return
        if self.feature.kind not in ("numeric", "categorical") or (self.feature.kind == "numeric" and not self.whole):
            self.keys = None
            return
        present = batch.filter(batch.column(self.feature.name).is_valid())
        found = row_keys(present, [self.feature.name])
        before = len(self.keys)
        self.keys.update(np.unique(found).tolist())
        if len(self.keys) < before + len(found) or len(self.keys) > _MOST_KEYS:
            self.keys = None

    def column(self, is_label: bool) -> Column:
        kind = self.feature.kind
        share = self.num_missing / max(self.num_rows, 1)
        # Rounded up to a thousandth, so that a person can read it.
        most_missing = min(1.0, math.ceil(share * _MISSING_FACTOR * 1000) / 1000)
        unique = bool(self.keys) and self.num_rows - self.num_missing >= _UNIQUE_ROWS and not is_label
        if kind == "numeric":
            whole = self.whole and self.low is not None
            return Column(kind=kind, whole=whole, min=self.low, max=self.high, max_missing=most_missing, unique=unique)
        if kind == "datetime":
            low, high = (None if bound is None else bound.isoformat() for bound in (self.low, self.high))
            return Column(kind=kind, min=low, max=high, max_missing=most_missing)
        listed = kind in ("categorical", "tags") and 0 < len(self.values) <= _MOST_VALUES
        values = tuple(sorted(self.values)) if listed and not unique else None
        return Column(kind=kind, values=values, max_missing=most_missing, unique=unique)


def observe(source: Source, schema: Schema, folder: Path | None) -> tuple[int, int, dict[str, Column]]:
    """Reads a source once.

    Args:
      source: see `pipeline.data.sources`.
      schema: of the columns to look at, see `pipeline.data.infer`.
      folder: where relative paths of images begin.

    Returns:
      Rows; how many of them (and of what is no row) are bad; and what to expect of every column.

    Raises:
      DataError: the source cannot be read.
    """
    rejected: list[object] = []
    observed = [_Observed(feature) for feature in schema.columns]
    num_rows = num_bad = 0
    for batch in _batches(source, schema, rejected):
        typed, bad = convert(batch, schema, folder)
        bad_rows = {value.row for value in bad}
        if bad_rows:
            typed = typed.filter(pa.array([row not in bad_rows for row in range(typed.num_rows)]))
        num_rows += batch.num_rows
        num_bad += len(bad_rows)
        for column in observed:
            column.add(typed)
    label = schema.label.name
    found = {column.feature.name: column.column(column.feature.name == label) for column in observed}
    return num_rows + len(rejected), num_bad + len(rejected), found


def _batches(source: Source, schema: Schema, rejected: list[object]) -> Iterator[pa.RecordBatch]:
    return typed_batches(source, rejected.append, schema.kinds)
