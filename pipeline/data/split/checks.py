"""What a split refuses: each in one place, so that every splitter says the same."""

from __future__ import annotations

import numpy as np

from pipeline.data.sides import SIDES
from pipeline.errors import DataError

# A unit may hold this much more than the largest side's share before the shares are called impossible.
TOLERANCE = 1.2


def checked(sides: np.ndarray, test: bool = True, fix: str | None = None) -> np.ndarray:
    """The sides as they came.

    Args:
      sides: uint8 [rows].
      test: whether there must be test rows.
      fix: what to say instead of the usual advice.

    Raises:
      DataError: a side is empty.
    """
    counts = {name: int((sides == side).sum()) for side, name in enumerate(SIDES)}
    empty = [name for name, count in counts.items() if count == 0 and (test or name != "test")]
    if empty:
        held = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise DataError(
            f"The split leaves no rows in {' and '.join(empty)} ({held}).",
            expected="rows on all three sides",
            fix=fix or "Add rows, or give larger fractions: split = {train = 0.6, validation = 0.2, test = 0.2}.",
        )
    return sides


def column_of(name: str | None, column: np.ndarray | None, rows: int, splitter: str) -> np.ndarray:
    """The column that a splitter needs.

    Raises:
      DataError: it was not handed over, or is of another length than the labels.
    """
    if column is None:
        raise DataError(
            f'The split {splitter} needs the values of the column "{name}", and there are none.',
            expected="a column of the data",
            fix=f'Name one: split = {{name = "{splitter}", column = "..."}}.',
        )
    check_length(column, rows, f'The column "{name}"')
    return column


def check_length(values: np.ndarray | None, rows: int, what: str) -> None:
    """Refuses an array that is not of the labels' length.

    Raises:
      DataError: it is not.
    """
    if values is not None and len(values) != rows:
        raise DataError(f"{what} has {len(values)} values for {rows} labels.", expected="one a row")


def check_groups(name: str, groups: np.ndarray, column: np.ndarray, largest_share: float, sides: int) -> None:
    """Refuses groups that cannot be divided.

    Args:
      name: the column's.
      groups: int64 [labelled rows] numbers from 0.
      column: [labelled rows] its values.
      largest_share: of the rows, that the largest side is to have.
      sides: number of sides (or folds and test).

    Raises:
      DataError: fewer groups than sides, or one that is far larger than any side.
    """
    sizes = np.bincount(groups)
    if (sizes > 0).sum() < sides:
        raise DataError(
            f'The column "{name}" has {(sizes > 0).sum()} groups for {sides} sides.',
            expected="more groups than sides: all rows of a group are on one side",
            fix="Name a column with more values, or split by rows: split = Stratified.",
        )
    if sizes.max() > min(1.0, largest_share * TOLERANCE) * len(groups):
        value = column[np.flatnonzero(groups == sizes.argmax())[0]]
        raise DataError(
            f'The group "{value}" of the column "{name}" holds {sizes.max()} of {len(groups)} rows, and they cannot be '
            "parted.",
            expected=f"no group larger than the largest side ({largest_share:.0%} of the rows)",
            fix="Name another column, or split by rows: split = Stratified.",
        )
