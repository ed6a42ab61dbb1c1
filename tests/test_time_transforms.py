"""Times to numbers, and text to times as Arrow reads it."""

from __future__ import annotations

import calendar
import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import tensorflow as tf
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.data.transforms import DateTimeParts
from pipeline.data.transforms.calendar import FIRST_MICROSECOND, LAST_MICROSECOND, day_of_year, days_from_date, weekday
from pipeline.data.transforms.date_time_parts import FittedDateTimeParts
from pipeline.data.transforms.iso_time import parse_iso_time
from pipeline.data.transforms.standardize import LIMIT
from pipeline.export.raw import raw_column
from tests.columns import TIMES, encoded, fitted_on, stored


def date_time(train: list[datetime.datetime | None]) -> FittedDateTimeParts:
    fitted: FittedDateTimeParts = fitted_on(DateTimeParts(), train, "datetime")
    return fitted


@given(TIMES)
def test_the_calendar_agrees_with_that_of_python(time: datetime.datetime | None) -> None:
    assume(time is not None)
    date = time.date()  # type: ignore[union-attr]
    days = (date - datetime.date(1970, 1, 1)).days
    assert days_from_date(date.year, date.month, date.day) == days
    assert weekday(days) == date.weekday()
    assert day_of_year(days) == date.timetuple().tm_yday - 1
    length = calendar.monthrange(date.year, date.month)[1]
    assert days_from_date(date.year, date.month + 1, 1) - days_from_date(date.year, date.month, 1) == length


@pytest.mark.parametrize(
    "text",
    [
        "2024-02-29",
        "1969-12-31",
        "0001-01-01",
        "9999-12-31T23:59:59.999999",
        "2024-05-06 07",
        "2024-05-06 07:08",
        "2024-05-06T07:08:09",
        "2024-05-06T07:08:09Z",
        "2024-05-06T07:08:09.5",
        "2024-05-06 07:08:09.000001Z",
        "2024-05-06T07:08+02:00",
        "2024-01-01T00:30:00+0130",
        "2023-12-31T23:30-01",
    ],
)
def test_text_is_read_as_a_time_as_arrow_reads_it_when_rows_are_stored(text: str) -> None:
    zoned = pa.timestamp("us", "UTC")
    clock = text[10:]
    expected = pc.cast(pa.array([text]), zoned if set(clock) & set("Z+-") else pa.timestamp("us")).cast(pa.int64())
    found, exists = parse_iso_time(tf.constant([f" {text}\t"]))
    assert exists.numpy().tolist() == [True]
    assert found.numpy().tolist() == expected.to_pylist()


@pytest.mark.parametrize(
    "text",
    [
        *("", "?", "NaN", "soon", "2024", "2024-1-1", "10000-01-01", "2024-01-01X", "x2024-01-01", "２０２４-01-01"),
        *("2024-13-01", "2024-00-10", "2024-01-00", "2023-02-29", "1900-02-29", "2024-04-31", "0000-01-01"),
        *("2024-01-01T24:00", "2024-01-01T00:60", "2024-01-01T00:00:60", "2024-01-01T00:00+01:60"),
        "2024-01-01\n2024-01-01",
    ],
)
def test_text_that_is_no_time_is_missing(text: str) -> None:
    fitted = date_time([datetime.datetime(2024, 1, 1), datetime.datetime(2024, 2, 1), None])
    found = fitted.layer()(tf.constant([text])).numpy()
    assert found.tolist() == [[0.0] * (fitted.width - 1) + [1.0]]
    assert np.array_equal(found, encoded(fitted, [None], "datetime"))


@given(TIMES)
def test_a_stored_time_survives_the_text_that_is_served(time: datetime.datetime | None) -> None:
    column = stored([time], "datetime")
    found, exists = parse_iso_time(tf.constant(raw_column(column, "string").tolist()))
    assert bool(exists[0]) == (time is not None)
    assert found.numpy()[0] == (column.cast(pa.int64())[0].as_py() or 0)


def test_times_beyond_four_digits_of_the_year_are_missing() -> None:
    column = pa.array([FIRST_MICROSECOND - 1, FIRST_MICROSECOND, LAST_MICROSECOND, LAST_MICROSECOND + 1])
    fitted = FittedDateTimeParts(0, 1e-20, has_clock=True, indicator=True)
    assert fitted(column.cast(pa.timestamp("us")))[:, -1].tolist() == [1.0, 0.0, 0.0, 1.0]


def test_a_time_is_its_distance_from_the_mean_and_its_places_in_day_week_and_year() -> None:
    monday, tuesday = datetime.datetime(2024, 1, 1), datetime.datetime(2024, 1, 2, 18)
    fitted = date_time([monday, tuesday])
    found = encoded(fitted, [monday, tuesday], "datetime")
    assert found[:, 0].tolist() == pytest.approx([-1.0, 1.0])
    quarter, day, year = 2 * np.pi * 3 / 4, 2 * np.pi / 7, 2 * np.pi / 366
    assert found[0, 1:].tolist() == pytest.approx([0, 1, 0, 1, 0, 1], abs=1e-6)
    expected = [f(angle) for angle in (quarter, day, year) for f in (np.sin, np.cos)]
    assert found[1, 1:].tolist() == pytest.approx(expected, abs=1e-6)


def test_dates_without_a_clock_have_no_place_in_the_day() -> None:
    dates = [datetime.datetime(2024, 1, day) for day in (1, 2, 5)]
    assert encoded(date_time(dates), dates, "datetime").shape == (3, 5)
    assert encoded(date_time([*dates, datetime.datetime(2024, 1, 9, 0, 1)]), dates, "datetime").shape == (3, 7)


@given(st.lists(TIMES, max_size=5), st.lists(TIMES, min_size=1, max_size=5))
def test_date_time_parts_are_finite_and_bounded_whatever_comes(train: list[Any], values: list[Any]) -> None:
    found = encoded(date_time(train), values, "datetime")
    assert np.abs(found).max() <= LIMIT
    if len(set(train) - {None}) < 2:
        assert not found[:, 0].any()
