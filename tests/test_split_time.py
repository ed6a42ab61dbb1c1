"""A split by time: from train to test with the gap between, and windows that grow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.sides import NO_SIDE, TEST, TRAIN, VALIDATION
from pipeline.data.split import Time
from pipeline.errors import ConfigError, DataError
from tests.splitters import FRACTIONS, labels, present


@settings(max_examples=50, deadline=None)
@given(found=labels(), fractions=FRACTIONS, gap=st.sampled_from([0, 1, 3]), dated=st.booleans())
def test_time_goes_from_train_to_test_with_the_gap_between(
    found: np.ndarray, fractions: tuple[float, float, float], gap: int, dated: bool
) -> None:
    train, validation, test = (0.1 + 0.7 * fraction for fraction in fractions)
    days = np.random.default_rng(len(found)).permutation(len(found)) // 2
    column = np.datetime64("2026-01-01", "us") + days * np.timedelta64(1, "D") if dated else days.astype(np.float64)
    split_it = Time(
        column="day", train=train, validation=validation, test=test, gap=f"{24 * gap}h" if dated else float(gap)
    )
    try:
        sides = split_it(found, column=column)
    except DataError:  # a gap that eats a small side
        assert gap > 0
        return
    first, last = ([ends(days[sides == side]) for side in (TRAIN, VALIDATION, TEST)] for ends in (np.min, np.max))
    for before, after in ((TRAIN, VALIDATION), (VALIDATION, TEST)):
        assert first[after] - last[before] >= max(gap, 1)
    known = present(found)
    inside = ((days > first[VALIDATION] - gap) & (days < first[VALIDATION])) | (
        (days > first[TEST] - gap) & (days < first[TEST])
    )
    assert np.array_equal(sides == NO_SIDE, ~known | inside)


def test_rows_without_a_time_are_on_no_side() -> None:
    column = np.arange(100.0)
    column[[3, 99]] = np.nan
    sides = Time(column="day")(np.zeros(100), column=column)
    assert sides[[3, 99]].tolist() == [NO_SIDE] * 2
    assert sides[98] == TEST


def test_of_copies_across_a_boundary_of_time_the_later_ones_are_set_aside() -> None:
    units = np.arange(20)
    units[[2, 15, 19]] = 2
    units[[16, 18]] = 16
    sides = Time(column="day", train=0.5, validation=0.25, test=0.25)(np.zeros(20), column=np.arange(20.0), units=units)
    assert sides.tolist() == [0] * 10 + [1] * 5 + [255, 2, 2, 2, 255]


def test_the_window_of_time_folds_expands() -> None:
    for fold in range(3):
        split_it = Time(column="day", train=0.6, validation=0.2, test=0.2, folds=3, fold=fold)
        sides = split_it(np.zeros(20), column=np.arange(20.0))
        start = 4 * (fold + 1)
        assert sides.tolist() == [0] * start + [1] * 4 + [255] * (12 - start) + [2] * 4


@pytest.mark.parametrize("gap", ["7 days", "d", "-1d", "1.5", "", -1.0, float("nan"), float("inf")])
def test_a_gap_that_is_no_time_is_refused_with_what_is_right(gap: str | float) -> None:
    with pytest.raises(ConfigError, match='(?s)gap is .*"7d", "12h", "30m"'):
        Time(column="day", gap=gap)


@pytest.mark.parametrize(("gap", "dated"), [("7d", False), (7.0, True)])
def test_a_gap_in_another_unit_than_the_column_is_refused(gap: str | float, dated: bool) -> None:
    column = np.arange(100).astype("datetime64[us]" if dated else np.float64)
    with pytest.raises(DataError, match="does not fit"):
        Time(column="day", gap=gap)(np.zeros(100), column=column)


def test_a_gap_that_leaves_nothing_names_itself() -> None:
    with pytest.raises(DataError, match='(?s)no rows in train.*shorter gap.*"90d"'):
        Time(column="day", gap="90d")(np.zeros(99), column=np.datetime64("2026-01-01") + np.arange(99))


def test_text_is_no_time() -> None:
    with pytest.raises(DataError, match='(?s)"day" holds no times.*"monday"'):
        Time(column="day")(np.zeros(3), column=np.asarray([None, "monday", "friday"], object))
