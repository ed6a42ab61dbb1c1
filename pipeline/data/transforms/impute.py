"""What becomes of missing numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from pipeline.data.kinds import Kind
from pipeline.data.statistics import Moments
from pipeline.errors import ConfigError


@dataclass(frozen=True)
class Impute:
    """A value in place of missing numbers, and perhaps a column beside that tells where it stands.

    Where a chain has no `Impute`, one stands right before its scaler: of the median for `RobustScale` and
    `QuantileScale`, which outliers do not move, else of the mean.

    Args:
      strategy: mean or median of train, of what the steps before this one make of it; or constant.
      value: with strategy constant, of the column in its own unit if this is the first step.
      indicator: whether there is a column that is 1 where the number was missing; auto: if one was missing in train.

    Raises:
      ConfigError: a value without constant, or constant without a value.

    Example:
      >>> Impute("median").value_of(np.array([1.0, 2.0, 9.0]))
      2.0
    """

    strategy: Literal["mean", "median", "constant"] = "mean"
    value: float | None = None
    indicator: bool | Literal["auto"] = "auto"
    kinds: ClassVar[tuple[Kind, ...]] = ("numeric",)

    def __post_init__(self) -> None:
        if self.strategy not in ("mean", "median", "constant"):
            raise ConfigError(f'Impute: strategy is "{self.strategy}".', expected="mean, median or constant")
        if (self.strategy == "constant") != (self.value is not None):
            raise ConfigError(
                f'Impute: strategy is "{self.strategy}" and value {self.value}.',
                expected='strategy = "constant" with a value, or another one without',
            )
        if self.value is not None and not math.isfinite(self.value):
            raise ConfigError(f"Impute: value is {self.value}.", expected="a finite number")

    def value_of(self, values: np.ndarray) -> float:
        """What stands for a missing number, from train values float64 [n]; 0 where there are none."""
        if self.value is not None:
            return float(self.value)
        if len(values) == 0:
            return 0.0
        return float(np.median(values)) if self.strategy == "median" else Moments.of(values).mean

    def indicator_of(self, moments: Moments) -> bool:
        """Whether the column of train gets an indicator."""
        return moments.num_missing > 0 if self.indicator == "auto" else self.indicator
