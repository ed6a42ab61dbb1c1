"""Numbers to mean 0 and variance 1; missing ones to 0 with an indicator beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from pipeline.data.kinds import Kind
from pipeline.data.statistics import Moments
from pipeline.data.transforms.scale import FittedScale

if TYPE_CHECKING:
    import tensorflow as tf

# Standardized values beyond this are cut off: one absurd value at serving must not drive every unit of the
# network. A heavy tail keeps its order up to here.
LIMIT = 20.0
# Where the mean is so much larger than the spread, float32 input would lose what distinguishes the values.
_MAX_FLOAT32_RATIO = 1e4


@dataclass
class NumberLearner:
    """The moments of all numbers, and a sample of them.

    Attributes:
      moments: of all.
      samples: evenly spread rows, null where missing.
    """

    moments: Moments = field(default_factory=Moments)
    samples: list[pa.Array] = field(default_factory=list)

    def add(self, column: pa.Array) -> None:
        """Takes float64 [rows], null where missing."""
        self.moments = self.moments.merge(Moments.of(floats_of(column)))

    def add_sample(self, column: pa.Array) -> None:
        """Takes the same of some rows."""
        self.samples.append(column)

    def values(self) -> np.ndarray:
        """The sample without what is missing, float64 [n]."""
        return np.concatenate([np.empty(0), *(floats_of(column.drop_null()) for column in self.samples)])


@dataclass(frozen=True)
class Standardize:
    """Learns mean and standard deviation: alone from all train values, at the end of a chain from the sample."""

    kinds: ClassVar[tuple[Kind, ...]] = ("numeric",)
    scales: ClassVar[bool] = True

    def learner(self) -> NumberLearner:
        """What must see train."""
        return NumberLearner()

    def fit(self, learner: NumberLearner) -> Standardized:
        """From the numbers of train. A constant column is sent to 0, whatever comes later."""
        statistics = learner.moments
        constant = _is_constant(statistics)
        return Standardized(
            mean=statistics.mean,
            scale=0.0 if constant else 1.0 / statistics.standard_deviation,
            indicator=statistics.num_missing > 0,
            dtype="float64" if is_wide(statistics) else "float32",
        )

    def fit_values(self, values: np.ndarray) -> FittedScale:
        """As the last step of a chain: from train values, float64 [n], as the steps before it left them."""
        moments = Moments.of(values)
        return FittedScale.of(values, moments.mean, moments.standard_deviation / 2)


def _is_constant(moments: Moments) -> bool:
    """Below the rounding of the values themselves, a spread is noise; below 1e-300 its inverse is not finite."""
    largest = max(abs(moments.minimum), abs(moments.maximum))
    return moments.standard_deviation <= max(largest * 1e-12, 1e-300)


def is_wide(moments: Moments) -> bool:
    """Whether a column in float32 would lose what distinguishes its values."""
    largest = max(abs(moments.minimum), abs(moments.maximum))
    wide = largest > moments.standard_deviation * _MAX_FLOAT32_RATIO or largest > float(np.finfo(np.float32).max) / 4
    return wide and not _is_constant(moments)


@dataclass(frozen=True)
class Standardized:
    """`clip((x - mean) * scale)`; missing and not-finite values become 0.

    Attributes:
      mean, scale: of the column on train; a scale of 0 for a constant column.
      indicator: whether a second column tells what was missing: if anything was missing in train.
      dtype: of the raw column when serving; float64 where float32 would lose what distinguishes values.
    """

    mean: float
    scale: float
    indicator: bool
    dtype: str
    part: ClassVar[str] = "numeric"
    lead: ClassVar[int] = 1

    @property
    def width(self) -> int:
        """The number of columns."""
        return 1 + self.indicator

    def __call__(self, column: pa.Array) -> np.ndarray:
        """Encodes a column.

        Args:
          column: float64 [rows], null or NaN where missing.

        Returns:
          float32 [rows, 1], or [rows, 2] with the indicator.
        """
        values = floats_of(column)
        with np.errstate(over="ignore"):  # beyond the range of float32 is not finite: missing, as in serving
            raw = values.astype(self.dtype).astype(np.float64)
        missing = ~np.isfinite(raw)
        scaled = np.clip((np.where(missing, self.mean, raw) - self.mean) * self.scale, -LIMIT, LIMIT)
        columns = [scaled, missing] if self.indicator else [scaled]
        return np.stack(columns, axis=1).astype(np.float32)

    def layer(self) -> Any:
        """The same in TensorFlow: `dtype` [rows] -> float32 [rows, 1 or 2], bit for bit equal."""
        import tensorflow as tf

        class Layer(tf.Module):
            """The serving form, in the same order of operations and in float64 as above."""

            def __call__(_, values: tf.Tensor) -> tf.Tensor:
                raw = tf.cast(values, tf.float64)
                missing = tf.logical_not(tf.math.is_finite(raw))
                mean, scale = tf.constant(self.mean, tf.float64), tf.constant(self.scale, tf.float64)
                scaled = tf.clip_by_value((tf.where(missing, mean, raw) - mean) * scale, -LIMIT, LIMIT)
                columns = [scaled, tf.cast(missing, tf.float64)] if self.indicator else [scaled]
                return tf.cast(tf.stack(columns, axis=1), tf.float32)

        return Layer()


def floats_of(column: pa.Array) -> np.ndarray:
    """A stored numeric column as float64 [rows], NaN where missing."""
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)
