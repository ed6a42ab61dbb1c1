"""The one reading of the source: columns typed, every value checked, bad rows set aside, the others kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from pipeline.data.checks import Anomaly, Checks, Found
from pipeline.data.convert import BadValue, convert
from pipeline.data.dictionaries import Dictionaries
from pipeline.data.images import Looked, look_all
from pipeline.data.infer import UNKNOWN_COLUMN, Wanted, infer_schema
from pipeline.data.keys import row_keys
from pipeline.data.quarantine import Budget, Quarantine, check_budget, write_quarantine
from pipeline.data.rows import DEFAULT_IMAGE_SIZE, IMAGE_ABOUT, IMAGE_KEY, IMAGE_SIGNATURE, ROW_KEY, pixels_name
from pipeline.data.sample import read_sample
from pipeline.data.schema import Feature, Schema
from pipeline.data.schema_file import Column
from pipeline.data.sources.ordered import ordered_map
from pipeline.data.sources.source import Source, folder_of, typed_batches
from pipeline.data.split.strata import MAX_CLASSES
from pipeline.data.twins.images import SIGNATURE_BYTES
from pipeline.errors import DataError
from pipeline.progress import Reporter, silent

Action = Literal["ignore", "warn", "quarantine", "stop"]

_IMAGE_ROWS, _LOOKED_AT = 256, 16
_NO_IMAGE = " no readable image"
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


def ingest(
    source: Source,
    directory: Path,
    wanted: Wanted,
    *,
    columns: Mapping[str, Column] | None = None,
    actions: Mapping[str, Action] | None = None,
    budget: Budget | None = None,
    refused: Path | None = None,
    image_size: tuple[int, int] | None = None,
    keep_pixels: bool = True,
    reporter: Reporter | None = None,
) -> Ingested:
    """Reads a source into `directory/rows.arrow` and `directory/quarantine.parquet`.

    Args:
      source: see `pipeline.data.sources`.
      directory: exists.
      wanted: what is known of the columns.
      columns: what the schema file expects of them.
      actions: what to do about a kind of anomaly: see `pipeline.config_sections.Checks`.
      budget: how many rows may be set aside.
      refused: where the quarantine goes if it stops the run.
      image_size: height and width that images will most likely be brought to; None: `DEFAULT_IMAGE_SIZE` if they are
        larger. An image is decoded here, once; prepare takes its pixels if they are of the size that train asks for.
      keep_pixels: whether they are kept; False where pixels would not fit on the disk.
      reporter: for progress.

    Raises:
      DataError: the source cannot be read, a column does not exist, a budget is exceeded, or an anomaly is to stop
        the run; with its file, line, column and value.
    """
    reporter, actions = reporter or silent(), actions or {}
    folder = folder_of(source)
    sample = read_sample(source)
    schema = infer_schema(sample, wanted, folder)
    pixel_size = _pixel_size(sample, schema, folder, image_size) if keep_pixels else None
    # A column that nobody wants cannot be an anomaly.
    expected = {name: column for name, column in (columns or {}).items() if name in schema.kinds}
    work = _Work(schema, Checks(expected), actions, folder, pixel_size)
    quarantine = Quarantine()
    totals: Counter[str] = Counter()
    classes: Counter[str] = Counter()
    batches = typed_batches(source, quarantine.reject, schema.kinds)
    numbered = _numbered(batches, _IMAGE_ROWS if schema.of_kind("image") else None)
    with _rows_file(directory / "rows.arrow") as write, reporter.bar("rows read") as advance:
        for part in ordered_map(work.read, numbered):
            work.checks.add(part.sound, part.found)
            quarantine.add(part.bad, part.bad_labels)
            classes.update(part.classes)
            totals.update(rows=part.rows.num_rows, unlabelled=part.num_unlabelled)
            write(part.rows)
            advance(part.num_read)
    entries = quarantine.entries(source)
    write_quarantine(entries, directory / "quarantine.parquet")
    try:
        kept = classes if _are_classes(schema, {*classes, *quarantine.lost}) else {}
        check_budget(quarantine, entries, totals["rows"], kept, budget or Budget())
        anomalies = tuple(_acted_on([*_new_columns(schema), *work.checks.anomalies()], actions))
    except DataError:
        if refused is not None and entries:
            write_quarantine(entries, refused)
            reporter.note(f"every bad row is listed in {refused}")
        raise
    return Ingested(schema, totals["rows"], totals["unlabelled"], quarantine.summary(), anomalies)


@contextmanager
def _rows_file(path: Path) -> Iterator[Callable[[pa.RecordBatch], None]]:
    """What writes batches to a file, one after another, with the same dictionaries; none are no file."""
    writer, unified = None, Dictionaries()

    def write(batch: pa.RecordBatch) -> None:
        nonlocal writer
        rows = unified(batch)
        writer = writer or pa.ipc.new_stream(path, rows.schema)
        writer.write_batch(rows)

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()


@dataclass(frozen=True)
class _Part:
    """One batch, converted and checked."""

    num_read: int
    rows: pa.RecordBatch
    sound: pa.RecordBatch
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
    pixel_size: tuple[int, int] | None = None

    def read(self, numbered: tuple[int, pa.RecordBatch]) -> _Part:
        first_row, raw = numbered
        typed, bad_values = convert(raw, self.schema, self.folder)
        typed, bad_images = _with_image_columns(typed, self.schema, self.pixel_size)
        bad = [(value.row, value.column, value.value, value.reason) for value in (*bad_values, *bad_images)]
        # A row with a bad value is told as that, and as no anomaly besides.
        sound = np.setdiff1d(np.arange(typed.num_rows), [row for row, *_ in bad]) if bad else np.arange(typed.num_rows)
        checked = typed.take(pa.array(sound)) if bad else typed
        found = self.checks.look(checked)
        bad += self._violations(found, raw, sound)
        bad_rows = np.unique([row for row, *_ in bad]).astype(np.int64)
        label = typed.column(self.schema.label.name)
        bad_labels = _names(label.take(pa.array(bad_rows))) if len(bad_rows) else []
        without = {row for row, column, *_ in bad if column == self.schema.label.name}
        bad_labels = [None if row in without else name for row, name in zip(bad_rows, bad_labels, strict=True)]
        rows = typed.append_column(ROW_KEY, pa.array(self._row_keys(typed))).drop_columns(
            [column.name for column in self.schema.dropped]
        )
        if len(bad_rows):
            keep = np.ones(typed.num_rows, bool)
            keep[bad_rows] = False
            rows = rows.filter(pa.array(keep))
        kept_label = rows.column(self.schema.label.name)
        placed = [(first_row + row, column, value, reason) for row, column, value, reason in bad]
        counts = _class_counts(kept_label)
        return _Part(typed.num_rows, rows, checked, found, placed, bad_labels, counts, kept_label.null_count)

    def _row_keys(self, typed: pa.RecordBatch) -> np.ndarray:
        columns = (*self.schema.features, *self.schema.others, *self.schema.dropped)
        names = [f"{column.name}.{IMAGE_KEY}" if column.kind == "image" else column.name for column in columns]
        return row_keys(typed, names)

    def _violations(
        self, found: list[Found], raw: pa.RecordBatch, sound: np.ndarray
    ) -> list[tuple[int, str, str, str]]:
        return [
            (row, part.feature, _plain(raw.column(part.feature)[row].as_py()), part.kind.replace("_", " "))
            for part in found
            if self.actions.get(part.kind) == "quarantine"
            for row in sound[part.rows].tolist()
        ]


def _numbered(batches: Iterator[pa.RecordBatch], most: int | None) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Each batch with the number of its first row, cut to at most so many rows."""
    first_row = 0
    for batch in batches:
        for start in range(0, batch.num_rows, most or max(batch.num_rows, 1)):
            yield first_row + start, batch.slice(start, most)
        first_row += batch.num_rows


