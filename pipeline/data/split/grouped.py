"""By groups: all rows of a patient, a session or a scene on one side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.data.split.checks import check_groups, column_of
from pipeline.data.split.partition import joined
from pipeline.data.split.shuffled import assign
from pipeline.data.split.splitter import DrawnShares
from pipeline.data.split.strata import encode, labelled, present, strata


@dataclass(frozen=True, kw_only=True)
class Group(DrawnShares):
    """Groups on a side by chance: rows with an equal value of a column stay together.

    Args:
      train, validation, test, folds, fold, seed: see `DrawnShares`.
      column: its name. A row without a value is a group of its own.
    """

    column: str

    @property
    def needs(self) -> str | None:
        """The column of the groups."""
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
        """The side of each row, uint8 [rows]: see `Splitter.__call__`. Groups that share a unit stay together, too.

        Raises:
          DataError: there is no column, fewer groups than sides, or a group that is larger than any side.

        Example:
          >>> patients = np.asarray(["a", "b", "c", "d", "e"] * 20, object)
          >>> sides = Group(column="patient", train=0.6, validation=0.2, test=0.2)(np.arange(100.0), column=patients)
          >>> [sorted(set(patients[sides == side])) for side in range(3)]
          [['b', 'c', 'e'], ['d'], ['a']]
        """
        together = self._together(labels, column, units)
        return assign(labels, self._strata(labels), self.portions, together, pinned, self.seed_of(seed))

    def _strata(self, labels: np.ndarray) -> np.ndarray:
        return np.zeros(len(labels), np.int64)

    def _together(self, labels: np.ndarray, column: np.ndarray | None, units: np.ndarray | None) -> np.ndarray:
        values = column_of(self.column, column, len(labels), type(self).__name__)
        together = joined(units, group_numbers(values))
        known = labelled(labels)
        largest = max(self.train, self.validation, self.test)
        sides = 3 if self.folds is None else self.folds + 1
        check_groups(self.column, together[known], values[known], largest, sides)
        return together


@dataclass(frozen=True, kw_only=True)
class StratifiedGroup(Group):
    """As `Group`, and every class in the same shares on each side, as far as whole groups allow.

    The idea is that of scikit-learn's StratifiedGroupKFold: greedy by class counts; see `pipeline.data.split.units`.

    Args:
      train, validation, test, folds, fold, seed: see `DrawnShares`.
      column: the groups' column. A row without a value is a group of its own.

    Example:
      >>> patients = np.repeat(np.arange(50.0), 4)
      >>> labels = np.repeat(["ill", "well", "well", "well", "well"], 40).astype(object)
      >>> sides = StratifiedGroup(column="patient", train=0.6, validation=0.2, test=0.2)(labels, column=patients)
      >>> [int((labels[sides == side] == "ill").sum()) for side in range(3)]
      [24, 8, 8]
    """

    def _strata(self, labels: np.ndarray) -> np.ndarray:
        return strata(labels)


def group_numbers(values: np.ndarray) -> np.ndarray:
    """A number for each distinct value, and one for each missing one: int64 [rows].

    Example:
      >>> group_numbers(np.asarray(["b", None, "b", None], object)).tolist()
      [0, 1, 0, 2]
    """
    there = present(values)
    found = np.empty(len(values), np.int64)
    codes, distinct = encode(values[there])
    found[there] = codes
    found[~there] = len(distinct) + np.arange(len(values) - len(codes))
    return found
