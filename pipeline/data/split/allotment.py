"""How many units of each bucket a side takes: all the arithmetic of shares of units."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Bucket:
    """The make-up of a unit.

    Attributes:
      strata: int64 [strata in it].
      counts: float64 [strata in it]: its rows of each.
    """

    strata: np.ndarray
    counts: np.ndarray

    @property
    def size(self) -> int:
        """Its rows."""
        return int(self.counts.sum())


@dataclass
class _Tally:
    """Rows seen so far and rows that the side got of them, in all and by stratum."""

    seen: np.ndarray
    got: np.ndarray
    num_seen: float = 0
    num_got: float = 0

    def add(self, bucket: Bucket, seen: int, got: int) -> None:
        self.seen[bucket.strata] += seen * bucket.counts
        self.got[bucket.strata] += got * bucket.counts
        self.num_seen += seen * bucket.size
        self.num_got += got * bucket.size


def allot(buckets: tuple[Bucket, ...], free: np.ndarray, fraction: float, held: np.ndarray) -> np.ndarray:
    """How many units of each bucket go to a side that is to have a fraction of all rows.

    Args:
      buckets: make-ups, largest first, more or less.
      free: int64 [buckets]: units to choose from.
      fraction: of all rows, those of the held units included.
      held: int64 [buckets]: units that the side has already.

    Returns:
      int64 [buckets]; the side's rows differ from its share by half the largest unit at most, unless it held more.

    Example:
      >>> ones = Bucket(np.asarray([0]), np.asarray([1.0]))
      >>> pairs = Bucket(np.asarray([0]), np.asarray([2.0]))
      >>> allot((pairs, ones), np.asarray([10, 80]), 0.2, np.asarray([0, 0])).tolist()
      [2, 16]
    """
    chosen = np.zeros(len(buckets), np.int64)
    offered = np.flatnonzero(free)
    if fraction == 0 or len(offered) == 0:
        return chosen
    tally, totals = _start(buckets, free, held)
    share = fraction * totals.sum()
    slack = max(buckets[number].size for number in offered) / 2
    for number in offered:
        bucket, count = buckets[number], int(free[number])
        tally.add(bucket, count, 0)
        wanted = _wanted(bucket, tally, fraction, totals)
        # In between, the total may be off by half the largest unit so that classes can decide; at last it may not.
        room = slack if number != offered[-1] else bucket.size / 2
        behind = fraction * tally.num_seen - tally.num_got
        low, high = math.ceil((behind - room) / bucket.size), math.floor((behind + room) / bucket.size)
        most = min(count, math.floor((share - tally.num_got) / bucket.size + 0.5))
        taken = max(min(max(wanted, low), high, most), 0)
        tally.add(bucket, 0, taken)
        chosen[number] = taken
    return chosen


def _start(buckets: tuple[Bucket, ...], free: np.ndarray, held: np.ndarray) -> tuple[_Tally, np.ndarray]:
    """The tally with what is held, and the rows of each stratum: float64 [strata]."""
    strata = 1 + max(int(bucket.strata.max()) for bucket in buckets)
    totals = np.zeros(strata)
    tally = _Tally(np.zeros(strata), np.zeros(strata))
    for bucket, num_free, num_held in zip(buckets, free.tolist(), held.tolist(), strict=True):
        totals[bucket.strata] += (num_free + num_held) * bucket.counts
        if num_held:
            tally.add(bucket, num_held, num_held)
    return tally, totals


def _wanted(bucket: Bucket, tally: _Tally, fraction: float, totals: np.ndarray) -> int:
    """The number of units that leaves the smallest squared error of class counts, rare classes weighing as much."""
    behind = fraction * tally.seen[bucket.strata] - tally.got[bucket.strata]
    weighted = bucket.counts / totals[bucket.strata]
    return math.floor(float(weighted @ behind) / float(weighted @ bucket.counts) + 0.5)
