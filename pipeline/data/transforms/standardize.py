"""Numbers to mean 0 and variance 1; missing ones to 0 with an indicator beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from pipeline.data.statistics import Moments

if TYPE_CHECKING:
    import tensorflow as tf

# Standardized values beyond this are cut off: one absurd value at serving must not drive every unit of the
# network. A heavy tail keeps its order up to here.
LIMIT = 20.0
# Where the mean is so much larger than the spread, float32 input would lose what distinguishes the values.
_MAX_FLOAT32_RATIO = 1e4


@dataclass(frozen=True)
class Standardize:
    """Learns mean and standard deviation."""

    def fit(self, statistics: Moments) -> Standardized:
        """From the moments of the column on train. A constant column is sent to 0, whatever comes later."""
        deviation = statistics.standard_deviation
        largest = max(abs(statistics.minimum), abs(statistics.maximum))
        # Below the rounding of the values themselves, a spread is noise; below 1e-300 its inverse is not finite.
        constant = deviation <= max(largest * 1e-12, 1e-300)
        wide = largest > deviation * _MAX_FLOAT32_RATIO or largest > float(np.finfo(np.float32).max) / 4
        return Standardized(
            mean=statistics.mean,
            scale=0.0 if constant else 1.0 / deviation,
            indicator=statistics.num_missing > 0,
            dtype="float64" if wide and not constant else "float32",
        )


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
