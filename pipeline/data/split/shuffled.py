"""By chance: rows, or units of rows, drawn in the given shares, with or without regard to the label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.data.sides import NO_SIDE, TEST, TRAIN, VALIDATION
from pipeline.data.split.checks import check_length, checked
from pipeline.data.split.splitter import DrawnShares, Portions
from pipeline.data.split.strata import labelled, smallest, strata
from pipeline.data.split.units import assign_units


@dataclass(frozen=True)
class Random(DrawnShares):
    """Every row on a side by chance, in the given shares.

    Args:
      train, validation, test, folds, fold, seed: see `DrawnShares`.
    """

    def __call__(
        self,
        labels: np.ndarray,
        *,
        column: np.ndarray | None = None,
        units: np.ndarray | None = None,
        pinned: np.ndarray | None = None,
        seed: int = 0,
    ) -> np.ndarray:
        """The side of each row, uint8 [rows]: see `Splitter.__call__`.

        Raises:
          DataError: too few rows (or units) for three sides.

        Example:
          >>> sides = Random()(np.arange(100), seed=1)
          >>> [int((sides == side).sum()) for side in range(3)]
          [70, 15, 15]
        """
        return assign(labels, np.zeros(len(labels), np.int64), self.portions, units, pinned, self.seed_of(seed))


@dataclass(frozen=True)
class Stratified(DrawnShares):
    """As `Random`, with every class (or tenth of a numeric label's range of ranks) in the same shares on each side.

    Args:
      train, validation, test, folds, fold, seed: see `DrawnShares`.
    """

    def __call__(
        self,
        labels: np.ndarray,
        *,
        column: np.ndarray | None = None,
        units: np.ndarray | None = None,
        pinned: np.ndarray | None = None,
        seed: int = 0,
    ) -> np.ndarray:
        """The side of each row: see `Random.__call__`."""
        return assign(labels, strata(labels), self.portions, units, pinned, self.seed_of(seed))


def assign(
    labels: np.ndarray,
    strata: np.ndarray,
    portions: Portions,
    units: np.ndarray | None,
    pinned: np.ndarray | None,
    seed: int,
) -> np.ndarray:
    """Sides in exact shares of the whole, and of each stratum up to one row (or one unit).

    Args:
      labels: [rows]; see `Splitter.__call__` for `units`, `pinned` and `seed` too.
      strata: int64 [rows], from 0.
      portions: the shares.

    Returns:
      uint8 [rows].

    Raises:
      DataError: a side stays empty.
    """
    check_length(units, len(labels), '"units"')
    check_length(pinned, len(labels), '"pinned"')
    known = labelled(labels)
    if units is not None or (pinned is not None and pinned.any()):
        return checked(assign_units(known, strata, portions, units, pinned, seed), test=portions.test > 0)
    return checked(_assign_rows(known, strata, portions, seed), test=portions.test > 0)


def _assign_rows(known: np.ndarray, strata: np.ndarray, portions: Portions, seed: int) -> np.ndarray:
    """Each row its own unit, with published splits to keep: the same bits for the same seed, for ever."""
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(known))
    order = order if known.all() else order[known[order]]
    if strata.any():  # strata one after the other, shuffled within
        order = order[np.argsort(smallest(strata, int(strata.max()) + 1)[order], kind="stable")]
    sides = np.where(known, np.uint8(TRAIN), np.uint8(NO_SIDE))
    in_test = _every(len(order), portions.test)
    sides[order[in_test]] = TEST
    rest = order[~in_test]
    if portions.folds is None:
        sides[rest[_every(len(rest), portions.validation)]] = VALIDATION
    else:
        sides[rest[portions.fold :: portions.folds]] = VALIDATION
    return sides


def _every(rows: int, fraction: float) -> np.ndarray:
    """Marks a fraction of `rows` places, evenly spread: bool [rows] with round(rows * fraction) True."""
    steps = np.floor(np.arange(rows + 1) * fraction + 0.5)
    return np.diff(steps) > 0
