"""What a table holds: the kind of every column, inferred from its first rows or declared by a person.

Kinds: `numeric` (stored as float64, missing and not-finite values as null), `categorical` (stored as
stripped text) and `image` (stored as a path or as encoded bytes). `?`, empty text and NaN are missing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.data.sides import SIDE_OF_NAME, SPLIT_COLUMNS, TRAIN
from pipeline.errors import DataError, did_you_mean

Kind = Literal["numeric", "categorical", "image"]

MISSING = ("", "?", "nan", "NaN", "NAN")
# A column of text is numeric if at least this share of its values are numbers: then the others are
# mistakes in it, to be shown, and not the sign of a category.
NUMERIC_FRACTION = 0.8
SAMPLE_ROWS = 100_000


@dataclass(frozen=True)
class Feature:
    """One column that the model sees, or the label."""

    name: str
    kind: Kind


@dataclass(frozen=True)
class Schema:
    """The columns of a source, by what they are used for.

    Attributes:
      features: in the order of the source.
      label: the column to predict, numeric or categorical.
      split: a column that gives every row's side, or None.
      ignored: (column, reason) of those that are not used.
    """

    features: tuple[Feature, ...]
    label: Feature
    split: str | None = None
    ignored: tuple[tuple[str, str], ...] = ()

    @property
    def columns(self) -> tuple[Feature, ...]:
        """Everything that is stored: features, label and split."""
        split = (Feature(self.split, "categorical"),) if self.split else ()
        return (*self.features, self.label, *split)

    def of_kind(self, kind: Kind) -> tuple[str, ...]:
        """The names of the features of a kind."""
        return tuple(feature.name for feature in self.features if feature.kind == kind)

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` is the inverse."""
        return asdict(self)

    @staticmethod
    def from_json(value: dict[str, Any]) -> Schema:
        """The inverse of `to_json`."""
        return Schema(
            tuple(Feature(**feature) for feature in value["features"]),
            Feature(**value["label"]),
            value["split"],
            tuple((name, reason) for name, reason in value["ignored"]),
        )


@dataclass(frozen=True)
class BadValue(Exception):
    """A value that its column's kind does not admit: column, row within the batch, the value."""

    column: str
    row: int
    value: str


def infer_schema(
    sample: pa.Table,
    *,
    label: str | None,
    split: str | None = None,
    drop: Collection[str] = (),
    numeric: Collection[str] = (),
    categorical: Collection[str] = (),
    images: Collection[str] = (),
) -> Schema:
    """Infers the kind of every column.

    Args:
      sample: the first rows, as the source gives them.
      label: the column to predict.
      split: the column that gives the sides; None: recognized by its name and values, if there is one.
      drop, numeric, categorical, images: columns about which a person or the source knows.

    Raises:
      DataError: a named column does not exist, or a column's type cannot be used.
    """
    names = sample.column_names
    label = _existing(label, names, "label")
    for key, listed in {"drop": drop, "numeric": numeric, "categorical": categorical}.items():
        for name in listed:
            _existing(name, names, f"features.{key}")
    split = _existing(split, names, "split.column") if split else recognize_split_column(sample, label)
    if split:
        sides = pc.utf8_lower(normalize_text(pc.cast(sample[split], pa.string())))
        held_out = pc.is_in(sides, value_set=pa.array([name for name, side in SIDE_OF_NAME.items() if side == 2]))
        sample = sample.filter(pc.invert(held_out))  # a kind is learnt, and nothing is learnt from test

    declared: dict[str, Kind] = dict.fromkeys(images, "image")
    declared.update(dict.fromkeys(numeric, "numeric"))
    declared.update(dict.fromkeys(categorical, "categorical"))
    features, ignored = [], []
    for name in names:
        if name in (label, split):
            continue
        if name in drop:
            ignored.append((name, "dropped in the config"))
        elif not name.strip():
            ignored.append((name, "it has no name, as an index that was written along"))
        elif (kind := declared.get(name) or _kind(sample[name], name)) is None:
            ignored.append((name, "it holds no value in the first rows"))
        else:
            features.append(Feature(name, kind))
    if not features:
        raise DataError("No column is left to learn from.", expected="at least one feature besides the label")
    label_kind = declared.get(label) or _kind(sample[label], label) or "categorical"
    return Schema(tuple(features), Feature(label, label_kind), split, tuple(ignored))


