"""The most frequent values, in bounded memory and with a known error.

Anderson, Bevan, Lang, Liberty, Rhodes and Thaler, "A high-performance algorithm for identifying frequent items in data
streams" (2017), as Apache DataSketches has it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# Up to 1,536 different values are counted exactly; beyond, a count is off by at most 0.2 % of all.
_LOG2_ITEMS = 11
# Of a batch with more different values only the most frequent are taken; the rest widens the error, see `add`.
_BATCH_ITEMS = 2_048


@dataclass(frozen=True)
class HeavyHitters:
    """Values with their counts.

    Attributes:
      state: a serialized sketch.
      total: values counted, repeated ones included.
      left_out: how often, at most, a value was left out of the sketch.

    Example:
      >>> builder = HeavyHittersBuilder()
      >>> builder.add_column(pa.array(["b", "a", "b", None]))
      >>> builder.build().items()
      [('b', 2), ('a', 1)]
    """

    state: bytes
    total: int
    left_out: int = 0

    def items(self, limit: int | None = None) -> list[tuple[str, int]]:
        """The most frequent first; counts are at most `max_error` below the truth and never above it."""
        found = [(item, low) for item, _, low, _ in _all_items(self._sketch())]
        return sorted(found, key=lambda pair: (-pair[1], pair[0]))[:limit]

    @property
    def max_error(self) -> int:
        """How often a value may have occurred beyond its count; a value that is not listed, at all."""
        # Of a value that is in no sketch, the upper bound is the sketch's own error.
        found = _all_items(self._sketch())
        return self.left_out + max((high - low for _, _, low, high in found), default=0)

    @property
    def exact(self) -> bool:
        """Whether every value is listed, with its exact count."""
        return self.max_error == 0

    def merge(self, other: HeavyHitters) -> HeavyHitters:
        """Of both sets of values together."""
        sketch = self._sketch()
        sketch.merge(other._sketch())
        return HeavyHitters(sketch.serialize(), self.total + other.total, self.left_out + other.left_out)

    def _sketch(self) -> Any:
        import datasketches

        return datasketches.frequent_strings_sketch.deserialize(self.state)


@dataclass
class HeavyHittersBuilder:
    """Takes values with their counts, batch by batch."""

    sketch: Any = field(default_factory=lambda: _new_sketch())
    total: int = 0
    left_out: int = 0

    def add(self, values: pa.Array, counts: np.ndarray) -> None:
        """Takes different texts [n] and how often each occurs, int64 [n].

        Of more than 2,048 texts only the most frequent go into the sketch. A text left out occurs at most as often as
        the most frequent one left out, so that this number, added up over batches, bounds the error.
        """
        self.total += int(counts.sum())
        if len(counts) > _BATCH_ITEMS:
            order = np.argsort(-counts, kind="stable")
            self.left_out += int(counts[order[_BATCH_ITEMS]])
            chosen = order[:_BATCH_ITEMS]
            values, counts = values.take(pa.array(chosen)), counts[chosen]
        update = self.sketch.update
        for value, count in zip(values.to_pylist(), counts.tolist(), strict=True):
            update(value, count)

    def add_column(self, column: pa.Array) -> None:
        """Takes texts as they come; missing ones are left out."""
        self.add(*value_counts(column))

    def build(self) -> HeavyHitters:
        """What was taken so far."""
        return HeavyHitters(self.sketch.serialize(), self.total, self.left_out)


def value_counts(column: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """The different texts [n] of a column, and how often each occurs, int64 [n]; missing ones are left out."""
    counted = pc.value_counts(column.drop_null())
    return counted.field("values"), counted.field("counts").to_numpy()


def _new_sketch() -> Any:
    import datasketches

    return datasketches.frequent_strings_sketch(_LOG2_ITEMS)


def _all_items(sketch: Any) -> list[tuple[str, int, int, int]]:
    """(item, estimate, lower bound, upper bound) of each."""
    import datasketches

    return sketch.get_frequent_items(datasketches.frequent_items_error_type.NO_FALSE_NEGATIVES, 0)
