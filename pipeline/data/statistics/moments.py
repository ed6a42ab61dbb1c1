"""Mean and variance, mergeable.

Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances" (1979): in
float64, without the cancellation of sums of squares.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# Squares of what lies between are far from both ends of float64, so that nearly every column has the scale 1.
_SMALLEST_SPAN, _LARGEST_SPAN = 2.0**-400, 2.0**400


@dataclass(frozen=True)
class Moments:
    """Of one numeric column; values that are missing or not finite count as missing.

    Attributes:
      num_rows: values seen, missing ones included.
      num_missing: how many of them were missing.
      mean: of the others; 0 where there are none.
      m2: sum of squared differences from the mean, in units of `scale` squared.
      minimum, maximum: of the others; 0 where there are none.
      scale: 1, or a power of two near the width of a column so wide (or narrow) that squares leave float64.

    Example:
      >>> merged = Moments.of(np.array([1.0, 2.0])).merge(Moments.of(np.array([3.0, np.nan])))
      >>> merged.mean, merged.variance, merged.num_missing
      (2.0, 0.6666666666666666, 1)
      >>> Moments.of(np.array([-1e300, 1e300])).standard_deviation
      1e+300
    """

    num_rows: int = 0
    num_missing: int = 0
    mean: float = 0.0
    m2: float = 0.0
    minimum: float = 0.0
    maximum: float = 0.0
    scale: float = 1.0

    @staticmethod
    def of(values: np.ndarray) -> Moments:
        """The moments of a float array [rows]."""
        finite = np.isfinite(values)
        present = np.asarray(values if finite.all() else values[finite], np.float64)
        if len(present) == 0:
            return Moments(len(values), len(values))
        minimum, maximum = float(present.min()), float(present.max())
        scale = _scale(minimum, maximum)
        # Around a value of the column, so that neither a large mean nor large values lose digits or overflow.
        shift = float(present[0]) / scale
        differences = (present if scale == 1 else present / scale) - shift
        step = float(differences.mean())
        differences -= step
        m2 = float(np.square(differences, out=differences).sum())
        mean = (shift + step) * scale
        return Moments(len(values), len(values) - len(present), mean, m2, minimum, maximum, scale)

    def merge(self, other: Moments) -> Moments:
        """The moments of both sets of values together."""
        rows, missing = self.num_rows + other.num_rows, self.num_missing + other.num_missing
        if self.count == 0 or other.count == 0:
            known = other if self.count == 0 else self
            return Moments(rows, missing, known.mean, known.m2, known.minimum, known.maximum, known.scale)
        minimum, maximum = min(self.minimum, other.minimum), max(self.maximum, other.maximum)
        scale = _scale(minimum, maximum)
        total, difference = self.count + other.count, other.mean / scale - self.mean / scale
        m2 = self._m2_in(scale) + other._m2_in(scale) + difference**2 * (self.count * other.count / total)
        mean = (self.mean / scale + difference * other.count / total) * scale
        return Moments(rows, missing, mean, m2, minimum, maximum, scale)

    @property
    def count(self) -> int:
        """Values that were there."""
        return self.num_rows - self.num_missing

    @property
    def standard_deviation(self) -> float:
        """Of the population; finite for whatever finite values. 0 where nothing was there."""
        return math.sqrt(self.m2 / self.count) * self.scale if self.count else 0.0

    @property
    def variance(self) -> float:
        """Of the population: divided by the count. 0 where nothing was there, inf where float64 cannot hold it."""
        return self.m2 / self.count * self.scale * self.scale if self.count else 0.0

    def _m2_in(self, scale: float) -> float:
        return self.m2 * (self.scale / scale) * (self.scale / scale) if self.m2 else 0.0


def count_values(column: pa.Array) -> Counter[str]:
    """How often each text occurs, missing values left out. Counters merge by `+`.

    Example:
      >>> count_values(pa.array(["a", None, "a"]))
      Counter({'a': 2})
    """
    counts = pc.value_counts(column.drop_null())
    return Counter(dict(zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True)))


def _scale(minimum: float, maximum: float) -> float:
    """Of the bounds alone, so that merged parts have the scale of one pass. Halves, because the width may overflow."""
    half = maximum / 2 - minimum / 2
    if half == 0 or _SMALLEST_SPAN < half < _LARGEST_SPAN:
        return 1.0
    return math.ldexp(1.0, math.frexp(half)[1] - 1)
