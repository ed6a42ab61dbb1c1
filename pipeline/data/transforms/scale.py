"""A number's distance from a center, in units of a width: what several scalers come to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

# A width below this part of the largest value is the rounding of the values themselves.
_LEAST_WIDTH = 1e-12
_SMALLEST_WIDTH = 1e-300


@dataclass(frozen=True)
class FittedScale:
    """`(x / 2 - center / 2) * scale`: of halves, since the distance of two numbers may be larger than float64.

    Attributes:
      center: what becomes 0.
      scale: 1 / half of what becomes 1; 0 for a column that tells nothing, which becomes 0 everywhere.

    Example:
      >>> FittedScale(10.0, 1.0)(np.array([10.0, 14.0])).tolist()
      [0.0, 2.0]
    """

    center: float
    scale: float

    @staticmethod
    def of(values: np.ndarray, center: float, half_width: float) -> FittedScale:
        """For a width by its half; it tells nothing where it is no more than the rounding of the values."""
        largest = float(np.abs(values).max()) if len(values) else 0.0
        constant = half_width <= max(largest * _LEAST_WIDTH, _SMALLEST_WIDTH)
        return FittedScale(center, 0.0 if constant else 1.0 / half_width)

    def __call__(self, values: Any) -> Any:
        """float64 [rows], arrays and tensors."""
        return (values * 0.5 - self.center * 0.5) * self.scale
