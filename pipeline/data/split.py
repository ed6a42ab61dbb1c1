"""Splits: every row gets its side before anything is learnt. A split is an array of sides, so it is a fact that can
be saved and checked.

All randomness comes from the seed through NumPy's Philox generator, whose output is the same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.data.sides import NO_SIDE, SIDE_OF_NAME, SIDES, TEST, TRAIN, VALIDATION
from pipeline.errors import ConfigError, DataError

__all__ = ["Given", "Random", "Stratified"]

# A numeric label with more distinct values is stratified by this many bins of equal counts.
MAX_CLASSES = 20
REGRESSION_BINS = 10


@dataclass(frozen=True)
class _Shares:
    """The shares of the three sides."""

    train: float = 0.7
    validation: float = 0.15
    test: float = 0.15

    def __post_init__(self) -> None:
        _check_fractions(self.train, self.validation, self.test)


@dataclass(frozen=True)
class Random(_Shares):
    """Every row on a side by chance, in the given shares.

    Args:
      train, validation, test: fractions that add up to 1, each above 0.
    """

    def __call__(self, labels: np.ndarray, *, column: np.ndarray | None = None, seed: int = 0) -> np.ndarray:
        """The side of each row.

        Args:
          labels: [rows] labels; None or NaN where there is none, and then the row gets `NO_SIDE`.
          column: not used.
          seed: of the permutation.

        Returns:
          uint8 [rows].

        Raises:
          DataError: too few rows for three sides.

        Example:
          >>> sides = Random()(np.arange(100), seed=1)
          >>> [int((sides == side).sum()) for side in range(3)]
          [70, 15, 15]
        """
        return _assign(labels, np.zeros(len(labels), np.int64), self.validation, self.test, seed)


@dataclass(frozen=True)
class Stratified(_Shares):
    """As `Random`, with every class (or tenth of a numeric label's range of ranks) in the same shares on each side.

    Args:
      train, validation, test: fractions that add up to 1, each above 0.
    """

    def __call__(self, labels: np.ndarray, *, column: np.ndarray | None = None, seed: int = 0) -> np.ndarray:
        """The side of each row: see `Random.__call__`."""
        return _assign(labels, strata(labels), self.validation, self.test, seed)


@dataclass(frozen=True)
class Given:
    """The sides that stand in a column: train, validation and test, or spellings of them (val, dev, ...).

    Without validation rows in it, that share of the train rows becomes validation, stratified.

    Args:
      column: its name; None: the column that `ingest` recognized.
      validation: fraction of train to set aside where the column names no validation rows.
    """

    column: str | None = None
    validation: float = 0.15

    def __post_init__(self) -> None:
        if not 0 < self.validation < 1:
            raise ConfigError(f'"split": validation is {self.validation}.', expected="a fraction between 0 and 1")

    def __call__(self, labels: np.ndarray, *, column: np.ndarray | None = None, seed: int = 0) -> np.ndarray:
        """The side of each row.

        Args:
          labels: [rows] labels; None or NaN where there is none.
          column: [rows] of text: the split column's values.
          seed: of the choice of validation rows, where the column has none.

        Returns:
          uint8 [rows].

        Raises:
          DataError: a value is no side's name, or train or test is empty.
        """
        if column is None:
            raise DataError(
                "The split is to be taken from a column, but none was recognized.",
                expected="a column named split with the values train, validation and test",
                fix='Name it: split = {name = "Given", column = "..."}.',
            )
        names = np.asarray([str(value).lower() for value in column])
        unknown = sorted(set(names) - set(SIDE_OF_NAME))
        if unknown:
            row = int(np.flatnonzero(names == unknown[0])[0])
            raise DataError(
                f'The split column holds "{column[row]}" (row {row + 1}).', expected=f"one of {', '.join(SIDE_OF_NAME)}"
            )
        sides = np.asarray([SIDE_OF_NAME[name] for name in names], np.uint8)
        sides[~_labelled(labels)] = NO_SIDE
        if not (sides == VALIDATION).any():
            train = np.flatnonzero(sides == TRAIN)
            sides[train] = _assign(labels[train], strata(labels[train]), self.validation, 0.0, seed)
        return _checked(sides)


def strata(labels: np.ndarray) -> np.ndarray:
    """A stratum per row: the class, or for a numeric label of many values its tenth by rank. int64 [rows]."""
    labelled = _labelled(labels)
    found = np.zeros(len(labels), np.int64)
    values, codes = np.unique(labels[labelled], return_inverse=True)
    if labels.dtype.kind == "f" and len(values) > MAX_CLASSES:
        ranks = np.argsort(np.argsort(labels[labelled], kind="stable"), kind="stable")
        codes = ranks * REGRESSION_BINS // max(len(ranks), 1)
    found[labelled] = codes
    return found


def _assign(labels: np.ndarray, strata: np.ndarray, validation: float, test: float, seed: int) -> np.ndarray:
    """Sides in exact shares of the whole, and of each stratum up to one row."""
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(labels))
    order = order[_labelled(labels)[order]]
    order = order[np.argsort(strata[order], kind="stable")]  # strata one after the other, shuffled within
    sides = np.full(len(labels), NO_SIDE, np.uint8)
    sides[order] = TRAIN
    in_test = _every(len(order), test)
    sides[order[in_test]] = TEST
    rest = order[~in_test]
    sides[rest[_every(len(rest), validation / (1 - test))]] = VALIDATION
    return _checked(sides, test=test > 0)


def _every(rows: int, fraction: float) -> np.ndarray:
    """Marks a fraction of `rows` places, evenly spread: bool [rows] with round(rows * fraction) True."""
    steps = np.floor(np.arange(rows + 1) * fraction + 0.5)
    return np.diff(steps) > 0


def _checked(sides: np.ndarray, test: bool = True) -> np.ndarray:
    counts = {name: int((sides == side).sum()) for side, name in enumerate(SIDES)}
    empty = [name for name, count in counts.items() if count == 0 and (test or name != "test")]
    if empty:
        held = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise DataError(
            f"The split leaves no rows in {' and '.join(empty)} ({held}).",
            expected="rows on all three sides",
            fix="Add rows, or give larger fractions: split = {train = 0.6, validation = 0.2, test = 0.2}.",
        )
    return sides


def _labelled(labels: np.ndarray) -> np.ndarray:
    if labels.dtype.kind == "f":
        return ~np.isnan(labels)
    return np.asarray([label is not None for label in labels], bool)


def _check_fractions(train: float, validation: float, test: float) -> None:
    shares = (train, validation, test)
    if min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise ConfigError(
            f'"split": train {train}, validation {validation} and test {test} add up to {sum(shares):g}.',
            expected="three fractions above 0 that add up to 1",
        )
