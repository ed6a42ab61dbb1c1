"""The Gregorian calendar in whole numbers, by operators alone: for NumPy arrays and TensorFlow tensors alike.

After Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": years begin in March there, so that the leap day is
a year's last and needs no case of its own. Division rounds down and remainders are not negative, as in Python.
"""

from __future__ import annotations

from typing import Any

DAY_MICROSECONDS = 86_400_000_000
MINUTE_MICROSECONDS = 60_000_000
# Of the years 1 to 9999, which four digits can write.
FIRST_MICROSECOND = -719_162 * DAY_MICROSECONDS
LAST_MICROSECOND = 2_932_897 * DAY_MICROSECONDS - 1

_ERA_DAYS = 146_097  # 400 years
_EPOCH = 719_468  # days from the first of March of the year 0 to 1970
_JANUARY = 306  # days from the first of March to the first of January


def days_from_date(year: Any, month: Any, day: Any) -> Any:
    """Days since 1970-01-01; a month of 13 is the next January. All int64 of one shape.

    >>> days_from_date(1970, 1, 1), days_from_date(2024, 2, 29), days_from_date(2024, 3, 1), days_from_date(1, 1, 1)
    (0, 19782, 19783, -719162)
    """
    year = year - (14 - month) // 12
    era, month = year // 400, (month + 9) % 12
    year = year - era * 400
    day_of_year = (153 * month + 2) // 5 + day - 1
    return era * _ERA_DAYS + year * 365 + year // 4 - year // 100 + day_of_year - _EPOCH


def day_of_year(days: Any) -> Any:
    """0 for the first of January, up to 365.

    Args:
      days: since 1970-01-01, int64.

    >>> day_of_year(0), day_of_year(-1), day_of_year(19782), day_of_year(19783), day_of_year(20148)
    (0, 364, 59, 60, 59)
    """
    days = days + _EPOCH
    era = days // _ERA_DAYS
    day = days - era * _ERA_DAYS
    year = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    day = day - (365 * year + year // 4 - year // 100)
    in_new_year = day // _JANUARY
    return day + (1 - in_new_year) * (59 + _is_leap(year)) - in_new_year * _JANUARY


def weekday(days: Any) -> Any:
    """0 for Monday, up to 6.

    >>> weekday(0), weekday(4), weekday(-4)
    (3, 0, 6)
    """
    return (days + 3) % 7


def _is_leap(year: Any) -> Any:
    return _divides(4, year) - _divides(100, year) + _divides(400, year)


def _divides(number: int, year: Any) -> Any:
    return 1 - (year % number + number - 1) // number
