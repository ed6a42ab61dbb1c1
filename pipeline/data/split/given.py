"""As given: the sides that somebody published with the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.data.sides import NO_SIDE, SIDE_OF_NAME, TEST, TRAIN, VALIDATION
from pipeline.data.split.checks import check_length, checked
from pipeline.data.split.partition import dense, held
from pipeline.data.split.shuffled import assign
from pipeline.data.split.splitter import Portions, check_folds
from pipeline.data.split.strata import labelled, strata
from pipeline.errors import ConfigError, DataError


@dataclass(frozen=True)
class Given:
    """The sides that stand in a column: train, validation and test, or spellings of them (val, dev, ...).

    Without validation rows in it, that share of the train rows becomes validation, stratified. With `folds`, train
    and validation rows together are dealt into folds, stratified. Test stays as it was published: a train or
    validation row whose unit reaches to a later side (test, then validation) is set aside: it gets `NO_SIDE`.

    Args:
      column: its name; None: the column that `ingest` recognized.
      validation: fraction of train to set aside where the column names no validation rows.
      folds, fold: see `Shares`.
    """

    column: str | None = None
    validation: float = 0.15
    folds: int | None = None
    fold: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.validation < 1:
            raise ConfigError(f'"split": validation is {self.validation}.', expected="a fraction between 0 and 1")
        check_folds(self.folds, self.fold)

    @property
    def needs(self) -> str | None:
        """The column of the sides."""
        return self.column

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

        Args:
          labels, units, pinned: see there.
          column: [rows] of text: the split column's values.
          seed: of the choice of validation rows, where there is one.

        Raises:
          DataError: a value is no side's name, or a side is empty.

        Example:
          >>> column = np.asarray(["train", "val", "test", "train"], object)
          >>> Given()(np.arange(4.0), column=column, units=np.asarray([0, 1, 2, 2])).tolist()
          [0, 1, 2, 255]
        """
        sides = _read(column, len(labels))
        sides[~labelled(labels)] = NO_SIDE
        if self.folds is not None:
            sides[sides == VALIDATION] = TRAIN
        check_length(units, len(labels), '"units"')
        check_length(pinned, len(labels), '"pinned"')
        sides[held(units, pinned, len(labels)) & (sides != NO_SIDE)] = TEST
        if units is not None:
            sides = _set_aside(sides, dense(units))
        if not (sides == VALIDATION).any():
            train = np.flatnonzero(sides == TRAIN)
            portions = Portions(0.0, self.validation, self.folds, self.fold)
            within = None if units is None else units[train]
            sides[train] = assign(labels[train], strata(labels[train]), portions, within, None, seed)
        return checked(sides, fix="Name a column that has rows of each side, or leave it out: split = Stratified.")


def _read(column: np.ndarray | None, rows: int) -> np.ndarray:
    """The column's values as sides: uint8 [rows]."""
    if column is None:
        raise DataError(
            "The split is to be taken from a column, but none was recognized.",
            expected="a column named split with the values train, validation and test",
            fix='Name it: split = {name = "Given", column = "..."}.',
        )
    check_length(column, rows, "The split column")
    side_of = {value: SIDE_OF_NAME.get(str(value).lower()) for value in set(column.tolist())}
    if None in side_of.values():
        row = next(number for number, value in enumerate(column.tolist()) if side_of[value] is None)
        raise DataError(
            f'The split column holds "{column[row]}" (row {row + 1}).', expected=f"one of {', '.join(SIDE_OF_NAME)}"
        )
    return np.asarray([side_of[value] for value in column.tolist()], np.uint8)


def _set_aside(sides: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Rows whose unit has rows on a later side leave theirs: train 0 < validation 1 < test 2."""
    known = sides != NO_SIDE
    latest = np.zeros(int(units.max(initial=-1)) + 1, np.uint8)
    np.maximum.at(latest, units[known], sides[known])
    return np.where(known & (sides < latest[units]), np.uint8(NO_SIDE), sides)
