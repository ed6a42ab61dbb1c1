"""Numbers by their rank in train."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from pipeline.data.kinds import Kind
from pipeline.data.transforms.numerics import clip, library_of, normal_quantile, num_not_above, take
from pipeline.errors import ConfigError

# The share of train at either end that a normal value does not tell apart, as scikit-learn has it: it is 5.2 there.
_END = 1e-7
_SMALLEST_WIDTH = 1e-300


@dataclass(frozen=True)
class QuantileScale:
    """The share of train below a number, as it is or as the normal value of that share: no outlier is left.

    Between quantiles of train it is linear; a value that is several quantiles gets their middle; what lies outside
    train is cut. As scikit-learn's `QuantileTransformer`.

    Args:
      output: uniform, in [0, 1]; or normal, with mean 0 and variance 1, in [-5.2, 5.2].
      num_quantiles: at most so many, fewer where train has fewer values.

    Raises:
      ConfigError: an argument is out of range.

    Example:
      >>> QuantileScale().fit_values(np.array([1.0, 2.0, 4.0]))(np.array([0.0, 2.0, 3.0, 9.0])).tolist()
      [0.0, 0.5, 0.75, 1.0]
    """

    output: Literal["uniform", "normal"] = "uniform"
    num_quantiles: int = 1000
    kinds: ClassVar[tuple[Kind, ...]] = ("numeric",)
    scales: ClassVar[bool] = True
    typical: ClassVar[str] = "median"

    def __post_init__(self) -> None:
        if self.output not in ("uniform", "normal"):
            raise ConfigError(f'QuantileScale: output is "{self.output}".', expected="uniform or normal")
        if not 2 <= self.num_quantiles <= 1000:
            raise ConfigError(f"QuantileScale: num_quantiles is {self.num_quantiles}.", expected="from 2 to 1000")

    def fit_values(self, values: np.ndarray) -> FittedQuantileScale:
        """From train values, float64 [n]."""
        ranks = np.linspace(0, 1, max(min(self.num_quantiles, len(values)), 1))
        # Halves, because between two quantiles their difference may be larger than float64.
        found = np.maximum.accumulate(np.quantile(values / 2, ranks)) if len(values) else np.zeros(1)
        known, first = np.unique(found, return_index=True)
        last = np.append(first[1:], len(found)) - 1
        return FittedQuantileScale(
            tuple(known.tolist()), tuple(ranks[first].tolist()), tuple(ranks[last].tolist()), self.output == "normal"
        )


@dataclass(frozen=True)
class FittedQuantileScale:
    """Linear interpolation between quantiles.

    Attributes:
      halves: half of each quantile of train, increasing.
      low, high: the first and the last rank that it has.
      normal: whether ranks become normal values.
    """

    halves: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    normal: bool

    def __call__(self, values: Any) -> Any:
        """float64 [rows], arrays and tensors."""
        library = library_of(values)
        halves, low, high = (np.asarray(column, np.float64) for column in (self.halves, self.low, self.high))
        if len(halves) == 1:
            return library.zeros_like(values)  # a column that is constant, or nothing at all
        x = clip(values * 0.5, halves[0], halves[-1])
        place = num_not_above(halves, x) - 1
        start, slope = take(halves, place), take(_slopes(halves, low, high), place)
        between = take(high, place) + (x - start) * slope
        ranks = library.where(x == start, take(_middles(low, high), place), between)
        return normal_quantile(clip(ranks, _END, 1 - _END)) if self.normal else clip(ranks, 0.0, 1.0)


def _slopes(halves: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Of each quantile up to the next, [quantiles]; 0 where they are too close to tell, and at the last."""
    widths = np.diff(halves)
    slopes = (low[1:] - high[:-1]) / np.maximum(widths, _SMALLEST_WIDTH)
    return np.append(np.where(widths < _SMALLEST_WIDTH, 0.0, slopes), 0.0)


def _middles(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The rank of a value that is a quantile: the middle of its ranks, but 0 and 1 at the ends."""
    middles = (low + high) / 2
    middles[0], middles[-1] = 0.0, 1.0
    return middles
