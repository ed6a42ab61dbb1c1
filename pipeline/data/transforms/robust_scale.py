"""Numbers scaled by what outliers do not move."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pipeline.data.kinds import Kind
from pipeline.data.statistics import Moments
from pipeline.data.transforms.scale import FittedScale


@dataclass(frozen=True)
class RobustScale:
    """Median to 0, interquartile range to 1.

    Where half of the values are alike, so that this range is 0, the standard deviation takes its place.

    Example:
      >>> RobustScale().fit_values(np.array([1.0, 2.0, 3.0, 4.0, 1000.0]))
      FittedScale(center=3.0, scale=1.0)
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("numeric",)
    scales: ClassVar[bool] = True
    typical: ClassVar[str] = "median"

    def fit_values(self, values: np.ndarray) -> FittedScale:
        """From train values, float64 [n]."""
        if len(values) == 0:
            return FittedScale(0.0, 0.0)
        low, center, high = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
        half_width = high / 2 - low / 2
        return FittedScale.of(values, center, half_width or Moments.of(values).standard_deviation / 2)
