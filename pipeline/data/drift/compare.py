"""What changed from one set of rows to another, by thresholds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pipeline.data.drift import measures
from pipeline.data.drift.measures import Measured
from pipeline.data.statistics import FeatureStatistics, Statistics
from pipeline.errors import ConfigError, did_you_mean

# What Cohen (1988) calls a small effect; below it a model hardly notices. For a normal column each of the first three
# is a shift by about a quarter of a standard deviation.
THRESHOLDS: Mapping[str, float] = MappingProxyType(
    {
        "jensen_shannon": 0.1,
        "kolmogorov_smirnov": 0.1,
        "cramers_v": 0.1,
        # A category that training never showed is unknown to the model: one row in a hundred is worth a look.
        "new_categories": 0.01,
        # A source that broke loses far more than one value in twenty; the ebb and flow of most forms, less.
        "missing": 0.05,
    }
)


@dataclass(frozen=True)
class Drift:
    """One difference beyond its threshold.

    Attributes:
      feature: the column.
      measure: a key of `THRESHOLDS`; or `kind`, `column` where kinds differ or a column is gone or new.
      value: in [0, 1]; 1 for `kind` and `column`.
      threshold: what it exceeds, by more than chance would explain.
      evidence: what moved, for people.

    Example:
      >>> print(Drift("age", "missing", 0.25, 0.05, "missing 0.0% -> 25.0%, p = 1e-12").line())
      age: missing 0.25 > 0.05 (missing 0.0% -> 25.0%, p = 1e-12)
    """

    feature: str
    measure: str
    value: float
    threshold: float
    evidence: str

    def line(self) -> str:
        """For a log."""
        return f"{self.feature}: {self.measure} {self.value:.3g} > {self.threshold:g} ({self.evidence})"


def compare(
    reference: Statistics,
    current: Statistics,
    *,
    thresholds: Mapping[str, float] = THRESHOLDS,
    of_feature: Mapping[str, Mapping[str, float]] = MappingProxyType({}),
) -> list[Drift]:
    """Every difference that is larger than its threshold and that sampling noise does not explain.

    | kind | measures |
    |---|---|
    | numeric | Jensen-Shannon distance over the reference's deciles, Kolmogorov-Smirnov statistic |
    | categorical, tags | Jensen-Shannon distance, Cramer's V, share of new categories |
    | text | as numeric, of the lengths; Jensen-Shannon and Cramer's V of the frequent words |
    | image | as numeric, of the sizes |
    | all | difference of the missing fractions |

    Of dates only missing ones are compared: later rows have later dates.

    Args:
      reference: what the model learnt from, or the last run's rows.
      current: what comes now.
      thresholds: by measure, in [0, 1]; those not given are `THRESHOLDS`.
      of_feature: the same for single columns, by name: `{"age": {"kolmogorov_smirnov": 0.3}}`. 1 turns a measure off.

    Returns:
      In the order of the reference's columns.

    Raises:
      ConfigError: a measure or a column does not exist, or a threshold is outside [0, 1].

    Example:
      >>> import pyarrow as pa
      >>> rows = [pa.record_batch({"color": [color] * 1000}) for color in ("red", "blue")]
      >>> before, now = (Statistics.of(batch, {"color": "categorical"}) for batch in rows)
      >>> [(drift.feature, drift.measure) for drift in compare(before, now)]
      [('color', 'jensen_shannon'), ('color', 'cramers_v'), ('color', 'new_categories')]
    """
    wanted = dict(THRESHOLDS) | _checked(thresholds)
    names = list(dict.fromkeys([*reference.features, *current.features]))
    _check_features(of_feature, names)
    found = []
    for name in names:
        limits = wanted | _checked(of_feature.get(name, {}))
        found += _of_feature(name, reference.features.get(name), current.features.get(name), limits)
    return found


def _of_feature(
    name: str, reference: FeatureStatistics | None, current: FeatureStatistics | None, limits: Mapping[str, float]
) -> list[Drift]:
    if reference is None or current is None:
        return [Drift(name, "column", 1.0, 0.0, "the column is new" if reference is None else "the column is gone")]
    if reference.kind != current.kind:
        return [Drift(name, "kind", 1.0, 0.0, f"{reference.kind} -> {current.kind}")]
    return [
        Drift(name, found.measure, found.value, limits[found.measure], found.evidence)
        for found in measured(reference, current)
        if found.value > limits[found.measure] + found.noise
    ]


def measured(reference: FeatureStatistics, current: FeatureStatistics) -> Iterator[Measured]:
    """Every measure that columns of this kind have; none where one of them has no rows."""
    if reference.num_rows and current.num_rows:
        yield measures.missing(reference, current)
    # A date is later in later rows.
    parts = () if reference.kind == "datetime" else tuple(reference.numbers)
    for part in parts:
        first, second = reference.numbers[part], current.numbers.get(part)
        if second and first.moments.count and second.moments.count:
            yield from measures.numeric(first, second, "" if part == "value" else f" of {part}")
    if reference.top and current.top and reference.top.total and current.top.total:
        of = " of the words" if reference.kind == "text" else ""
        yield from measures.categorical(reference.top, current.top, of)
        # New words come with every new text.
        if reference.kind != "text":
            yield measures.new_categories(reference.top, current.top)


def _checked(thresholds: Mapping[str, float]) -> dict[str, float]:
    for measure, value in thresholds.items():
        if measure not in THRESHOLDS:
            raise ConfigError(
                f'There is no measure of drift "{measure}".',
                expected=f"one of: {', '.join(THRESHOLDS)}",
                fix=did_you_mean(measure, THRESHOLDS).strip() or None,
            )
        if not 0 <= value <= 1:
            raise ConfigError(f'The threshold of "{measure}" is {value}.', expected="a number from 0 to 1")
    return dict(thresholds)


def _check_features(names: Mapping[str, object], existing: list[str]) -> None:
    for name in names:
        if name not in existing:
            raise ConfigError(
                f'Thresholds are given for "{name}", which is no column.',
                expected=f"one of: {', '.join(existing)}",
                fix=did_you_mean(name, existing).strip() or None,
            )
