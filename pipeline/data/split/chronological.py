"""By time: learn from the past, be measured on the future."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from pipeline.data.sides import NO_SIDE, TEST, TRAIN, VALIDATION
from pipeline.data.split.checks import check_length, checked, column_of
from pipeline.data.split.partition import dense, held
from pipeline.data.split.splitter import Shares
from pipeline.data.split.strata import labelled, present
from pipeline.errors import ConfigError, DataError

_SECONDS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_GAP = re.compile(r"(\d+(?:\.\d+)?)\s*([wdhms])")


@dataclass(frozen=True, kw_only=True)
class Time(Shares):
    """The oldest rows are train, then comes validation, the newest are test; equal times stay on one side.

    Rows without a time are on no side. Of the copies of a row (a unit), those on a later side than the first are set
    aside. Rows that were in test before stay in it, older or not. With folds the window expands: what is not test is
    cut into `folds` + 1 blocks of time, block `fold` + 1 is validation, those before it are train, those after it are
    on no side (Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 5.10).

    Args:
      train, validation, test, folds, fold: see `Shares`.
      column: the times': date-times or numbers.
      gap: embargo before each boundary: train rows newer than the first validation time less the gap are on no side,
        nor are validation rows newer than the first test time less the gap. "7d", "12h", "30m" for date-times (w, d,
        h, m, s), a number in the column's unit for numbers.
    """

    column: str
    gap: str | float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        fits = _GAP.fullmatch(self.gap.strip()) if isinstance(self.gap, str) else 0 <= self.gap < np.inf
        if not fits:
            raise ConfigError(
                f'"split": gap is {self.gap!r}.',
                expected='a number and w, d, h, m or s, as "7d", "12h", "30m"; for a column of numbers a number from 0',
            )

    @property
    def needs(self) -> str | None:
        """The column of the times."""
        return self.column

    def __call__(
        self,
        labels: np.ndarray,
        *,
        column: np.ndarray | None = None,
        units: np.ndarray | None = None,
        pinned: np.ndarray | None = None,
        seed: int = 0,
    ) -> np.ndarray:
        """The side of each row, uint8 [rows]: see `Splitter.__call__`. The seed has no say.

        Args:
          labels, units, pinned: see there.
          column: datetime64 or numbers [rows], NaT or NaN where missing.

        Raises:
          DataError: the column holds no times, the gap is not in its unit, or a side stays empty.

        Example:
          >>> days = np.datetime64("2026-01-01") + np.arange(10)
          >>> Time(column="day", train=0.5, validation=0.2, test=0.3, gap="1d")(np.zeros(10), column=days).tolist()
          [0, 0, 0, 0, 0, 1, 1, 2, 2, 2]
        """
        times = self._times(column, len(labels))
        check_length(units, len(labels), '"units"')
        check_length(pinned, len(labels), '"pinned"')
        known = labelled(labels) & present(times)
        in_test = held(units, pinned, len(labels)) & known
        free = known & ~in_test
        sides = np.full(len(labels), NO_SIDE, np.uint8)
        sides[free] = self._sides(times[free], int(in_test.sum()))
        sides = sides if units is None else _keep_first(sides, dense(units))
        sides[in_test] = TEST
        return checked(sides, fix=f'Add rows, or give larger fractions or a shorter gap (it is "{self.gap}").')

    def _times(self, column: np.ndarray | None, rows: int) -> np.ndarray:
        times = column_of(self.column, column, rows, type(self).__name__)
        if times.dtype.kind not in "Mfiu":
            first = next((value for value in times.tolist() if value is not None), None)
            raise DataError(
                f'The column "{self.column}" holds no times: its first value is "{first}".',
                expected="date-times or numbers, so that older and newer have a meaning",
                fix="Name another column, or write its values as 2026-01-31 or 2026-01-31 12:00.",
            )
        return times if times.dtype.kind != "M" else times.astype("datetime64[us]")

    def _sides(self, times: np.ndarray, num_held: int) -> np.ndarray:
        """Sides of rows that all have a time, uint8 [rows]; `num_held` rows are in test already."""
        order = np.argsort(times, kind="stable")
        ordered = times[order]
        rows = len(times)
        to_test = max(int(np.floor((rows + num_held) * self.test + 0.5)) - num_held, 0)
        cut = _edge(ordered, rows - to_test)
        sides = np.full(rows, TRAIN, np.uint8)
        start, end = self._validation(ordered[:cut])
        sides[start:end], sides[end:cut], sides[cut:] = VALIDATION, NO_SIDE, TEST
        before = _before(self.gap, self.column, times.dtype)
        if before is not None and cut < rows:
            sides[start:end][ordered[start:end] > ordered[cut] - before] = NO_SIDE
        if before is not None and start < end:
            sides[:start][ordered[:start] > ordered[start] - before] = NO_SIDE
        found = np.empty_like(sides)
        found[order] = sides
        return found

    def _validation(self, ordered: np.ndarray) -> tuple[int, int]:
        """Where validation starts and ends among the rows before test."""
        rows = len(ordered)
        if self.folds is None:
            return _edge(ordered, rows - int(np.floor(rows * self.portions.validation + 0.5))), rows
        return tuple(_edge(ordered, rows * (self.fold + block) // (self.folds + 1)) for block in (1, 2))  # type: ignore


def _edge(ordered: np.ndarray, cut: int) -> int:
    """The place nearest to `cut` that parts no equal times."""
    if not 0 < cut < len(ordered):
        return cut
    low = int(np.searchsorted(ordered, ordered[cut], side="left"))
    high = int(np.searchsorted(ordered, ordered[cut], side="right"))
    return low if cut - low <= high - cut or high == len(ordered) else high


def _before(gap: str | float, column: str, dtype: np.dtype) -> np.timedelta64 | float | None:
    """The gap in the unit of the times; None where there is none."""
    match = _GAP.fullmatch(gap.strip()) if isinstance(gap, str) else None
    dated = dtype.kind == "M"
    if match is None and not dated:
        return float(gap) or None
    if match is not None and dated:
        return np.timedelta64(round(float(match[1]) * _SECONDS[match[2]] * 1_000_000), "us")
    if gap == 0:
        return None
    raise DataError(
        f'The gap {gap!r} does not fit the column "{column}", which holds {"date-times" if dated else "numbers"}.',
        expected='a time as "7d", "12h" or "30m"' if dated else "a number in the unit of the column, as gap = 7",
    )


def _keep_first(sides: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Of every unit only what is on the side of its oldest rows: train 0 < validation 1 < test 2 < none 255."""
    first = np.full(int(numbers.max(initial=-1)) + 1, NO_SIDE, np.uint8)
    np.minimum.at(first, numbers, sides)
    return np.where(sides > first[numbers], np.uint8(NO_SIDE), sides)