def _with_image_columns(
    batch: pa.RecordBatch, schema: Schema, size: tuple[int, int] | None
) -> tuple[pa.RecordBatch, list[BadValue]]:
    """Adds what a look at the images tells."""
    bad: list[BadValue] = []
    for name in schema.of_kind("image"):
        values = batch.column(name).to_pylist()
        looks: list[Looked | None] = []
        for row, found in enumerate(look_all(values, size)):
            if isinstance(found, DataError):
                shown = values[row] if isinstance(values[row], str) else "(bytes)"
                reason = found.message.partition(_NO_IMAGE)[2]
                bad.append(BadValue(name, row, shown, f"{_NO_IMAGE.strip()}{reason}"))
                found = None
            looks.append(found)
        for about in IMAGE_ABOUT:
            sizes = pa.array([getattr(found, about, None) for found in looks], pa.int32())
            batch = batch.append_column(f"{name}.{about}", sizes)
        keys = pa.array([None if found is None else int(found.key) for found in looks], pa.uint64())
        signatures = [None if found is None else found.signature for found in looks]
        batch = batch.append_column(f"{name}.{IMAGE_KEY}", keys)
        batch = batch.append_column(f"{name}.{IMAGE_SIGNATURE}", pa.array(signatures, pa.binary(SIGNATURE_BYTES)))
        if size is not None:
            pixels = pa.array([None if found is None else found.pixels for found in looks], pa.large_binary())
            batch = batch.append_column(pixels_name(name, *size), pixels)
    return batch, bad


