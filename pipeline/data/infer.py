"""The kind of every column, inferred from its first rows or declared by a person."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.data.convert import TAG_SEPARATOR, is_text, normalize_text, num_misfits
from pipeline.data.kinds import Kind
from pipeline.data.rows import IMAGE_ABOUT, IMAGE_KEY, IMAGE_SIGNATURE, ROW_KEY
from pipeline.data.schema import Feature, Schema
from pipeline.data.sides import SIDE_OF_NAME, SPLIT_COLUMNS, TEST, TRAIN
from pipeline.errors import DataError, did_you_mean

# A column of text is numeric if at least this share of its values are numbers: then the others are
# mistakes in it, to be set aside, and not the sign of a category. The same for dates.
FITTING_FRACTION = 0.8
# Text is a message rather than a category if its values have several words and seldom repeat.
_TEXT_WORDS, _TEXT_DISTINCT, _TEXT_VALUES = 3.0, 0.5, 20
# Values with a separator are lists if most of the separated parts are seen again and again.
_TAGGED_FRACTION, _TAG_REPEATS = 0.2, 3.0
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png")
UNKNOWN_COLUMN = "the schema does not know it"
_IMAGE_BYTES = (b"\xff\xd8\xff", b"\x89PNG")


@dataclass(frozen=True)
class Wanted:
    """What a person, the schema file or the source knows of the columns.

    Attributes:
      label: the column to predict.
      split: a column that gives the sides; None: recognized by its name and values, if there is one.
      others: columns that only the split needs, with their kinds.
      drop: columns to leave out.
      kinds: column -> kind.
      known: if not None, the only columns that may be features: those of the schema file.
      weight: the column that says how much each row counts.
    """

    label: str | None
    split: str | None = None
    others: Mapping[str, Kind | None] = field(default_factory=dict)
    drop: Collection[str] = ()
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    known: Collection[str] | None = None
    weight: str | None = None


def infer_schema(sample: pa.Table, wanted: Wanted, folder: Path | None = None) -> Schema:
    """Infers the kind of every column.

    Args:
      sample: some rows, as the source gives them.
      wanted: what is known.
      folder: where relative paths of images begin.

    Raises:
      DataError: a named column does not exist, a column's type cannot be used, or the weight's has another use.
    """
    names = sample.column_names
    label = _existing(wanted.label, names, "label")
    for name in wanted.drop:
        _existing(name, names, "features.drop")
    for name, kind in wanted.kinds.items():
        _existing(name, names, f"features.{kind}" if wanted.known is None else "schema_file")
    for name in wanted.others:
        _existing(name, names, "split.column")
    split = _existing(wanted.split, names, "split.column") if wanted.split else None
    if split is None:
        split = recognize_split_column(sample, label)
    if split:
        sample = _without_test(sample, split)  # a kind is learnt, and nothing is learnt from test
    weight = _weight(wanted, names, label, split)

    features: list[Feature] = []
    dropped: list[Feature] = []
    ignored: list[tuple[str, str]] = []
    for name in names:
        if name in (label, split, weight):
            continue
        reason = _reason_to_ignore(name, wanted)
        if reason == UNKNOWN_COLUMN and _is_empty(sample[name]):
            reason = None  # nothing new: as the schema was written, it was left out for that
        found = None if reason else wanted.kinds.get(name) or kind_of(sample[name], name, folder)
        if found is None:
            ignored.append((name, reason or "it holds no value in the first rows"))
            dropped += _dropped(sample, name, wanted, folder)
        else:
            features.append(Feature(name, found))
    if not features:
        left_out = "; ".join(f'"{name}" is left out: {reason}' for name, reason in ignored[:10])
        raise DataError(
            f'No column is left to learn from beside the label "{label}"{f" ({left_out})" if left_out else ""}.',
            expected="at least one feature besides the label",
        )
    others = tuple(
        Feature(name, kind or kind_of(sample[name], name, folder) or "categorical")
        for name, kind in wanted.others.items()
        if name != label and name not in {feature.name for feature in features}
    )
    label_feature = Feature(label, _label_kind(sample, label, wanted, folder))
    return _unreserved(Schema(tuple(features), label_feature, split, others, tuple(dropped), tuple(ignored), weight))


def _unreserved(schema: Schema) -> Schema:
    """Without dropped columns of a name that the stored rows use themselves.

    Raises:
      DataError: another column has such a name.
    """
    parts = (*IMAGE_ABOUT, IMAGE_KEY, IMAGE_SIGNATURE)
    reserved = {ROW_KEY, *(f"{image}.{part}" for image in schema.of_kind("image") for part in parts)}
    if taken := [column.name for column in schema.columns if column.name in reserved]:
        raise DataError(
            f'The column "{taken[0]}" has a name that the stored rows use for what they add.', expected="another name",
            fix=f'Rename it, or leave it out: features.drop = ["{taken[0]}"].',
        )  # fmt: skip
    return replace(schema, dropped=tuple(column for column in schema.dropped if column.name not in reserved))


def recognize_split_column(sample: pa.Table, label: str | None) -> str | None:
    """The column that holds a published split: named like one, and every value in it a side's name."""
    for name in sample.column_names:
        if name.strip().lower() in SPLIT_COLUMNS and name != label and is_text(sample.schema.field(name).type):
            values = {str(value).strip().lower() for value in pc.unique(sample[name]).to_pylist()}
            sides = {SIDE_OF_NAME.get(value) for value in values}
            if TRAIN in sides and len(sides) > 1 and None not in sides:
                return name
    return None


