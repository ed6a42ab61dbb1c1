"""Drawing units: rows that must end on one side together, as twins, or the rows of a group.

Units of the same make-up (so many rows of this class, so many of that) are alike for a draw, so how many of them go
to a side is decided at once for all of them, largest units first: each such bucket takes what brings the class counts
of the side nearest to their share of all that was dealt so far. It is the idea of scikit-learn's StratifiedGroupKFold
(greedy, by class counts) for shares instead of equal folds, with steps as many as kinds of unit, not units.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from pipeline.data.sides import NO_SIDE, TEST, TRAIN, VALIDATION
from pipeline.data.split.allotment import Bucket, allot
from pipeline.data.split.partition import dense
from pipeline.data.split.splitter import Portions
from pipeline.data.split.strata import encode, smallest


@dataclass(frozen=True)
class Units:
    """Units of rows, sorted into buckets of the same make-up.

    Attributes:
      of_row: int64 [rows]: the unit of each row, from 0.
      bucket: int64 [units]: the bucket of each; `len(buckets)` for units without labelled rows.
      buckets: the make-ups, largest first, by powers of two.
    """

    of_row: np.ndarray
    bucket: np.ndarray
    buckets: tuple[Bucket, ...]


def assign_units(
    known: np.ndarray,
    strata: np.ndarray,
    portions: Portions,
    units: np.ndarray | None,
    pinned: np.ndarray | None,
    seed: int,
) -> np.ndarray:
    """The side of each row, whole units only.

    Args:
      known: bool [rows]: rows with a label.
      strata: int64 [rows], from 0.
      portions, units, pinned, seed: see `shuffled.assign`.

    Returns:
      uint8 [rows].
    """
    numbers = np.arange(len(known)) if units is None else dense(units)
    found = _units(numbers, known, strata, seed)
    in_test = np.zeros(len(found.bucket), bool)
    if pinned is not None:
        in_test[numbers[pinned]] = True
    free = np.bincount(found.bucket[~in_test], minlength=len(found.buckets) + 1)[:-1]
    held = np.bincount(found.bucket[in_test], minlength=len(found.buckets) + 1)[:-1]
    to_test, before, to_validation = _deal(found.buckets, free, held, portions)
    places = _places(found.bucket, in_test, seed, len(found.buckets) + 1)
    side = np.full(len(found.bucket), TRAIN, np.uint8)
    bounds = np.cumsum([to_test, before, to_validation], axis=0)
    bounds = np.concatenate([bounds, np.zeros((3, 1), np.int64)], axis=1)  # of the units without labelled rows
    side[(places >= bounds[1][found.bucket]) & (places < bounds[2][found.bucket])] = VALIDATION
    side[(places < bounds[0][found.bucket]) | in_test] = TEST
    return np.where(known, side[found.of_row], np.uint8(NO_SIDE))


def _units(numbers: np.ndarray, known: np.ndarray, strata: np.ndarray, seed: int) -> Units:
    """Units of equal make-up have an equal sum of random 64-bit numbers, one for each row's stratum."""
    weights = np.random.Generator(np.random.Philox(0)).integers(1, 2**63, int(strata.max(initial=0)) + 1, np.uint64)
    signature = np.zeros(int(numbers.max(initial=-1)) + 1, np.uint64)
    np.add.at(signature, numbers[known], weights[strata[known]])
    codes, _ = encode(signature)
    example = np.zeros(int(codes.max(initial=-1)) + 1, np.int64)
    example[codes[::-1]] = np.arange(len(codes))[::-1]  # the first unit of each bucket
    shown = np.zeros(len(signature), bool)
    shown[example] = True
    rows = np.flatnonzero(known & shown[numbers])
    pairs, counts = np.unique(codes[numbers[rows]] * len(weights) + strata[rows], return_counts=True)
    owner = pairs // len(weights)
    starts = np.searchsorted(owner, np.arange(len(example) + 1))
    found = [
        Bucket((pairs[start:end] % len(weights)), counts[start:end].astype(np.float64))
        for start, end in itertools.pairwise(starts.tolist())
    ]
    # Large ones first; shuffled within a power of two, or groups of all different sizes would always fall alike.
    chance = np.random.Generator(np.random.Philox((seed, 1))).permutation(len(found)).tolist()
    order = sorted(range(len(found)), key=lambda code: (-found[code].size.bit_length(), chance[code]))
    rank = np.empty(len(found), np.int64)
    rank[order] = np.arange(len(found))
    return Units(numbers, rank[codes], tuple(found[code] for code in order if found[code].size))


def _deal(
    buckets: tuple[Bucket, ...], free: np.ndarray, held: np.ndarray, portions: Portions
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Units of each bucket to test, to the folds before validation, and to validation: each int64 [buckets]."""
    to_test = allot(buckets, free, portions.test, held)
    rest = free - to_test
    none = np.zeros_like(free)
    if portions.folds is None:
        return to_test, none, allot(buckets, rest, portions.validation, none)
    before = none
    for fold in range(portions.fold):
        before = before + allot(buckets, rest - before, 1 / (portions.folds - fold), none)
    return to_test, before, allot(buckets, rest - before, 1 / (portions.folds - portions.fold), none)


def _places(bucket: np.ndarray, in_test: np.ndarray, seed: int, buckets: int) -> np.ndarray:
    """The place of each unit among the free ones of its bucket, shuffled: int64 [units]; -1 for the others."""
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(bucket))
    order = order[~in_test[order]] if in_test.any() else order
    sorted_by = smallest(bucket, buckets)[order]
    order = order[np.argsort(sorted_by, kind="stable")]
    counts = np.bincount(sorted_by, minlength=buckets)
    places = np.full(len(bucket), -1, np.int64)
    places[order] = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return places
