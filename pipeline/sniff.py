"""How a text file of rows is written, guessed from its first lines."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from pipeline.data.missing import MISSING

_DELIMITERS = (",", "\t", ";", "|")
_BYTES = 1 << 20


def sniff(path: Path) -> dict[str, Any]:
    """The arguments of `Csv` that differ from what the file's ending says; none for a plain CSV file.

    A delimiter is believed if most lines hold it equally often. There is no header if a value of the first line
    is a number, or stands again further down in its own column and no word of it stands above numbers alone. Quoting
    is off where single quotation marks in a value would be taken for its beginning.

    Args:
      path: of the file, not packed.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as handle:
            lines = [line for line in handle.readlines(_BYTES) if line.strip()]
    except OSError:
        return {}
    expected = "\t" if ".tsv" in path.name.lower() else ","
    delimiter = _delimiter(lines, expected)
    quoting = _is_quoting_sound(lines, delimiter)
    mode = csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE
    csv.field_size_limit(max(csv.field_size_limit(), sum(map(len, lines)) + 1))
    rows = [row for row in csv.reader(lines, delimiter=delimiter, quoting=mode) if row]  # type: ignore[arg-type]
    found: dict[str, Any] = {}
    if delimiter != expected:
        found["delimiter"] = delimiter
    if not quoting:
        found["quoting"] = False
    if rows and not _has_header(rows):
        found["header"] = False
    return found


def _delimiter(lines: list[str], expected: str) -> str:
    def score(sign: str) -> tuple[float, bool]:
        counts = [line.count(sign) for line in lines]
        usual = max(set(counts), key=counts.count) if counts else 0
        return (counts.count(usual) / len(counts) if usual else 0.0, sign == expected)

    return max(_DELIMITERS, key=score) if lines else expected


def _is_quoting_sound(lines: list[str], delimiter: str) -> bool:
    """Whether quotation marks hide separators and line breaks.

    They do not where some line has an odd one and yet every line by itself has the same number of values: a value with
    a line break in it would leave lines that are too short.
    """
    if all(line.count('"') % 2 == 0 for line in lines):
        return True
    widths = {line.count(delimiter) for line in lines}
    return len(widths) != 1 or widths == {0}


def _has_header(rows: list[list[str]]) -> bool:
    first, others = rows[0], rows[1:]
    if any(_is_number(value) for value in first):
        return False
    if any(_is_named(column, value, others) for column, value in enumerate(first)):
        return True
    for column, value in enumerate(first):
        if value.strip() and any(len(row) > column and row[column] == value for row in others):
            return False
    return True


def _is_named(column: int, first: str, others: list[list[str]]) -> bool:
    """Whether the first value, a word, stands above numbers alone."""
    below = [row[column] for row in others if len(row) > column and row[column].strip() not in MISSING]
    return first.strip() not in MISSING and bool(below) and all(_is_number(value) for value in below)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
