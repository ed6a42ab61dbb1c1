"""Numbers cut at both ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pipeline.data.kinds import Kind
from pipeline.data.transforms.numerics import clip
from pipeline.errors import ConfigError

_FAR = float(np.finfo(np.float64).max)


@dataclass(frozen=True)
class Clip:
    """What lies beyond a bound comes to the bound ("winsorizing").

    Args:
      lower, upper: quantiles of train, in [0, 1].
      minimum, maximum: values; if one of them is given, the quantiles do not count.

    Raises:
      ConfigError: the bounds are not in order.

    Example:
      >>> Clip(0.0, 0.5).fit_values(np.array([0.0, 1.0, 2.0]))(np.array([-1.0, 0.5, 2.0])).tolist()
      [0.0, 0.5, 1.0]
      >>> Clip(minimum=0.0).fit_values(np.empty(0))(np.array([-1.0, 5.0])).tolist()
      [0.0, 5.0]
    """

    lower: float = 0.01
    upper: float = 0.99
    minimum: float | None = None
    maximum: float | None = None
    kinds: ClassVar[tuple[Kind, ...]] = ("numeric",)
    scales: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 <= self.lower < self.upper <= 1:
            raise ConfigError(
                f"Clip: lower is {self.lower} and upper {self.upper}.", expected="0 <= lower < upper <= 1, of train"
            )
        if self.minimum is not None and self.maximum is not None and not self.minimum < self.maximum:
            raise ConfigError(
                f"Clip: minimum is {self.minimum} and maximum {self.maximum}.", expected="minimum < maximum"
            )

    def fit_values(self, values: np.ndarray) -> FittedClip:
        """From train values, float64 [n]."""
        if self.minimum is not None or self.maximum is not None:
            low = -_FAR if self.minimum is None else float(self.minimum)
            return FittedClip(low, _FAR if self.maximum is None else float(self.maximum))
        if len(values) == 0:
            return FittedClip(-_FAR, _FAR)
        low, high = np.quantile(values, [self.lower, self.upper]).tolist()
        return FittedClip(low, high)


@dataclass(frozen=True)
class FittedClip:
    """Between `low` and `high`."""

    low: float
    high: float

    def __call__(self, values: Any) -> Any:
        """float64 [rows], arrays and tensors."""
        return clip(values, self.low, self.high)