def kind_of(column: pa.ChunkedArray, name: str, folder: Path | None = None) -> Kind | None:
    """The kind that the values have the look of; None where there is no value to tell from.

    Raises:
      DataError: the column's type cannot be used.
    """
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_null(kind):
        return None
    if is_text(kind):
        return _kind_of_text(normalize_text(pc.cast(column, pa.string())).drop_null(), folder)
    for test, found in _KIND_OF_TYPE:
        if test(kind):
            return found
    if _holds_images(column):
        return "image"
    raise DataError(
        f'The column "{name}" is of type {column.type}, which cannot be used.',
        expected="numbers, text, booleans, dates, lists of text, or images",
        fix=f'Convert it, or leave it out: features.drop = ["{name}"].',
    )


_KIND_OF_TYPE: tuple[tuple[Callable[[pa.DataType], bool], Kind], ...] = (
    (pa.types.is_integer, "numeric"),
    (pa.types.is_floating, "numeric"),
    (pa.types.is_decimal, "numeric"),
    (pa.types.is_boolean, "categorical"),
    (pa.types.is_timestamp, "datetime"),
    (pa.types.is_date, "datetime"),
    (lambda kind: pa.types.is_list(kind) and not pa.types.is_floating(kind.value_type), "tags"),
)


def _holds_images(column: pa.ChunkedArray) -> bool:
    if pa.types.is_struct(column.type) and {"bytes", "path"} <= {field.name for field in column.type}:
        column = pc.struct_field(column, "bytes")
    if not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
        return False
    first = column.drop_null()[:10].to_pylist()
    return bool(first) and all(value.startswith(_IMAGE_BYTES) for value in first)


def _kind_of_text(values: pa.ChunkedArray, folder: Path | None) -> Kind | None:
    if len(values) == 0:
        return None
    for kind in ("numeric", "datetime"):
        if _fits(values, kind):  # type: ignore[arg-type]
            return kind  # type: ignore[return-value]
    if _are_image_paths(values, folder):
        return "image"
    if _are_lists(values):
        return "tags"
    words = pc.mean(pc.add(pc.count_substring_regex(values, r"\s+"), 1)).as_py()
    distinct = len(pc.unique(values)) / len(values)
    is_message = words >= _TEXT_WORDS and distinct >= _TEXT_DISTINCT and len(values) >= _TEXT_VALUES
    return "text" if is_message else "categorical"


def _fits(values: pa.ChunkedArray, kind: Kind) -> bool:
    """Whether most of the values are of this kind."""
    return len(values) - num_misfits(values.combine_chunks(), kind) >= FITTING_FRACTION * len(values)


def _is_empty(column: pa.ChunkedArray) -> bool:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not is_text(kind):
        return bool(column.null_count == len(column))
    return normalize_text(pc.cast(column, pa.string())).null_count == len(column)


def _are_image_paths(values: pa.ChunkedArray, folder: Path | None) -> bool:
    first = [str(value) for value in values[:20].to_pylist()]
    return all(value.lower().endswith(IMAGE_ENDINGS) for value in first) and any(
        ((folder or Path()) / value).exists() for value in first
    )


def _are_lists(values: pa.ChunkedArray) -> bool:
    tagged = pc.mean(pc.cast(pc.match_substring(values, TAG_SEPARATOR), pa.float64())).as_py()
    if tagged < _TAGGED_FRACTION:
        return False
    parts = pc.list_flatten(pc.split_pattern(values, TAG_SEPARATOR))
    return len(parts) >= _TAG_REPEATS * len(pc.unique(parts))


def _without_test(sample: pa.Table, split: str) -> pa.Table:
    sides = pc.utf8_lower(normalize_text(pc.cast(sample[split], pa.string())))
    names = pa.array([name for name, side in SIDE_OF_NAME.items() if side == TEST])
    return sample.filter(pc.invert(pc.is_in(sides, value_set=names)))


def _reason_to_ignore(name: str, wanted: Wanted) -> str | None:
    if name in wanted.drop:
        return "dropped in the config"
    if name in wanted.others and name not in wanted.kinds:
        return "it decides the split"
    if not name.strip():
        return "it has no name, as an index that was written along"
    if wanted.known is not None and name not in wanted.known:
        return UNKNOWN_COLUMN
    return None


def _dropped(sample: pa.Table, name: str, wanted: Wanted, folder: Path | None) -> list[Feature]:
    """A dropped column as what it would have been, if it can be anything."""
    if name not in wanted.drop or name in wanted.others:
        return []
    try:
        kind = wanted.kinds.get(name) or kind_of(sample[name], name, folder)
    except DataError:
        return []
    return [Feature(name, kind)] if kind and kind != "image" else []


def _weight(wanted: Wanted, names: Collection[str], label: str, split: str | None) -> str | None:
    if wanted.weight is None:
        return None
    name = _existing(wanted.weight, names, "features.weight")
    uses = dict.fromkeys(wanted.drop, "in features.drop") | dict.fromkeys(wanted.others, "the split's column")
    uses |= {split or label: "the split's column", label: "the label"}
    if (kind := wanted.kinds.get(name, "numeric")) != "numeric":
        uses[name] = f"declared as {kind}"
    if name in uses:
        raise DataError(
            f'"features.weight": the column "{name}" is {uses[name]}.',
            expected="a column of numbers that has no other use",
            fix="Name another column, or remove features.weight.",
        )
    return name


def _label_kind(sample: pa.Table, label: str, wanted: Wanted, folder: Path | None) -> Kind:
    kind = wanted.kinds.get(label) or kind_of(sample[label], label, folder) or "categorical"
    if kind == "text":
        return "categorical"
    if kind not in ("numeric", "categorical"):
        raise DataError(
            f'The label "{label}" is of kind {kind}.', expected="a number or a category",
            fix=f'Choose another column; or, if its values are categories: features.categorical = ["{label}"].',
        )  # fmt: skip
    return kind


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
