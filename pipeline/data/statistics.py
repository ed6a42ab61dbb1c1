"""Mergeable statistics: `merge(a, b)` equals one pass over both.

Moments follow Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
variances" (1979): in float64, without the cancellation of sums of squares.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True)
class Moments:
    """Of one numeric column; values that are missing or not finite count as missing.

    Attributes:
      num_rows: values seen, missing ones included.
      num_missing: how many of them were missing.
      mean: of the others; 0 where there are none.
      m2: sum of squared differences from the mean.
      minimum, maximum: of the others; 0 where there are none.

    Example:
      >>> merged = Moments.of(np.array([1.0, 2.0])).merge(Moments.of(np.array([3.0, np.nan])))
      >>> merged.mean, merged.variance, merged.num_missing
      (2.0, 0.6666666666666666, 1)
    """

    num_rows: int = 0
    num_missing: int = 0
    mean: float = 0.0
    m2: float = 0.0
    minimum: float = 0.0
    maximum: float = 0.0

    @staticmethod
    def of(values: np.ndarray) -> Moments:
        """The moments of a float array [rows]."""
        present = values[np.isfinite(values)].astype(np.float64)
        if len(present) == 0:
            return Moments(len(values), len(values))
        # Around a value of the column, so that neither a large mean nor large values lose digits or overflow.
        shift = float(present[0])
        mean = shift + float(np.mean(present - shift))
        m2 = float(np.sum(np.square(present - mean)))
        bounds = float(present.min()), float(present.max())
        return Moments(len(values), len(values) - len(present), mean, m2, *bounds)

    def merge(self, other: Moments) -> Moments:
        """The moments of both sets of values together."""
        rows, missing = self.num_rows + other.num_rows, self.num_missing + other.num_missing
        if self.count == 0 or other.count == 0:
            known = other if self.count == 0 else self
            return Moments(rows, missing, known.mean, known.m2, known.minimum, known.maximum)
        total, difference = self.count + other.count, other.mean - self.mean
        return Moments(
            rows,
            missing,
            self.mean + difference * other.count / total,
            self.m2 + other.m2 + difference**2 * self.count * other.count / total,
            min(self.minimum, other.minimum),
            max(self.maximum, other.maximum),
        )

    @property
    def count(self) -> int:
        """Values that were there."""
        return self.num_rows - self.num_missing

    @property
    def variance(self) -> float:
        """Of the population: divided by the count. 0 where nothing was there."""
        return self.m2 / self.count if self.count else 0.0


def count_values(column: pa.Array) -> Counter[str]:
    """How often each text occurs, missing values left out. Counters merge by `+`."""
    counts = pc.value_counts(column.drop_null())
    return Counter(dict(zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True)))
