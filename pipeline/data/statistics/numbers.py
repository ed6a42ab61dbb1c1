"""All that is kept of a column of numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pipeline.data.statistics.digest import Digest, DigestBuilder
from pipeline.data.statistics.moments import Moments


@dataclass(frozen=True)
class Numbers:
    """Of a numeric column, or of numbers taken from another one: lengths of texts, heights of images.

    Attributes:
      moments: exact.
      num_zeros: exact.
      whole: whether no value has a fraction.
      digest: approximate, see there.

    Example:
      >>> builder = NumbersBuilder()
      >>> builder.add(np.array([0.0, 1.0, 4.0]))
      >>> numbers = builder.build()
      >>> numbers.num_zeros, numbers.whole, numbers.quantiles([0.0, 0.5, 1.0])
      (1, True, [0.0, 1.0, 4.0])
    """

    moments: Moments
    num_zeros: int
    whole: bool
    digest: Digest

    def quantiles(self, ranks: list[float]) -> list[float]:
        """The value at each of the increasing ranks, the ends exact; nothing where there were no values."""
        found = np.clip(self.digest.quantiles(ranks), self.moments.minimum, self.moments.maximum)
        return (np.round(found) if self.whole else found).tolist()

    def shares(self, edges: list[float]) -> np.ndarray:
        """The histogram: the fraction of values in each bin (edge, next edge], float64 [edges - 1].

        Args:
          edges: increasing. What lies on an edge belongs to the bin on its left.
        """
        return np.maximum(np.diff(self.cumulative(edges)), 0.0)

    def cumulative(self, values: list[float]) -> np.ndarray:
        """The fraction of values at most as large as each of `values`, float64 [n]; the ends exact."""
        # A digest's rank at a frequent value counts half of it, and just beside it not yet all; between two whole
        # numbers it is right.
        with np.errstate(over="ignore"):  # infinity is right above the largest number
            points = np.floor(values) + 0.5 if self.whole else np.nextafter(values, np.inf)
        below = self.digest.ranks(points.tolist())
        below[np.asarray(values) >= self.moments.maximum] = 1.0 if self.moments.count else 0.0
        below[np.asarray(values) < self.moments.minimum] = 0.0
        return below

    def merge(self, other: Numbers) -> Numbers:
        """Of both sets of values together."""
        return Numbers(
            self.moments.merge(other.moments),
            self.num_zeros + other.num_zeros,
            self.whole and other.whole,
            self.digest.merge(other.digest),
        )


@dataclass
class NumbersBuilder:
    """Takes values, batch by batch."""

    moments: Moments = field(default_factory=Moments)
    num_zeros: int = 0
    whole: bool = True
    digest: DigestBuilder = field(default_factory=DigestBuilder)

    def add(self, values: np.ndarray, num_missing: int = 0) -> None:
        """Takes finite float64 [n], and how many more were missing."""
        self.moments = self.moments.merge(Moments(num_missing, num_missing)).merge(Moments.of(values))
        self.num_zeros += len(values) - int(np.count_nonzero(values))
        self.whole = self.whole and bool((values == np.floor(values)).all())
        self.digest.add(values)

    def build(self) -> Numbers:
        """What was taken so far."""
        return Numbers(self.moments, self.num_zeros, self.whole, self.digest.build())
