"""Columns that name rows: another value in almost every one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pipeline.data.kinds import Kind
from pipeline.data.leaks.leak import Leak

MIN_ROWS = 30
# Text that differs in this share of the rows names them.
DISTINCT = 0.95
# Numbers drawn by chance would have met this often, and yet they never do: a chance of exp(-12).
EXPECTED_MEETINGS = 12


def find_identifiers(columns: Mapping[str, np.ndarray], kinds: Mapping[str, Kind]) -> list[Leak]:
    """Categorical columns and whole numbers that have another value in almost every row.

    Args:
      columns: codes int64 with -1, or float64 with NaN. [rows]
      kinds: of the columns.

    Example:
      >>> [leak.features for leak in find_identifiers({"id": np.arange(100.0)}, {"id": "numeric"})]
      [('id',)]
    """
    searches = {"categorical": _names_rows, "numeric": _counts_rows}
    found = [searches[kinds[name]](name, values) for name, values in columns.items() if kinds[name] in searches]
    return [leak for leak in found if leak is not None]


def _names_rows(name: str, codes: np.ndarray) -> Leak | None:
    there = codes[codes >= 0]
    distinct = len(np.unique(there))
    if len(there) < MIN_ROWS or distinct < DISTINCT * len(there):
        return None
    return _leak(name, distinct, len(there))


def _counts_rows(name: str, values: np.ndarray) -> Leak | None:
    """Whole numbers, none twice, that either only rise (or fall) or lie so close that chance would have repeated some.

    n numbers drawn from a range of r have n^2 / 2r equal pairs, at least: the birthday problem. Prices and counts
    repeat; numbers that were given out do not.
    """
    there = values[~np.isnan(values)]
    if len(there) < MIN_ROWS or (there != np.floor(there)).any() or len(np.unique(there)) < len(there):
        return None
    steps = np.diff(there)
    span = float(there.max() - there.min()) + 1
    if (steps > 0).all() or (steps < 0).all() or len(there) ** 2 / (2 * span) >= EXPECTED_MEETINGS:
        return _leak(name, len(there), len(there))
    return None


def _leak(name: str, distinct: int, rows: int) -> Leak:
    share = "every one" if distinct == rows else f"{distinct:,}"
    return Leak("identifier", (name,), f'"{name}" has another value in {share} of {rows:,} train rows', distinct / rows)
