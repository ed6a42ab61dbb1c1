"""Statistics as short texts, for the page and for the terminal."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.data.kinds import Kind
from pipeline.data.statistics import FeatureStatistics, Numbers

# The ends, the quartiles, and what is beyond which a value is unusual.
RANKS = {"min": 0.0, "5 %": 0.05, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "95 %": 0.95, "max": 1.0}
_DAY_SECONDS = 86_400.0
# In a column as wide as this the time of day says nothing.
_LONG_SECONDS = 60 * _DAY_SECONDS
_EPOCH = datetime.datetime(1970, 1, 1)


@dataclass(frozen=True)
class Summary:
    """One line of a table; empty texts where a kind of column has no such number.

    Attributes:
      side: train, validation or test.
      of: what the numbers are of, where it is not the value itself: characters, words, height.
      missing, distinct, zeros, mean, deviation: texts.
      quantiles: by the names of `RANKS`.
    """

    side: str
    of: str
    missing: str
    distinct: str
    zeros: str = ""
    mean: str = ""
    deviation: str = ""
    quantiles: tuple[str, ...] = ("",) * len(RANKS)


def summarize(side: str, feature: FeatureStatistics) -> list[Summary]:
    """The lines of one column: one, or one for each of the numbers taken from it.

    Example:
      >>> import pyarrow as pa
      >>> from pipeline.data.statistics import Statistics
      >>> statistics = Statistics.of(pa.record_batch({"age": [30.0, 40.0, None, 50.0]}), {"age": "numeric"})
      >>> line, = summarize("train", statistics.features["age"])
      >>> line.missing, line.mean, line.quantiles[3]
      ('25.0 %', '40', '40')
    """
    missing = percent(feature.missing_fraction) if feature.num_missing else "0"
    distinct = f"{feature.num_distinct:,}" if feature.distinct else ""
    parts = [(part, numbers) for part, numbers in feature.numbers.items() if numbers.moments.count]
    if not parts:
        return [Summary(side, "", missing, distinct)]
    lines = [_line(side, feature.kind, part, numbers) for part, numbers in parts]
    first = lines[0]
    return [
        Summary(side, first.of, missing, distinct, first.zeros, first.mean, first.deviation, first.quantiles),
        *lines[1:],
    ]


def top_shares(feature: FeatureStatistics, limit: int) -> list[tuple[str, float]]:
    """The most frequent values with their shares: of the rows that have one; of words, of all words.

    Where no value comes twice among many, there is nothing to tell.
    """
    if feature.top is None or not feature.top.total:
        return []
    total = feature.count if feature.kind == "tags" else feature.top.total
    items = feature.top.items(limit)
    if len(items) == limit and items[0][1] == 1:
        return []
    return [(name, count / total) for name, count in items]


def number(value: float) -> str:
    """Four digits, or all digits before the point.

    Example:
      >>> number(1234567.0), number(12345.67), number(0.123456), number(-1.5e300)
      ('1,234,567', '12,346', '0.1235', '-1.5e+300')
    """
    if abs(value) < 1e9 and (value == int(value) or abs(value) >= 1000):
        return f"{value:,.0f}"
    return f"{value:.4g}"


def percent(share: float) -> str:
    """With one digit; a trace is not called nothing.

    Example:
      >>> percent(0.25), percent(0.00001), percent(0.99999)
      ('25.0 %', '< 0.1 %', '> 99.9 %')
    """
    if 0 < share < 0.001:
        return "< 0.1 %"
    return "> 99.9 %" if 0.999 < share < 1 else f"{share * 100:.1f} %"


def moment(seconds: float) -> str:
    """The date, with the time of day where there is one; seconds since 1970.

    Example:
      >>> moment(0.0), moment(3600.0)
      ('1970-01-01', '1970-01-01 01:00:00')
    """
    try:
        found = _EPOCH + datetime.timedelta(seconds=seconds)
    except OverflowError:  # Arrow's years reach further than Python's
        return f"{1970 + seconds / _DAY_SECONDS / 365.2425:.0f}"
    return str(found.date()) if found.time() == datetime.time() else found.isoformat(" ", "seconds")


def date(seconds: float) -> str:
    """The date alone.

    Example:
      >>> date(3600.0)
      '1970-01-01'
    """
    return moment(seconds).split(" ")[0]


def printable(text: str, limit: int = 60) -> str:
    r"""On one line, without control characters, and not longer than `limit`.

    Example:
      >>> printable("a\nb\x1b[31m"), printable("long", 3)
      ('a�b�[31m', 'lo…')
    """
    clean = "".join(letter if letter.isprintable() else "\ufffd" for letter in text[: limit + 1])
    return clean if len(clean) <= limit else f"{clean[: limit - 1]}…"


def _line(side: str, kind: Kind, part: str, numbers: Numbers) -> Summary:
    width = numbers.moments.maximum / 2 - numbers.moments.minimum / 2
    shown: Callable[[float], str] = number
    if kind == "datetime":
        shown = date if width > _LONG_SECONDS / 2 else moment
    deviation = numbers.moments.standard_deviation
    zeros = numbers.num_zeros / numbers.moments.count
    return Summary(
        side,
        "" if part in ("value", "seconds") else part,
        "",
        "",
        "" if kind == "datetime" else percent(zeros) if zeros else "0",
        shown(numbers.moments.mean),
        f"{number(deviation / _DAY_SECONDS)} days" if kind == "datetime" else number(deviation),
        tuple(shown(value) for value in numbers.quantiles(list(RANKS.values()))),
    )
