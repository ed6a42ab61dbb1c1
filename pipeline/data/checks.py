"""A batch of rows held against the schema file: what is out of range, new, missing or there twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.data.keys import row_keys
from pipeline.data.kinds import Kind
from pipeline.data.schema_file import Column

Violation = Literal["out_of_range", "not_whole", "new_category", "missing", "not_unique"]
_EXAMPLES = 3


@dataclass(frozen=True)
class Anomaly:
    """One way in which one column is not as expected.

    Attributes:
      kind: what is wrong, a key of the config's section `checks`.
      feature: the column.
      count: values concerned.
      examples: a few of them.
      expected: what the schema says.
    """

    kind: str
    feature: str
    count: int
    examples: tuple[str, ...]
    expected: str

    def line(self) -> str:
        """For people.

        >>> Anomaly("out_of_range", "age", 2, ("-1", "190"), "17 to 90").line()
        'schema: column "age": out of range 2 times, e.g. "-1", "190"; expected 17 to 90'
        """
        times = "once" if self.count == 1 else f"{self.count} times"
        shown = ", ".join(f'"{example}"' for example in self.examples)
        what = self.kind.replace("_", " ") + ("" if self.kind == "new_column" else f" {times}")
        what += f", e.g. {shown}" if shown else ""
        return f'schema: column "{self.feature}": {what}; expected {self.expected}'


@dataclass(frozen=True)
class Found:
    """Rows of one batch that break one expectation."""

    kind: Violation
    feature: str
    rows: np.ndarray
    values: tuple[str, ...]


@dataclass
class Checks:
    """Gathers over all batches.

    Attributes:
      columns: name -> what is expected of it.
    """

    columns: Mapping[str, Column]
    num_rows: int = 0
    missing: dict[str, int] = field(default_factory=dict)
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    examples: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    keys: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def look(self, batch: pa.RecordBatch) -> list[Found]:
        """What is wrong in a batch of stored rows; a pure function, so batches may be looked at side by side."""
        found = []
        for name, column in self.columns.items():
            # A person may have declared another kind than the file's, and a split takes groups and keys as categories.
            if name in batch.schema.names and _is_of_kind(batch.column(name).type, column.kind):
                values = batch.column(name)
                found += [part for part in (_out_of_range(name, column, values), _not_whole(name, column, values),
                                            _new_category(name, column, values)) if part]  # fmt: skip
        return found

    def add(self, batch: pa.RecordBatch, found: list[Found]) -> None:
        """Takes in what `look` found, batch by batch in their order."""
        self.num_rows += batch.num_rows
        for part in found:
            key = (part.kind, part.feature)
            self.counts[key] = self.counts.get(key, 0) + len(part.rows)
            self.examples[key] = tuple(dict.fromkeys((*self.examples.get(key, ()), *part.values)))[:_EXAMPLES]
        for name, column in self.columns.items():
            if name in batch.schema.names:
                self.missing[name] = self.missing.get(name, 0) + batch.column(name).null_count
                if column.unique:
                    present = batch.filter(batch.column(name).is_valid())
                    self.keys.setdefault(name, []).append(row_keys(present, [name]))

    def anomalies(self) -> list[Anomaly]:
        """All of them, column by column."""
        found = [
            Anomaly(kind, name, count, self.examples[kind, name], _expected(kind, self.columns[name]))
            for (kind, name), count in self.counts.items()
        ]
        for name, column in self.columns.items():
            share = self.missing.get(name, 0) / max(self.num_rows, 1)
            if share > column.max_missing:
                expected = f"at most {column.max_missing:.1%} missing, not {share:.1%}"
                found.append(Anomaly("missing", name, self.missing[name], (), expected))
            if name in self.keys:
                keys = np.concatenate(self.keys[name])
                if repeated := len(keys) - len(np.unique(keys)):
                    found.append(Anomaly("not_unique", name, repeated, (), "every value once"))
        order = list(self.columns)
        return sorted(found, key=lambda anomaly: (order.index(anomaly.feature), anomaly.kind))


def _is_of_kind(stored: pa.DataType, kind: Kind) -> bool:
    if pa.types.is_floating(stored) or pa.types.is_timestamp(stored) or pa.types.is_list(stored):
        return bool(_STORED[kind](stored)) if kind in _STORED else False
    return kind not in _STORED


_STORED: dict[Kind, Callable[[pa.DataType], bool]] = {
    "numeric": pa.types.is_floating,
    "datetime": pa.types.is_timestamp,
    "tags": pa.types.is_list,
}


def _out_of_range(name: str, column: Column, values: pa.Array) -> Found | None:
    if (column.min is None and column.max is None) or values.null_count == len(values):
        return None
    low, high = (None if bound is None else _scalar(bound, values.type) for bound in (column.min, column.max))
    extremes = pc.min_max(values)
    too_low = low is not None and pc.less(extremes["min"], low).as_py()
    too_high = high is not None and pc.greater(extremes["max"], high).as_py()
    if not too_low and not too_high:
        return None
    outside = pc.fill_null(pc.less(values, low), False) if low is not None else pa.array(np.zeros(len(values), bool))
    if high is not None:
        outside = pc.or_(outside, pc.fill_null(pc.greater(values, high), False))
    return _found("out_of_range", name, values, outside)


def _scalar(bound: float | str, kind: pa.DataType) -> pa.Scalar:
    """The bounds of a time column are texts in ISO 8601."""
    return pa.scalar(datetime.fromisoformat(bound) if isinstance(bound, str) else bound, kind)


def _not_whole(name: str, column: Column, values: pa.Array) -> Found | None:
    if not column.whole or column.kind != "numeric":
        return None
    broken = pc.fill_null(pc.not_equal(values, pc.round(values)), False)
    return _found("not_whole", name, values, broken) if pc.any(broken).as_py() else None


def _new_category(name: str, column: Column, values: pa.Array) -> Found | None:
    if column.values is None:
        return None
    if pa.types.is_list(values.type):
        parents, tags = pc.list_parent_indices(values), pc.list_flatten(values)
        new = pc.invert(pc.is_in(tags, value_set=pa.array(column.values, pa.string())))
        rows = np.unique(np.asarray(parents.filter(new), np.int64))
        shown = tuple(pc.unique(tags.filter(new)).to_pylist()[:_EXAMPLES])
        return Found("new_category", name, rows, shown) if len(rows) else None
    encoded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    new = pc.invert(pc.is_in(encoded.dictionary, value_set=pa.array(column.values, pa.string())))
    if not pc.any(new).as_py():
        return None
    return _found("new_category", name, values, pc.fill_null(new.take(encoded.indices), False))


def _found(kind: Violation, name: str, values: pa.Array, mask: pa.Array) -> Found | None:
    rows = np.flatnonzero(np.asarray(mask))
    if len(rows) == 0:
        return None
    shown = tuple(dict.fromkeys(_shown(values[int(row)].as_py()) for row in rows[:100]))[:_EXAMPLES]
    return Found(kind, name, rows, shown)


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _expected(kind: str, column: Column) -> str:
    if kind == "new_category":
        values = column.values or ()
        return f"one of {', '.join(values[:8])}{', ...' if len(values) > 8 else ''}"
    if kind == "not_whole":
        return "whole numbers"
    low, high = (None if bound is None else _shown(bound) for bound in (column.min, column.max))
    if low is not None and high is not None:
        return f"{low} to {high}"
    return f"at least {low}" if high is None else f"at most {high}"
