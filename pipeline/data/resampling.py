"""How often each row comes in an epoch, as arithmetic on positions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.errors import ConfigError


@dataclass(frozen=True, eq=False)
class Resampling:
    """Systematic sampling (Madow and Madow, "On the theory of systematic sampling", 1944).

    The weights of all rows, laid end to end, are cut by equally spaced points; a row comes as often as points fall upon
    its weight: its expectation, rounded up or down. Where rows of a group lie together, that also holds for the group.

    Args:
      weights: float64 [rows], of any total.
      groups: uint64 [rows], e.g. their classes.

    Example:
      >>> Resampling(np.array([0.0, 1, 1, 2]), np.zeros(4, np.uint64)).examples(np.arange(4), None, phase=0.5).tolist()
      [1, 2, 3, 7]
    """

    weights: np.ndarray
    groups: np.ndarray

    @staticmethod
    def of_classes(labels: np.ndarray, shares: Mapping[int, float] | None = None) -> Resampling:
        """So that each class has its share of an epoch.

        Args:
          labels: int [rows].
          shares: class -> share, of any total; a class not named keeps its number of rows. None: all classes equal.

        Raises:
          ConfigError: a class has no row, a share is below 0 or all are 0.
        """
        counts = np.bincount(labels)
        present = counts > 0
        wanted = present.astype(np.float64) if shares is None else _shares(counts, shares)
        per_row = np.divide(wanted, counts, out=np.zeros(len(counts)), where=present)
        return Resampling(per_row[labels], labels.astype(np.uint64))

    def examples(self, positions: np.ndarray, rows: np.ndarray | None, phase: float) -> np.ndarray:
        """The examples at these positions: int64, `row + number of rows * copy`.

        Args:
          positions: int64, each below the number of rows.
          rows: int64 [rows], the order in which the weights are laid end to end; None: as they are.
          phase: of the points, 0 to 1.
        """
        num = len(self.weights)
        ends = self._ends if rows is None else np.cumsum(self.weights[rows])
        step = ends[-1] / num
        places = np.minimum(np.searchsorted(ends, (positions + phase) * step, "right"), num - 1)
        begins = np.where(places > 0, ends[places - 1], 0.0)
        copies = np.maximum(positions - np.ceil(begins / step - phase), 0).astype(np.int64)
        return (places if rows is None else rows[places]) + num * copies

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.cumsum(self.weights)


def class_weights(labels: np.ndarray) -> np.ndarray:
    """Weights that make all classes count the same: rows / (classes * rows of the class), float32 [classes].

    The formula of scikit-learn's `compute_class_weight("balanced")`, after King and Zeng, "Logistic regression in rare
    events data" (2001).

    >>> class_weights(np.array([0, 0, 0, 1])).tolist()
    [0.6666666865348816, 2.0]
    """
    counts = np.bincount(labels)
    present = counts > 0
    weights = np.divide(len(labels), present.sum() * counts, out=np.zeros(len(counts)), where=present)
    return weights.astype(np.float32)


def _shares(counts: np.ndarray, shares: Mapping[int, float]) -> np.ndarray:
    wanted = counts / counts.sum()
    for label, share in shares.items():
        if not 0 <= label < len(counts) or not counts[label]:
            raise ConfigError(f"resample: class {label} has no row in train.", expected="classes that train has")
        if not share >= 0:
            raise ConfigError(f"resample: the share of class {label} is {share}.", expected="a number of 0 or more")
        wanted[label] = share
    if not wanted.sum() > 0:
        raise ConfigError("resample: all shares are 0.", expected="at least one class with a share above 0")
    return wanted
