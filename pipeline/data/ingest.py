"""The one reading of the source: columns typed, every value checked, bad rows set aside, the others kept."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from pipeline.data.checks import Anomaly, Checks, Found
from pipeline.data.convert import BadValue, convert
from pipeline.data.images import Looked, look_all
from pipeline.data.infer import Wanted, infer_schema
from pipeline.data.keys import row_keys
from pipeline.data.quarantine import Budget, Quarantine, check_budget, write_quarantine
from pipeline.data.rows import IMAGE_ABOUT, IMAGE_KEY, IMAGE_SIGNATURE, ROW_KEY
from pipeline.data.schema import Schema
from pipeline.data.schema_file import Column
from pipeline.data.sources.ordered import ordered_map
from pipeline.data.sources.source import Source, folder_of, typed_batches
from pipeline.data.twins.images import SIGNATURE_BYTES
from pipeline.errors import DataError
from pipeline.progress import Reporter, silent

Action = Literal["ignore", "warn", "quarantine", "stop"]

# Kinds are inferred from so many rows, evenly spread over the first batches of at least SAMPLE_ROWS rows in all.
SAMPLE_ROWS, _INFERRED_ROWS = 50_000, 10_000
_IMAGE_ROWS = 256
# A label with more values than this is a quantity, and has no classes that could vanish.
_MOST_CLASSES = 1000


@dataclass(frozen=True)
class Ingested:
    """What one reading found.

    Attributes:
      schema: of the stored rows.
      num_rows: stored.
      num_unlabelled: stored rows without a label.
      quarantine: rows set aside and reasons.
      anomalies: what the schema file did not expect.
    """

    schema: Schema
    num_rows: int
    num_unlabelled: int
    quarantine: dict[str, Any] = field(default_factory=dict)
    anomalies: tuple[Anomaly, ...] = ()


def read_sample(source: Source) -> pa.Table:
    """Some 10,000 of the first rows, evenly spread over some 50,000."""
    first: list[pa.RecordBatch] = []
    rows = 0
    for batch in source.batches(lambda reject: None):
        first.append(batch)
        rows += batch.num_rows
        if rows >= SAMPLE_ROWS:
            break
    if not first:
        raise DataError(f"{getattr(source, 'path', 'The source')} holds no row that can be read.")
    sample = pa.Table.from_batches(first)
    stride = max(1, rows // _INFERRED_ROWS)
    return sample.take(pa.array(np.arange(0, rows, stride))) if stride > 1 else sample


def ingest(
    source: Source,
    directory: Path,
    wanted: Wanted,
    *,
    columns: Mapping[str, Column] | None = None,
    actions: Mapping[str, Action] | None = None,
    budget: Budget | None = None,
    refused: Path | None = None,
    reporter: Reporter | None = None,
) -> Ingested:
    """Reads a source into `directory/rows.arrow` and `directory/quarantine.parquet`.

    Args:
      source: see `pipeline.data.sources`.
      directory: exists.
      wanted: what is known of the columns.
      columns: what the schema file expects of them.
      actions: what to do about a kind of anomaly: see `pipeline.config.Checks`.
      budget: how many rows may be set aside.
      refused: where the quarantine goes if it stops the run.
      reporter: for progress.

    Raises:
      DataError: the source cannot be read, a column does not exist, a budget is exceeded, or an anomaly is to stop
        the run; with its file, line, column and value.
    """
    reporter, actions = reporter or silent(), actions or {}
    folder = folder_of(source)
    schema = infer_schema(read_sample(source), wanted, folder)
    work = _Work(schema, Checks(columns or {}), actions, folder)
    quarantine = Quarantine()
    totals: Counter[str] = Counter()
    classes: Counter[str] = Counter()
    writer = None
    try:
        with reporter.bar("rows read") as advance:
            for part in ordered_map(work.read, _numbered(typed_batches(source, quarantine.reject, schema.kinds))):
                work.checks.add(part.all_rows, part.found)
                quarantine.add(part.bad, part.bad_labels)
                classes.update(part.classes)
                totals.update(rows=part.rows.num_rows, unlabelled=part.num_unlabelled)
                writer = writer or pa.ipc.new_stream(directory / "rows.arrow", part.rows.schema)
                writer.write_batch(part.rows)
                advance(part.all_rows.num_rows)
    finally:
        if writer is not None:
            writer.close()
    entries = quarantine.entries(source)
    write_quarantine(entries, directory / "quarantine.parquet")
    try:
        check_budget(
            quarantine, entries, totals["rows"], classes if len(classes) <= _MOST_CLASSES else {}, budget or Budget()
        )
        anomalies = tuple(_acted_on(work.checks.anomalies(), actions))
    except DataError:
        if refused is not None and entries:
            write_quarantine(entries, refused)
            reporter.note(f"every bad row is listed in {refused}")
        raise
    return Ingested(schema, totals["rows"], totals["unlabelled"], quarantine.summary(), anomalies)


@dataclass(frozen=True)
class _Part:
    """One batch, converted and checked."""

    rows: pa.RecordBatch
    all_rows: pa.RecordBatch
    found: list[Found]
    bad: list[tuple[int, str, str, str]]
    bad_labels: list[str | None]
    classes: dict[str, int]
    num_unlabelled: int


@dataclass(frozen=True)
class _Work:
    """What is done with every batch, on its own, so that several can be in the air."""

    schema: Schema
    checks: Checks
    actions: Mapping[str, Action]
    folder: Path | None

    def read(self, numbered: tuple[int, pa.RecordBatch]) -> _Part:
        first_row, raw = numbered
        typed, bad_values = convert(raw, self.schema, self.folder)
        typed, bad_images = _with_image_columns(typed, self.schema)
        found = self.checks.look(typed)
        bad = [(value.row, value.column, value.value, value.reason) for value in (*bad_values, *bad_images)]
        bad += self._violations(found, raw)
        bad_rows = np.unique([row for row, *_ in bad]).astype(np.int64)
        label = typed.column(self.schema.label.name)
        bad_labels = _names(label.take(pa.array(bad_rows))) if len(bad_rows) else []
        rows = typed.append_column(ROW_KEY, pa.array(self._row_keys(typed))).drop_columns(
            [column.name for column in self.schema.dropped]
        )
        if len(bad_rows):
            keep = np.ones(typed.num_rows, bool)
            keep[bad_rows] = False
            rows = rows.filter(pa.array(keep))
        kept_label = rows.column(self.schema.label.name)
        placed = [(first_row + row, column, value, reason) for row, column, value, reason in bad]
        return _Part(rows, typed, found, placed, bad_labels, _class_counts(kept_label), kept_label.null_count)

    def _row_keys(self, typed: pa.RecordBatch) -> np.ndarray:
        columns = (*self.schema.features, *self.schema.others, *self.schema.dropped)
        names = [f"{column.name}.{IMAGE_KEY}" if column.kind == "image" else column.name for column in columns]
        return row_keys(typed, names)

    def _violations(self, found: list[Found], raw: pa.RecordBatch) -> list[tuple[int, str, str, str]]:
        return [
            (int(row), part.feature, str(raw.column(part.feature)[int(row)].as_py()), part.kind.replace("_", " "))
            for part in found
            if self.actions.get(part.kind) == "quarantine"
            for row in part.rows
        ]


def _numbered(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
    first_row = 0
    for batch in batches:
        yield first_row, batch
        first_row += batch.num_rows


def _with_image_columns(batch: pa.RecordBatch, schema: Schema) -> tuple[pa.RecordBatch, list[BadValue]]:
    """Adds what a look at the images tells."""
    bad: list[BadValue] = []
    for name in schema.of_kind("image"):
        values = batch.column(name).to_pylist()
        looks: list[Looked | None] = []
        for row, found in enumerate(itertools.chain.from_iterable(_looks(values))):
            if isinstance(found, DataError):
                shown = values[row] if isinstance(values[row], str) else "(bytes)"
                bad.append(BadValue(name, row, shown, found.message.partition(" is ")[2]))
                found = None
            looks.append(found)
        for about in IMAGE_ABOUT:
            sizes = pa.array([getattr(found, about, None) for found in looks], pa.int32())
            batch = batch.append_column(f"{name}.{about}", sizes)
        keys = pa.array([None if found is None else int(found.key) for found in looks], pa.uint64())
        signatures = pa.array(
            [None if found is None else found.signature for found in looks], pa.binary(SIGNATURE_BYTES)
        )
        batch = batch.append_column(f"{name}.{IMAGE_KEY}", keys).append_column(f"{name}.{IMAGE_SIGNATURE}", signatures)
    return batch, bad


def _looks(values: list[str | bytes | None]) -> Iterator[Iterator[Looked | DataError | None]]:
    for start in range(0, len(values), _IMAGE_ROWS):
        yield look_all(values[start : start + _IMAGE_ROWS])


def _class_counts(label: pa.Array) -> dict[str, int]:
    encoded = label if pa.types.is_dictionary(label.type) else label.dictionary_encode()
    if len(encoded.dictionary) > _MOST_CLASSES:
        return {str(place): 1 for place in range(_MOST_CLASSES + 1)}  # no classes: see where it is used
    counts = np.bincount(np.asarray(encoded.indices.drop_null()), minlength=len(encoded.dictionary)).tolist()
    return {str(name): count for name, count in zip(encoded.dictionary.to_pylist(), counts, strict=True) if count}


def _names(label: pa.Array) -> list[str | None]:
    return [None if value is None else str(value) for value in label.to_pylist()]


def _acted_on(anomalies: list[Anomaly], actions: Mapping[str, Action]) -> Iterator[Anomaly]:
    for anomaly in anomalies:
        action = actions.get(anomaly.kind, "warn")
        if action == "stop":
            raise DataError(
                anomaly.line(),
                expected="data as the schema file says",
                fix=f'Mend the data or the schema file; or checks.{anomaly.kind} = "warn".',
            )
        if action != "ignore":
            yield anomaly
