"""How many different values: HyperLogLog over 64-bit hashes, in few kilobytes.

Flajolet, Fusy, Gandouet and Meunier, "HyperLogLog: the analysis of a near-optimal cardinality estimation algorithm"
(2007), as Apache DataSketches has it. A sketch takes one value at a time, so two of them are kept: `low` takes every
value until there are some 10,000; `thin` takes only values whose hash is divisible by 32, and counts for 32. Which
value is in the sample depends on the value alone, so samples of two parts merge into the sample of the whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

# 4,096 registers: the estimate's relative standard error is 1.04 / sqrt(4096) = 1.6 %.
_LOG2_REGISTERS = 12
# The sample then holds 312 values, and its own error is 5.6 %; at a million values it is 0.6 %.
LOW_LIMIT = 10_000
THINNING = 32
_CHUNK = 8_192


@dataclass(frozen=True)
class Distinct:
    """The number of different values of a column.

    Attributes:
      low: a serialized sketch of every value; None once there were more than `LOW_LIMIT`.
      thin: a serialized sketch of the values whose hash is divisible by `THINNING`.

    Example:
      >>> builder = DistinctBuilder()
      >>> builder.add(np.arange(100, dtype=np.uint64) * np.uint64(2654435761))
      >>> builder.build().estimate
      100
    """

    low: bytes | None
    thin: bytes

    @property
    def estimate(self) -> int:
        """Exact up to some 100 values; relative standard error 1.6 % up to 10,000 and 5.8 % at most beyond."""
        return round(_load(self.low).get_estimate() if self.low else _load(self.thin).get_estimate() * THINNING)

    def merge(self, other: Distinct) -> Distinct:
        """Of both sets of values together."""
        low = _union(_load(self.low), _load(other.low)) if self.low and other.low else None
        return _kept(low, _union(_load(self.thin), _load(other.thin)))


@dataclass
class DistinctBuilder:
    """Takes hashes, batch by batch."""

    low: Any = field(default_factory=lambda: _sketch())
    thin: Any = field(default_factory=lambda: _sketch())

    @property
    def wants_all(self) -> bool:
        """Whether few values have come yet, so that it pays to hash only the different ones of a batch."""
        return self.low is not None

    def add(self, hashes: np.ndarray) -> None:
        """Takes uint64 [n]; repeated ones cost time and change nothing."""
        for start in range(0, len(hashes), _CHUNK):
            if self.low is None:
                break
            _update(self.low, hashes[start : start + _CHUNK])
            # Well above the limit: whether `low` is kept is decided in `build`, as it is after a merge.
            if self.low.get_estimate() > 1.25 * LOW_LIMIT:
                self.low = None
        _update(self.thin, hashes[hashes & np.uint64(THINNING - 1) == 0])

    def build(self) -> Distinct:
        """What was taken so far."""
        return _kept(_union(self.low) if self.low is not None else None, _union(self.thin))


def _sketch() -> Any:
    import datasketches

    return datasketches.hll_sketch(_LOG2_REGISTERS, datasketches.tgt_hll_type.HLL_8)


def _load(state: bytes) -> Any:
    import datasketches

    return datasketches.hll_sketch.deserialize(state)


def _update(sketch: Any, hashes: np.ndarray) -> None:
    update = sketch.update
    for value in hashes.view(np.int64).tolist():
        update(value)


def _union(*sketches: Any) -> Any:
    """Every sketch twice: only then does the estimate depend on the registers alone, not on how they were filled."""
    import datasketches

    union = datasketches.hll_union(_LOG2_REGISTERS)
    for sketch in (*sketches, *sketches):
        union.update(sketch)
    return union.get_result(datasketches.tgt_hll_type.HLL_4)


def _kept(low: Any, thin: Any) -> Distinct:
    keep = low is not None and low.get_estimate() <= LOW_LIMIT
    return Distinct(low.serialize_compact() if keep else None, thin.serialize_compact())
