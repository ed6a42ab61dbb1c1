"""Numbers scaled by the smallest and the largest of train."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pipeline.data.kinds import Kind
from pipeline.data.transforms.scale import FittedScale


@dataclass(frozen=True)
class MinMaxScale:
    """The smallest value of train to 0, the largest to 1; what lies beyond them later goes on in proportion.

    Example:
      >>> MinMaxScale().fit_values(np.array([10.0, 20.0, 30.0]))
      FittedScale(center=10.0, scale=0.1)
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("numeric",)
    scales: ClassVar[bool] = True

    def fit_values(self, values: np.ndarray) -> FittedScale:
        """From train values, float64 [n]."""
        if len(values) == 0:
            return FittedScale(0.0, 0.0)
        low, high = float(values.min()), float(values.max())
        return FittedScale.of(values, low, high / 2 - low / 2)
