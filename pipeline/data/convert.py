"""Raw columns to the types that are stored; a value that does not fit its column is told, not fatal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.data.bad_weights import unusable
from pipeline.data.kinds import Kind
from pipeline.data.missing import MISSING
from pipeline.data.schema import Feature, Schema
from pipeline.errors import DataError

TAG_SEPARATOR = "|"
TIMESTAMP = pa.timestamp("us")
# Whatever Arrow reads as a number; what matches and is refused all the same is found by halves.
_NUMBER = r"^[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|[iI][nN][fF](inity)?|[nN][aA][nN])$"
_FIRST_TIME, _LAST_TIME = (pa.scalar(time, TIMESTAMP) for time in (datetime.min, datetime.max))
_ZONE = r"(Z|[+-]\d\d:?\d\d)$"
_Found = tuple[pa.Array, np.ndarray]


@dataclass(frozen=True)
class BadValue:
    """A value that its column's kind does not admit: column, row within the batch, the value, what is wrong."""

    column: str
    row: int
    value: str
    reason: str


def convert(batch: pa.RecordBatch, schema: Schema, folder: Path | None = None) -> tuple[pa.RecordBatch, list[BadValue]]:
    """The columns of the schema, dropped ones included, in the types they are stored in.

    Args:
      batch: raw columns.
      schema: which are wanted, as what.
      folder: where relative paths of images begin.

    Returns:
      All rows, a bad value null in them; and the bad values.

    Raises:
      DataError: a column's type can never be of its kind.
    """
    bad: list[BadValue] = []
    columns = {}
    for feature in (*schema.columns, *schema.dropped):
        column = batch.column(feature.name)
        columns[feature.name], rows = _converted(column, feature)
        if feature in schema.dropped:
            continue  # a column that nobody wants cannot make a row bad
        found = [(rows, REASONS[feature.kind])]
        if feature.name == schema.weight:
            found += unusable(columns[feature.name], rows)
        for wrong, reason in found:
            bad += _bad_values(feature.name, column, wrong, reason)
        if feature.kind == "image" and folder is not None:
            columns[feature.name] = _below(columns[feature.name], folder)
    return pa.RecordBatch.from_pydict(columns), bad


def num_misfits(column: pa.Array, kind: Kind) -> int:
    """How many values of a raw column do not fit a kind.

    >>> num_misfits(pa.array(["1", "2.5", "old", "?"]), "numeric")
    1
    """
    return len(_converted(column, Feature("", kind))[1])


def _bad_values(name: str, raw: pa.Array, rows: np.ndarray, reason: str) -> list[BadValue]:
    shown = _shown(_decoded(raw).take(pa.array(rows))) if len(rows) else []
    values = ["" if value is None else str(value) for value in shown]
    return [BadValue(name, int(row), value, reason) for row, value in zip(rows, values, strict=True)]


def _shown(values: pa.Array) -> list[object]:
    """Values for people; a time may be one that Python does not have."""
    return (values.cast(pa.string()) if pa.types.is_timestamp(values.type) else values).to_pylist()


REASONS: dict[Kind, str] = {
    "numeric": "not a number",
    "datetime": "not a date or time in ISO 8601, such as 2026-01-31 or 2026-01-31T12:00:00",
    "categorical": "not text",
    "text": "not text",
    "tags": "not a list",
    "image": "not a readable image",
}


def normalize_text(column: pa.Array) -> pa.Array:
    """Stripped text, missing values as null."""
    stripped = pc.ascii_trim_whitespace(column)  # ASCII, as TensorFlow strips when serving
    missing = pc.is_in(stripped, value_set=pa.array(MISSING))
    return pc.if_else(missing, pa.scalar(None, pa.string()), stripped)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column is of strings of any width."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _converted(column: pa.Array, feature: Feature) -> _Found:
    try:
        return _CONVERT[feature.kind](column)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise DataError(
            f'The column "{feature.name}" is of type {column.type}, which cannot be {feature.kind}: {error}',
            fix=f'Convert it, or leave it out: features.drop = ["{feature.name}"].',
        ) from error


