"""Points in time to numbers: how late, and where in the day, the week and the year."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.data.kinds import Kind
from pipeline.data.statistics import Moments
from pipeline.data.transforms.calendar import (
    DAY_MICROSECONDS,
    FIRST_MICROSECOND,
    LAST_MICROSECOND,
    MINUTE_MICROSECONDS,
    day_of_year,
    weekday,
)
from pipeline.data.transforms.iso_time import parse_iso_time
from pipeline.data.transforms.standardize import LIMIT

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass
class TimeLearner:
    """Moments of the days since 1970 and of the minutes since midnight."""

    days: Moments = field(default_factory=Moments)
    minutes: Moments = field(default_factory=Moments)

    def add(self, column: pa.Array) -> None:
        """Takes timestamp("us") [rows]."""
        self.days = self.days.merge(Moments.of(days_of(column)))
        self.minutes = self.minutes.merge(Moments.of(minutes_of(column)))


@dataclass(frozen=True)
class DateTimeParts:
    """Learns mean and spread of the time, and whether it has a time of day."""

    kinds: ClassVar[tuple[Kind, ...]] = ("datetime",)

    def learner(self) -> TimeLearner:
        """What must see train."""
        return TimeLearner()

    def fit(self, learner: TimeLearner) -> FittedDateTimeParts:
        """From the times of train."""
        days, minutes = learner.days, learner.minutes
        deviation = days.standard_deviation
        return FittedDateTimeParts(
            mean_microseconds=round(days.mean * DAY_MICROSECONDS),
            # A spread of less than a microsecond is the rounding of the moments.
            scale=1.0 / (deviation * DAY_MICROSECONDS) if deviation * DAY_MICROSECONDS >= 1 else 0.0,
            has_clock=minutes.maximum > 0,
            indicator=days.num_missing > 0,
        )


@dataclass(frozen=True)
class FittedDateTimeParts:
    """The standardized time, then sine and cosine of minute of the day, day of the week and day of the year.

    Missing times become 0 in every column. Sines come from tables made by NumPy, so that training and serving agree.

    Attributes:
      mean_microseconds: of train, since 1970.
      scale: 1 / standard deviation, a microsecond; 0 where train has one time only.
      has_clock: whether the minute of the day is among the columns: if train has a time that is not midnight.
      indicator: whether a last column tells what was missing: if anything was missing in train.
    """

    mean_microseconds: int
    scale: float
    has_clock: bool
    indicator: bool
    part: ClassVar[str] = "numeric"
    lead: ClassVar[int] = 1
    dtype: ClassVar[str] = "string"

    @property
    def width(self) -> int:
        """The number of columns."""
        return 5 + 2 * self.has_clock + self.indicator

    def __call__(self, values: pa.Array) -> np.ndarray:
        """Encodes a column of timestamp("us"), null where missing: float32 [rows, width]."""
        times, exists = _microseconds(values)
        scaled = np.clip((times - self.mean_microseconds).astype(np.float64) * self.scale, -LIMIT, LIMIT)
        cycles = [table[places] for table, places in self._cycles(times)]
        columns = np.concatenate([scaled.astype(np.float32)[:, None], *cycles], axis=1) * exists[:, None]
        return np.concatenate([columns, ~exists[:, None]], axis=1, dtype=np.float32) if self.indicator else columns

    def layer(self) -> Any:
        """The same in TensorFlow for ISO 8601 text (see `parse_iso_time`): string [rows] -> float32 [rows, width]."""
        import tensorflow as tf

        class Layer(tf.Module):
            """The serving form, in the same order of operations as above."""

            def __call__(_, values: tf.Tensor) -> tf.Tensor:
                times, exists = parse_iso_time(values)
                distance = tf.cast(times - self.mean_microseconds, tf.float64)
                scaled = tf.clip_by_value(distance * tf.constant(self.scale, tf.float64), -LIMIT, LIMIT)
                cycles = [tf.gather(tf.constant(table), places) for table, places in self._cycles(times)]
                present = tf.cast(exists, tf.float32)[:, tf.newaxis]
                columns = tf.concat([tf.cast(scaled, tf.float32)[:, tf.newaxis], *cycles], axis=1) * present
                return tf.concat([columns, 1.0 - present], axis=1) if self.indicator else columns

        return Layer()

    def _cycles(self, times: Any) -> list[tuple[np.ndarray, Any]]:
        """A table [places, 2] and a place for every row, for each cycle; for arrays and tensors."""
        days = times // DAY_MICROSECONDS
        minutes = (times - days * DAY_MICROSECONDS) // MINUTE_MICROSECONDS
        clock = [(_circle(1440), minutes)] if self.has_clock else []
        return [*clock, (_circle(7), weekday(days)), (_circle(366), day_of_year(days))]


def days_of(values: pa.Array) -> np.ndarray:
    """Days since 1970 of timestamp("us"), float64 [rows], NaN where missing.

    >>> days_of(pa.array([43_200_000_000, None], pa.timestamp("us"))).tolist()
    [0.5, nan]
    """
    times, exists = _microseconds(values)
    return np.where(exists, times / DAY_MICROSECONDS, np.nan)


def minutes_of(values: pa.Array) -> np.ndarray:
    """Minutes since midnight, parts of them included, of timestamp("us"), float64 [rows], NaN where missing."""
    times, exists = _microseconds(values)
    return np.where(exists, times % DAY_MICROSECONDS / MINUTE_MICROSECONDS, np.nan)


def _microseconds(values: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Since 1970, int64 [rows], 0 where missing; and what is not. Beyond the years 1 to 9999 is missing."""
    times = np.asarray(pc.fill_null(pc.cast(values, pa.int64()), FIRST_MICROSECOND - 1))
    exists = (times >= FIRST_MICROSECOND) & (times <= LAST_MICROSECOND)
    return np.where(exists, times, 0), exists


def _circle(places: int) -> np.ndarray:
    angles = 2 * np.pi * np.arange(places) / places
    return np.stack([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)
