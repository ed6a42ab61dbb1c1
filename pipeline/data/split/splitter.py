"""What every splitter is: the protocol of its call, and the fields for shares and folds that most of them have."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from pipeline.errors import ConfigError


class Splitter(Protocol):
    """Labels in, sides out."""

    @property
    def needs(self) -> str | None:
        """The name of the column whose values the call wants as `column`; None: it wants none."""

    def __call__(
        self,
        labels: np.ndarray,
        *,
        column: np.ndarray | None = None,
        units: np.ndarray | None = None,
        pinned: np.ndarray | None = None,
        seed: int = 0,
    ) -> np.ndarray:
        """The side of each row.

        Args:
          labels: [rows] labels, float64 with NaN or text (object) with None; a row without one gets `NO_SIDE`.
          column: [rows] the values of the column `needs`: text (object) with None, float64, or datetime64[us].
          units: int64 [rows]: rows with equal numbers, as twins have, end on one side. None: each row is its own.
          pinned: bool [rows]: rows that were in test before. They, and all of their unit and group, are in test again
            and count towards its share. None: no row was.
          seed: of everything random.

        Returns:
          uint8 [rows]: TRAIN, VALIDATION, TEST or NO_SIDE.

        Raises:
          DataError: a side stays empty, or the column cannot be used.
        """


@dataclass(frozen=True)
class Portions:
    """How a draw divides rows.

    Attributes:
      test: fraction of all rows.
      validation: fraction of the rows that are not test.
      folds: number of equal parts of the rows that are not test; None: `validation` says.
      fold: which of them is validation.
    """

    test: float
    validation: float
    folds: int | None = None
    fold: int = 0


@dataclass(frozen=True)
class Shares:
    """The shares of the three sides, and folds instead of one validation side.

    Args:
      train, validation, test: fractions that add up to 1, each above 0.
      folds: divide what is not test in so many parts, by the same principle; `validation` then counts for nothing.
      fold: the part that is validation, from 0.

    Raises:
      ConfigError: the fractions are no shares of 1, or there is no such fold.
    """

    train: float = 0.7
    validation: float = 0.15
    test: float = 0.15
    folds: int | None = None
    fold: int = 0

    def __post_init__(self) -> None:
        _check_fractions(self.train, self.validation, self.test)
        check_folds(self.folds, self.fold)

    @property
    def needs(self) -> str | None:
        """No column."""
        return None

    @property
    def portions(self) -> Portions:
        """The shares as a draw wants them."""
        return Portions(self.test, self.validation / (1 - self.test), self.folds, self.fold)


@dataclass(frozen=True)
class DrawnShares(Shares):
    """Shares that are drawn by chance.

    Args:
      train, validation, test, folds, fold: see `Shares`.
      seed: of the draw, 0 or more; None: that of the call, which is the run's.

    Raises:
      ConfigError: see `Shares`; or the seed is below 0.
    """

    seed: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seed is not None and self.seed < 0:
            raise ConfigError(f'"split": seed is {self.seed}.', expected="a whole number from 0")

    def seed_of(self, call: int) -> int:
        """The seed that counts."""
        return call if self.seed is None else self.seed


def check_folds(folds: int | None, fold: int) -> None:
    """Refuses what is no fold.

    Raises:
      ConfigError: fewer than two folds, or `fold` is none of them.

    Example:
      >>> check_folds(5, 4)
    """
    if folds is None and fold:
        raise ConfigError(
            f'"split": fold is {fold}, but folds is not given.', expected="both", fix=f"Add folds = {fold + 1} or more."
        )
    if folds is None:
        return
    if folds < 2:
        raise ConfigError(f'"split": folds is {folds}.', expected="at least 2", fix="Leave it out for one split.")
    if not 0 <= fold < folds:
        raise ConfigError(
            f'"split": fold is {fold} of {folds} folds.', expected=f"0 to {folds - 1}: folds count from 0"
        )


def _check_fractions(train: float, validation: float, test: float) -> None:
    shares = (train, validation, test)
    if not min(shares) > 0 or not abs(sum(shares) - 1) <= 1e-6:
        raise ConfigError(
            f'"split": train {train}, validation {validation} and test {test} add up to {sum(shares):g}.',
            expected="three fractions above 0 that add up to 1",
        )