def _decoded(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _none() -> np.ndarray:
    return np.empty(0, np.int64)


def _to_numeric(column: pa.Array) -> _Found:
    column, bad = _decoded(column), _none()
    if is_text(column.type):
        text = normalize_text(pc.cast(column, pa.string()))
        try:
            column = pc.cast(text, pa.float64())
        except pa.ArrowInvalid:
            column, bad = _cast_what_fits(text, lambda values: pc.cast(values, pa.float64()), _NUMBER, pa.float64())
    column = pc.cast(column, pa.float64(), safe=False)
    if pc.all(pc.is_finite(column)).as_py() is not False:
        return column, bad
    return pc.if_else(pc.is_finite(column), column, pa.scalar(None, pa.float64())), bad


def _to_categorical(column: pa.Array) -> _Found:
    if pa.types.is_dictionary(column.type) and is_text(column.type.value_type):
        # Cleaned once a category, not once a row; two spellings of one category then share a place.
        cleaned = normalize_text(pc.cast(column.dictionary, pa.string()))
        if cleaned.equals(column.dictionary) and pa.types.is_int32(column.type.index_type):
            return column, _none()
        dictionary = cleaned.dictionary_encode()
        codes = dictionary.indices.take(column.indices)
        return pa.DictionaryArray.from_arrays(pc.cast(codes, pa.int32()), dictionary.dictionary), _none()
    return normalize_text(_as_text(_decoded(column))).dictionary_encode(), _none()


def _to_text(column: pa.Array) -> _Found:
    return normalize_text(_as_text(_decoded(column))), _none()


def _as_text(column: pa.Array) -> pa.Array:
    """Whole numbers in a float column lose their ".0": a code 7 is the category "7" however it was stored."""
    if pa.types.is_floating(column.type):
        whole = pc.all(pc.equal(pc.round(column), column)).as_py()
        if whole and pc.all(pc.less(pc.abs(column), 2.0**53)).as_py():
            column = pc.cast(column, pa.int64())
    return pc.cast(column, pa.string())


def _to_datetime(column: pa.Array) -> _Found:
    column, bad = _decoded(column), _none()
    if is_text(column.type):
        text = normalize_text(pc.cast(column, pa.string()))
        try:
            return pc.cast(text, TIMESTAMP), bad
        except pa.ArrowInvalid:
            return _cast_what_fits(text, _parse_times, r"^\d{4}-\d\d-\d\d", TIMESTAMP)
    if pa.types.is_timestamp(column.type) and column.type.tz is not None:
        column = pc.cast(column, pa.timestamp("us", "UTC"), safe=False)
    return pc.cast(column, TIMESTAMP, safe=False), bad


def _within_the_calendar(column: pa.Array, bad: np.ndarray) -> _Found:
    """Times of the years 1 to 9999, which Python and ISO 8601 have; others are bad."""
    extremes = pc.min_max(column)
    if not pc.or_(pc.less(extremes["min"], _FIRST_TIME), pc.greater(extremes["max"], _LAST_TIME)).as_py():
        return column, bad
    outside = pc.fill_null(pc.or_(pc.less(column, _FIRST_TIME), pc.greater(column, _LAST_TIME)), False)
    rows = np.union1d(bad, np.flatnonzero(np.asarray(outside)))
    return pc.if_else(outside, pa.scalar(None, TIMESTAMP), column), rows.astype(np.int64)


def _parse_times(text: pa.Array) -> pa.Array:
    """Times with and without a zone; a zone is taken into UTC."""
    zoned = pc.match_substring_regex(text, _ZONE)
    if not pc.any(zoned).as_py():
        return pc.cast(text, TIMESTAMP)
    with_zone = pc.cast(pc.if_else(zoned, text, pa.scalar(None, pa.string())), pa.timestamp("us", "UTC"))
    without = pc.cast(pc.if_else(zoned, pa.scalar(None, pa.string()), text), TIMESTAMP)
    return pc.coalesce(pc.cast(with_zone, TIMESTAMP), without)


def _to_tags(column: pa.Array) -> _Found:
    column = _decoded(column)
    kind = pa.list_(pa.string())
    if is_text(column.type):
        text = normalize_text(pc.cast(column, pa.string()))
        return pc.cast(_trimmed(pc.split_pattern(text, TAG_SEPARATOR)), kind), _none()
    return pc.cast(column, kind), _none()


def _trimmed(lists: pa.ListArray) -> pa.ListArray:
    return pa.ListArray.from_arrays(lists.offsets, pc.ascii_trim_whitespace(lists.values), mask=lists.is_null())


def _to_image(column: pa.Array) -> _Found:
    column = _decoded(column)
    if pa.types.is_struct(column.type):  # as Hugging Face stores images: {bytes, path}
        return pc.struct_field(column, "bytes"), _none()
    if is_text(column.type) or pa.types.is_null(column.type):
        return normalize_text(pc.cast(column, pa.string())), _none()
    if pa.types.is_binary(column.type):
        return column, _none()
    if not (pa.types.is_large_binary(column.type) or pa.types.is_fixed_size_binary(column.type)):
        raise pa.ArrowTypeError("an image is a path or bytes")
    return pc.cast(column, pa.binary()), _none()


_CONVERT: dict[Kind, Callable[[pa.Array], _Found]] = {
    "numeric": _to_numeric,
    "categorical": _to_categorical,
    "text": _to_text,
    "datetime": lambda column: _within_the_calendar(*_to_datetime(column)),
    "tags": _to_tags,
    "image": _to_image,
}


def _below(paths: pa.Array, folder: Path) -> pa.Array:
    """Paths of images made absolute. Bytes stay as they are."""
    if not is_text(paths.type):
        return paths
    return pa.array([None if path is None else str(folder / path) for path in paths.to_pylist()], pa.string())


def _cast_what_fits(text: pa.Array, cast: Callable[[pa.Array], pa.Array], pattern: str, kind: pa.DataType) -> _Found:
    """The values that `cast` takes, null for the others, and the rows of those."""
    likely = pc.fill_null(pc.match_substring_regex(text, pattern), True)
    bad = set(np.flatnonzero(~likely.to_numpy(zero_copy_only=False)).tolist())
    fitting = pc.if_else(likely, text, pa.scalar(None, pa.string()))
    bad |= set(_refused(fitting, cast))
    mask = np.zeros(len(text), bool)
    mask[list(bad)] = True
    return cast(pc.if_else(pa.array(mask), pa.scalar(None, pa.string()), text)), np.asarray(sorted(bad), np.int64)


def _refused(text: pa.Array, cast: Callable[[pa.Array], pa.Array], start: int = 0) -> Iterator[int]:
    """Rows that `cast` will not take, in order: by halves, so that Arrow itself is the judge."""
    try:
        cast(text)
    except pa.ArrowInvalid:
        if len(text) == 1:
            yield start
            return
        half = len(text) // 2
        yield from _refused(text[:half], cast, start)
        yield from _refused(text[half:], cast, start + half)