def recognize_split_column(sample: pa.Table, label: str | None) -> str | None:
    """The column that holds a published split: named like one, and every value in it a side's name."""
    for name in sample.column_names:
        if (
            name.strip().lower() in SPLIT_COLUMNS
            and name != label
            and pa.types.is_string(sample.schema.field(name).type)
        ):
            values = {str(value).strip().lower() for value in pc.unique(sample[name]).to_pylist()}
            sides = {SIDE_OF_NAME.get(value) for value in values}
            if TRAIN in sides and len(sides) > 1 and None not in sides:
                return name
    return None


def convert(batch: pa.RecordBatch, schema: Schema) -> pa.RecordBatch:
    """The columns of the schema, in the types they are stored in.

    Raises:
      BadValue: a value does not fit its column's kind.
      DataError: nor does the column's type, which a person declared to be of that kind.
    """
    return pa.RecordBatch.from_pydict({column.name: _converted(batch, column) for column in schema.columns})


def _converted(batch: pa.RecordBatch, feature: Feature) -> pa.Array:
    column = batch.column(feature.name)
    try:
        return _CONVERT[feature.kind](column, feature.name)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f'The column "{feature.name}" is of type {column.type}, which cannot be {feature.kind}: {error}',
            fix=f'Convert it, or leave it out: features.drop = ["{feature.name}"].',
        ) from error


def normalize_text(column: pa.Array) -> pa.Array:
    """Stripped text, missing values as null."""
    stripped = pc.ascii_trim_whitespace(column)  # ASCII, as TensorFlow strips when serving
    missing = pc.is_in(stripped, value_set=pa.array(MISSING))
    return pc.if_else(missing, pa.scalar(None, pa.string()), stripped)


def _existing(name: str | None, names: Collection[str], key: str) -> str:
    if name is None:
        raise DataError(
            f'The config has no "{key}".', expected=f"one of the columns {_listed(names)}", fix=f'Add {key} = "COLUMN".'
        )
    if name not in names:
        raise DataError(
            f'"{key}": there is no column "{name}".',
            expected=f"one of {_listed(names)}",
            fix=did_you_mean(name, names).strip() or None,
        )
    return name


def _listed(names: Collection[str]) -> str:
    shown = list(names)[:30]
    return ", ".join(shown) + (f" and {len(names) - 30} more" if len(names) > 30 else "")


def _kind(column: pa.ChunkedArray, name: str) -> Kind | None:
    """None where there is no value to tell from."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_null(kind):
        return None
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "numeric"
    if pa.types.is_boolean(kind):
        return "categorical"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _kind_of_text(normalize_text(pc.cast(column, pa.string())))
    raise DataError(
        f'The column "{name}" is of type {column.type}, which cannot be used yet.',
        expected="numbers, text or booleans",
        fix=f'Convert it, or leave it out: features.drop = ["{name}"].',
    )


def _kind_of_text(values: pa.ChunkedArray) -> Kind | None:
    values = values.drop_null()
    if len(values) == 0:
        return None
    try:
        pc.cast(values, pa.float64())
        return "numeric"
    except pa.ArrowInvalid:
        counts = pc.value_counts(values).to_pylist()
    numbers = sum(entry["counts"] for entry in counts if _is_number(entry["values"]))
    return "numeric" if numbers >= NUMERIC_FRACTION * len(values) else "categorical"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def _to_numeric(column: pa.Array, name: str) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        text = normalize_text(pc.cast(column, pa.string()))
        try:
            column = pc.cast(text, pa.float64())
        except pa.ArrowInvalid:
            row = next(_bad_rows(text))
            raise BadValue(name, row, text[row].as_py()) from None
    column = pc.cast(column, pa.float64(), safe=False)
    return pc.if_else(pc.is_finite(column), column, pa.scalar(None, pa.float64()))


def _to_text(column: pa.Array, name: str) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return normalize_text(pc.cast(column, pa.string()))


def _to_image(column: pa.Array, name: str) -> pa.Array:
    return column


_CONVERT = {"numeric": _to_numeric, "categorical": _to_text, "image": _to_image}


def _bad_rows(text: pa.Array, start: int = 0) -> Iterator[int]:
    """Rows that Arrow will not cast to a number, in order: by halves, so that Arrow itself is the judge."""
    try:
        pc.cast(text, pa.float64())
    except pa.ArrowInvalid:
        if len(text) == 1:
            yield start
            return
        half = len(text) // 2
        yield from _bad_rows(text[:half], start)
        yield from _bad_rows(text[half:], start + half)