def _pixel_size(
    sample: pa.Table, schema: Schema, folder: Path | None, wanted: tuple[int, int] | None
) -> tuple[int, int] | None:
    """The size of the pixels to keep; None without images, and for small ones, whose own size train may want."""
    for name in schema.of_kind("image"):
        first = convert(
            pa.RecordBatch.from_arrays([sample[name].combine_chunks()[:_LOOKED_AT]], names=[name]),
            Schema((), Feature(name, "image")),
            folder,
        )[0]
        found = [looked for looked in look_all(first.column(0).to_pylist()) if isinstance(looked, Looked)]
        if wanted or any(max(looked.height, looked.width) > DEFAULT_IMAGE_SIZE for looked in found):
            return wanted or (DEFAULT_IMAGE_SIZE, DEFAULT_IMAGE_SIZE)
    return None


def _class_counts(label: pa.Array) -> dict[str, int]:
    encoded = label if pa.types.is_dictionary(label.type) else label.dictionary_encode()
    if len(encoded.dictionary) > _MOST_CLASSES:
        return {str(place): 1 for place in range(_MOST_CLASSES + 1)}  # no classes: see where it is used
    counts = np.bincount(np.asarray(encoded.indices.drop_null()), minlength=len(encoded.dictionary)).tolist()
    return {_plain(name): count for name, count in zip(encoded.dictionary.to_pylist(), counts, strict=True) if count}


def _names(label: pa.Array) -> list[str | None]:
    return [None if value is None else _plain(value) for value in label.to_pylist()]


def _plain(value: object) -> str:
    """A value as people write it: whole numbers without a decimal point, as they stand in a file."""
    whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
    return str(int(value)) if whole else str(value)  # type: ignore[call-overload]


def _are_classes(schema: Schema, names: set[str]) -> bool:
    """Whether a label has classes that could vanish; a number has, if it is one of a few whole ones."""
    if schema.label.kind == "categorical":
        return len(names) <= _MOST_CLASSES
    return len(names) <= MAX_CLASSES and all(name.removeprefix("-").isdigit() for name in names)


def _new_columns(schema: Schema) -> list[Anomaly]:
    unknown = [name for name, reason in schema.ignored if reason == UNKNOWN_COLUMN]
    return [Anomaly("new_column", name, 1, (), "the columns of the schema file") for name in unknown]


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
