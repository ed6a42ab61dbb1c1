"""The statistics of one column, by its kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.data.kinds import Kind
from pipeline.data.statistics.distinct import Distinct
from pipeline.data.statistics.heavy_hitters import HeavyHitters
from pipeline.data.statistics.numbers import Numbers
from pipeline.errors import DataError


@dataclass(frozen=True)
class FeatureStatistics:
    """Of one column. What is kept depends on the kind:

    | kind | numbers | distinct | top |
    |---|---|---|---|
    | numeric | `value` | numbers | |
    | categorical | | categories | categories |
    | tags | `tags`: how many a row | tags | tags |
    | text | `characters`, `words` | texts | words, in lower case |
    | datetime | `seconds` since 1970-01-01 | moments in time | |
    | image | `height`, `width`, `channels`, where known | | |

    Attributes:
      kind: of the column.
      num_rows: rows seen.
      num_missing: how many of them had no value.
      numbers: by the names above.
      distinct: different values, or None.
      top: frequent values, or None. Top words come from a sample of the texts.

    Example:
      >>> import pyarrow as pa
      >>> from pipeline.data.statistics import Statistics
      >>> batch = pa.record_batch({"color": ["red", None, "red", "blue"]})
      >>> color = Statistics.of(batch, {"color": "categorical"}).features["color"]
      >>> color.missing_fraction, color.num_distinct, color.top.items()
      (0.25, 2, [('red', 2), ('blue', 1)])
    """

    kind: Kind
    num_rows: int = 0
    num_missing: int = 0
    numbers: Mapping[str, Numbers] = field(default_factory=dict)
    distinct: Distinct | None = None
    top: HeavyHitters | None = None

    @property
    def count(self) -> int:
        """Rows with a value."""
        return self.num_rows - self.num_missing

    @property
    def missing_fraction(self) -> float:
        """Of all rows; 0 where there were none."""
        return self.num_missing / self.num_rows if self.num_rows else 0.0

    @property
    def num_distinct(self) -> int:
        """Different values; an estimate, but never more than there are values. 0 where they are not counted."""
        if self.distinct is None:
            return 0
        return min(self.distinct.estimate, self.top.total if self.top and self.kind == "tags" else self.count)

    def merge(self, other: FeatureStatistics) -> FeatureStatistics:
        """Of both sets of rows together.

        Raises:
          DataError: the kinds differ.
        """
        if self.kind != other.kind:
            raise DataError(f"A {self.kind} column cannot be merged with a {other.kind} one.", expected="one kind")
        shared = [name for name in self.numbers if name in other.numbers]  # sizes of images may be absent
        return FeatureStatistics(
            self.kind,
            self.num_rows + other.num_rows,
            self.num_missing + other.num_missing,
            {
                **self.numbers,
                **other.numbers,
                **{name: self.numbers[name].merge(other.numbers[name]) for name in shared},
            },
            self.distinct.merge(other.distinct) if self.distinct and other.distinct else self.distinct,
            self.top.merge(other.top) if self.top and other.top else self.top,
        )
