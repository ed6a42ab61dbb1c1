"""How far two columns differ: effect sizes, each with what chance alone would make of it.

With many rows every difference is significant, so p-values are told and decide nothing. With few rows every effect
is large, so each measure knows its noise: the 99.9 % point of what two samples of one population would show.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.data.statistics import FeatureStatistics, HeavyHitters, Numbers

# One false alarm in a thousand comparisons without a difference.
_LEVEL = 0.001
# The same as a number of standard deviations, two-sided.
_Z = 3.29
# Of the digests themselves, beside the noise of their samples.
_RANK_ERROR = 0.002
# Cochran's rule: a chi-square cell with less than five expected rows says nothing.
_MIN_EXPECTED = 5
_TOP = 100
_DECILES = [rank / 10 for rank in range(11)]
_PERCENTILES = [rank / 100 for rank in range(101)]


@dataclass(frozen=True)
class Measured:
    """One measure on one column.

    Attributes:
      measure: its name, a key of `THRESHOLDS`.
      value: in [0, 1].
      noise: what chance alone would exceed once in a thousand times.
      evidence: for people: what moved, and the p-value where there is one.
    """

    measure: str
    value: float
    noise: float
    evidence: str


def jensen_shannon(first: np.ndarray, second: np.ndarray) -> float:
    """The distance of two discrete distributions [k], base 2, in [0, 1] (Endres and Schindelin, 2003).

    Example:
      >>> jensen_shannon(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
      1.0
    """
    middle = (first + second) / 2
    divergence = 0.0
    for shares in (first, second):
        there = shares > 0
        divergence += float(np.sum(shares[there] * np.log2(shares[there] / middle[there]))) / 2
    return min(1.0, max(divergence, 0.0) ** 0.5)


def missing(reference: FeatureStatistics, current: FeatureStatistics) -> Measured:
    """The difference of the fractions of missing values.

    Its spread is that of Agresti and Caffo, "Simple and effective confidence intervals for proportions" (2000): with
    one missing and one present row more on each side, so that few rows without a missing one do not seem certain.
    """
    from scipy.stats import norm

    first, second = reference.missing_fraction, current.missing_fraction
    difference = abs(first - second)
    spread = (_variance_of_share(reference) + _variance_of_share(current)) ** 0.5
    noise = _Z * spread + _inverse(reference.num_rows, current.num_rows) / 2  # the last for continuity
    p_value = 2 * float(norm.sf(difference / spread))
    return Measured("missing", difference, noise, f"missing {first:.1%} -> {second:.1%}, {_p(p_value)}")


def numeric(reference: Numbers, current: Numbers, of: str = "") -> Iterator[Measured]:
    """Jensen-Shannon over the reference's deciles, and Kolmogorov-Smirnov. `of` says of what, as in " of words"."""
    from scipy.stats import kstwobign

    inverse = _inverse(reference.moments.count, current.moments.count)
    means = f"mean{of} {reference.moments.mean:.4g} -> {current.moments.mean:.4g}"
    bounds = f"range {_range(reference)} -> {_range(current)}"
    edges = _decile_edges(reference)
    distance = jensen_shannon(reference.shares(edges), current.shares(edges))
    yield Measured("jensen_shannon", distance, _js_noise(len(edges) - 1, inverse), f"{means}, {bounds}")
    statistic = _largest_gap(reference, current)
    noise = (-np.log(_LEVEL / 2) / 2 * inverse) ** 0.5 + _RANK_ERROR
    p_value = float(kstwobign.sf(statistic / inverse**0.5))
    yield Measured("kolmogorov_smirnov", statistic, float(noise), f"{means}, {_p(p_value)}")


def categorical(reference: HeavyHitters, current: HeavyHitters, of: str = "") -> Iterator[Measured]:
    """Jensen-Shannon and Cramer's V over the frequent categories; the others are one category."""
    from scipy.stats import chi2, chi2_contingency

    names, counts = _contingency(reference, current)
    shares = counts / counts.sum(axis=1, keepdims=True)
    inverse = _inverse(*counts.sum(axis=1))
    largest = int(np.argmax(np.abs(shares[0] - shares[1])))
    moved = f'"{names[largest]}"{of} {shares[0, largest]:.1%} -> {shares[1, largest]:.1%}'
    yield Measured("jensen_shannon", jensen_shannon(*shares), _js_noise(len(names), inverse), moved)
    if len(names) > 1:
        # As if both sides had equally many rows: else V would shrink where one side is much larger.
        v = float(np.sum((shares[0] - shares[1]) ** 2 / shares.sum(axis=0)) / 2) ** 0.5
        noise = float(chi2.ppf(1 - _LEVEL, len(names) - 1) * inverse / 4) ** 0.5
        tested = chi2_contingency(counts, correction=False)
        yield Measured("cramers_v", v, noise, f"{moved}, chi-square {tested.statistic:.4g}, {_p(tested.pvalue)}")


def new_categories(reference: HeavyHitters, current: HeavyHitters, of: str = "") -> Measured:
    """The share of values that the reference never showed.

    What a sample has not shown yet is estimated as Good and Turing did: by the share of what it showed once (Good,
    "The population frequencies of species", 1953). Where the reference has too many categories to know them all,
    only those count that are now more frequent than they can have been.
    """
    known = dict(reference.items())
    least = 1.0 if reference.exact else _surely_more(reference.max_error / reference.total * current.total)
    new = [(name, n) for name, n in current.items() if name not in known and n >= least]
    num_new = sum(n for _, n in new)
    if reference.exact and not current.exact:
        # Categories that did not fit into the current sketch are new, too; the known ones are counted from above.
        seen = sum(n + current.max_error for name, n in current.items() if name in known)
        num_new = max(num_new, current.total - seen - current.max_error * len(known))
    once = sum(n == 1 for n in known.values()) if reference.exact else 0
    unseen = once / reference.total
    by_chance = max(unseen, 1 / current.total)
    noise = unseen + _Z * ((once + 1) ** 0.5 / reference.total + (by_chance / current.total) ** 0.5)
    shown = ", ".join(f'"{name}" {n}' for name, n in new[:5]) or "rare ones"
    return Measured("new_categories", num_new / current.total, noise, f"never seen before{of}: {shown}")


def _variance_of_share(feature: FeatureStatistics) -> float:
    share = (feature.num_missing + 1) / (feature.num_rows + 2)
    return share * (1 - share) / (feature.num_rows + 2)


def _surely_more(expected: float) -> float:
    """A count that chance does not reach where so many are expected: for thousands of categories, five deviations."""
    return max(_MIN_EXPECTED, expected + 5 * expected**0.5)


def _decile_edges(reference: Numbers) -> list[float]:
    """Increasing; what lies outside the reference's range has bins of its own."""
    deciles = reference.quantiles(_DECILES)
    below = math.nextafter(deciles[0], -math.inf)
    return np.unique([-np.inf, below, *deciles, np.inf]).tolist()


def _largest_gap(reference: Numbers, current: Numbers) -> float:
    """Between the two cumulative distributions, at the percentiles of both and just before them."""
    points = np.unique(reference.quantiles(_PERCENTILES) + current.quantiles(_PERCENTILES))
    with np.errstate(over="ignore"):  # minus infinity is right below the smallest number
        points = np.unique(np.concatenate([points, np.nextafter(points, -np.inf)]))
    return float(np.abs(reference.cumulative(points.tolist()) - current.cumulative(points.tolist())).max())


def _contingency(reference: HeavyHitters, current: HeavyHitters) -> tuple[list[str], np.ndarray]:
    """Names [k] and counts int64 [2, k]; the last is all that is too rare to be told apart."""
    counted = [dict(side.items()) for side in (reference, current)]
    names = list(dict.fromkeys(name for side in (reference, current) for name, _ in side.items(_TOP)))
    counts = np.array([[side.get(name, 0) for name in names] for side in counted], np.int64).reshape(2, len(names))
    totals = np.array([reference.total, current.total])
    often = (counts / totals[:, None]).mean(axis=0) * totals.min() >= _MIN_EXPECTED
    counts = counts[:, often]
    others = totals - counts.sum(axis=1)
    kept = [name for name, keep in zip(names, often, strict=True) if keep]
    if others.any():
        return [*kept, "(others)"], np.column_stack([counts, others])
    return kept, counts


def _js_noise(num_bins: int, inverse: float) -> float:
    """Without a difference, 8 ln 2 times the squared distance is a chi-square, scaled by 1/n + 1/m."""
    from scipy.stats import chi2

    return float(chi2.ppf(1 - _LEVEL, num_bins - 1) * inverse / (8 * np.log(2))) ** 0.5 if num_bins > 1 else 0.0


def _inverse(first: int, second: int) -> float:
    return 1 / first + 1 / second


def _range(numbers: Numbers) -> str:
    return f"[{numbers.moments.minimum:.4g}, {numbers.moments.maximum:.4g}]"


def _p(p_value: float) -> str:
    return f"p = {p_value:.2g}" if p_value > 1e-300 else "p < 1e-300"
