"""Rows that are set aside: which, where they stand, why; and how many may be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.data.sources.source import Place, Reject, Source
from pipeline.errors import DataError

# More than this cannot be meant: a column or a delimiter is named wrongly. It bounds the memory, too.
_MOST = 1_000_000
# A share of a class is judged from so many rows on; below, one bad row would be a large share.
_CLASS_ROWS = 20
_SCHEMA = pa.schema(
    [
        ("file", pa.string()),
        ("line", pa.int64()),
        ("column", pa.string()),
        ("value", pa.string()),
        ("reason", pa.string()),
    ]
)


@dataclass(frozen=True)
class Budget:
    """How much may be set aside.

    Attributes:
      max_rows: rows; None: any number.
      max_fraction: share of all rows.
      max_class_fraction: share of the rows of any one class of the label.
    """

    max_rows: int | None = None
    max_fraction: float = 0.05
    max_class_fraction: float = 0.2


@dataclass(frozen=True)
class Entry:
    """One reason to set a row aside."""

    place: Place
    column: str | None
    value: str
    reason: str

    def line(self) -> str:
        """For people: `rows.csv:17, column "age": "old" is not a number`."""
        where = f'{self.place}, column "{self.column}"' if self.column else str(self.place)
        shown = f'"{self.value[:80]}" is {self.reason}' if self.column else f"{self.reason}: {self.value[:80]}"
        return f"{where}: {shown}"


@dataclass
class Quarantine:
    """Gathers what is set aside.

    Attributes:
      rejects: what was no row at all.
      values: (row number in the source, column, value, reason).
      lost: class of the label -> rows set aside, where the label could be read.
    """

    rejects: list[Reject] = field(default_factory=list)
    values: list[tuple[int, str, str, str]] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)
    num_rows: int = 0

    def reject(self, reject: Reject) -> None:
        """Something that is no row."""
        self.rejects.append(reject)
        self.num_rows += 1
        self._bounded()

    def add(self, values: list[tuple[int, str, str, str]], labels: list[str | None]) -> None:
        """Rows of which a value is bad; `labels` has one entry a row."""
        self.values += values
        self.num_rows += len(labels)
        self.lost.update(label for label in labels if label is not None)
        self._bounded()

    def entries(self, source: Source) -> list[Entry]:
        """All reasons, in the order of the files and lines."""
        rows = sorted({row for row, *_ in self.values})
        places = dict(zip(rows, source.places(rows) if rows else [], strict=True))
        found = [Entry(reject.place, None, reject.value, reject.reason) for reject in self.rejects]
        found += [Entry(places[row], column, value, reason) for row, column, value, reason in self.values]
        return sorted(found, key=lambda entry: (entry.place.file, entry.place.line or 0, entry.column or ""))

    def summary(self) -> dict[str, Any]:
        """Rows set aside, and reasons by how often."""
        reasons = Counter(reason for *_, reason in self.values)
        reasons.update(_general(reject.reason) for reject in self.rejects)
        return {"rows": self.num_rows, "reasons": dict(reasons.most_common())}

    def _bounded(self) -> None:
        if len(self.values) + len(self.rejects) > _MOST:
            raise DataError(
                f"More than {_MOST:,} values or rows had to be set aside.",
                expected="columns of the declared kinds",
                fix="Look at the source's delimiter and header, and at features.numeric and the schema file.",
            )


def write_quarantine(entries: list[Entry], path: Path) -> None:
    """Writes `quarantine.parquet`: file, line, column (null for a whole row), value, reason."""
    rows = [
        {"file": e.place.file, "line": e.place.line, "column": e.column, "value": e.value, "reason": e.reason}
        for e in entries
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), path)


def check_budget(
    quarantine: Quarantine, entries: list[Entry], num_kept: int, kept: Mapping[str, int], budget: Budget
) -> None:
    """Stops the run where too much is set aside.

    Args:
      quarantine: what is set aside.
      entries: the same, with places.
      num_kept: rows that remain.
      kept: class -> rows that remain; empty for a label that is no class.

    Raises:
      DataError: a budget is exceeded, or a class is gone; the first entries stand in it.
    """
    bad = quarantine.num_rows
    if bad == 0:
        return
    total = num_kept + bad
    reason = None
    if num_kept == 0:
        reason, key = f"all {total} rows", "max_fraction"
    elif budget.max_rows is not None and bad > budget.max_rows:
        reason, key = f"{bad} rows, more than {budget.max_rows}", "max_rows"
    elif bad > budget.max_fraction * total:
        reason, key = f"{bad} of {total} rows ({bad / total:.1%}), more than {budget.max_fraction:.1%}", "max_fraction"
    elif lost := _lost_class(quarantine.lost, kept, budget):
        reason, key = lost, "max_class_fraction"
    if reason is not None:
        shown = "".join(f"\n    {entry.line()}" for entry in entries[:5])
        more = f"\n    and {len(entries) - 5} more" if len(entries) > 5 else ""
        raise DataError(
            f"Bad rows: {reason} (quarantine.{key}):{shown}{more}",
            expected="fewer bad rows than the budget allows",
            fix="Mend them; or, if a column is no number, say so under features; or raise the budget.",
        )


def _lost_class(lost: Mapping[str, int], kept: Mapping[str, int], budget: Budget) -> str | None:
    if not kept:
        return None
    for name, count in sorted(lost.items()):
        rest = kept.get(name, 0)
        if rest == 0:
            return f'every row of class "{name}" ({count})'
        if count + rest >= _CLASS_ROWS and count > budget.max_class_fraction * (count + rest):
            return f'{count} of {count + rest} rows of class "{name}", more than {budget.max_class_fraction:.1%}'
    return None


def _general(reason: str) -> str:
    """The same reason for every line: without its numbers."""
    return "a wrong number of values" if "values where there are" in reason else reason
