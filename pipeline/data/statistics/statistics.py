"""The statistics of a set of rows: those of its columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from pipeline.data.kinds import Kind
from pipeline.data.statistics.columns import BUILDERS, ColumnBuilder
from pipeline.data.statistics.feature import FeatureStatistics
from pipeline.data.statistics.serialization import feature_from_json, feature_to_json, parsing
from pipeline.errors import DataError, did_you_mean

VERSION = 1


@dataclass(frozen=True)
class Statistics:
    """Of a set of rows: mergeable, and of bounded size whatever the number of rows (some 15 kB a column).

    Counts, means, variances and bounds are exact, the rest is approximate within stated errors; nothing is random.

    Attributes:
      num_rows: rows seen.
      features: by name, in the order of the columns; the label is one of them.

    Example:
      >>> batch = pa.record_batch({"age": [30.0, 40.0, None]})
      >>> statistics = Statistics.of(batch, {"age": "numeric"})
      >>> twice = statistics.merge(statistics)
      >>> twice.num_rows, twice.features["age"].num_missing, twice.features["age"].numbers["value"].moments.mean
      (6, 2, 35.0)
    """

    num_rows: int = 0
    features: Mapping[str, FeatureStatistics] = field(default_factory=dict)

    @staticmethod
    def of(batch: pa.RecordBatch, kinds: Mapping[str, Kind]) -> Statistics:
        """Of one batch; see `StatisticsBuilder` for many.

        Raises:
          DataError: a column is not there, or its type does not fit its kind.
        """
        builder = StatisticsBuilder(kinds)
        builder.add(batch)
        return builder.build()

    def merge(self, other: Statistics) -> Statistics:
        """Of both sets of rows together; `Statistics()` changes nothing.

        Raises:
          DataError: the columns, or their kinds, differ.
        """
        if not self.features or not other.features:
            known = self if self.features else other
            return Statistics(self.num_rows + other.num_rows, known.features)
        if set(self.features) != set(other.features):
            differing = ", ".join(sorted(set(self.features) ^ set(other.features)))
            raise DataError(f"Statistics of different columns cannot be merged: {differing}.", expected="equal columns")
        merged = {name: found.merge(other.features[name]) for name, found in self.features.items()}
        return Statistics(self.num_rows + other.num_rows, merged)

    def to_json(self) -> dict[str, Any]:
        """For `json.dumps`; sketches are base64."""
        features = {name: feature_to_json(found) for name, found in self.features.items()}
        return {"version": VERSION, "num_rows": self.num_rows, "features": features}

    @staticmethod
    def from_json(found: Mapping[str, Any]) -> Statistics:
        """Takes back what `to_json` gave.

        Raises:
          DataError: it is something else, or of another version.
        """
        with parsing("statistics"):
            if found["version"] != VERSION:
                raise DataError(f"The statistics have version {found['version']}.", expected=f"version {VERSION}")
            num_rows, features = int(found["num_rows"]), found["features"].items()
        return Statistics(num_rows, {name: feature_from_json(name, value) for name, value in features})


@dataclass
class StatisticsBuilder:
    """Takes batches one after another; faster than merging the statistics of each.

    Args:
      kinds: of the columns to look at, the label's included.

    Example:
      >>> builder = StatisticsBuilder({"age": "numeric"})
      >>> for age in (1.0, 2.0):
      ...     builder.add(pa.record_batch({"age": [age]}))
      >>> builder.build().num_rows
      2
    """

    kinds: Mapping[str, Kind]
    num_rows: int = 0
    _columns: list[ColumnBuilder] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._columns = [BUILDERS[kind](name, kind) for name, kind in self.kinds.items()]

    def add(self, batch: pa.RecordBatch) -> None:
        """Takes a batch.

        Raises:
          DataError: a column is not there, or its type does not fit its kind.
        """
        _check_names(self.kinds, batch.schema.names)
        for column in self._columns:
            try:
                column.add(batch)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
                found = batch.schema.field(column.name).type
                raise DataError(
                    f'Column "{column.name}" has the type {found}, which does not fit a {column.kind} column.',
                    expected=f"the stored rows that the kinds belong to ({str(error).splitlines()[0]})",
                ) from None
        self.num_rows += batch.num_rows

    def build(self) -> Statistics:
        """What was taken so far."""
        return Statistics(self.num_rows, {column.name: column.build() for column in self._columns})


def _check_names(names: Iterable[str], existing: list[str]) -> None:
    for name in names:
        if existing.count(name) != 1:
            state = "twice" if name in existing else "not"
            raise DataError(
                f'Column "{name}" is {state} in the rows.',
                expected=f"once among: {', '.join(existing)}",
                fix=did_you_mean(name, existing).strip() or None,
            )
