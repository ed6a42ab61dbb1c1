"""Which rows belong together, as a number a row: units, groups, and what hangs together through both."""

from __future__ import annotations

import numpy as np

from pipeline.data.split.strata import encode


def dense(numbers: np.ndarray) -> np.ndarray:
    """The same partition with numbers from 0 without gaps, in the same order: int64 [rows].

    Example:
      >>> dense(np.asarray([40, 7, 40])).tolist()
      [1, 0, 1]
    """
    if len(numbers) == 0:
        return np.zeros(0, np.int64)
    low, high = int(numbers.min()), int(numbers.max())
    if high - low > 4 * len(numbers):
        return encode(numbers)[0]
    used = np.zeros(high - low + 1, bool)
    used[numbers - low] = True
    return (np.cumsum(used) - 1)[numbers - low]


def held(units: np.ndarray | None, pinned: np.ndarray | None, rows: int) -> np.ndarray:
    """Rows that are pinned, and all rows of their units: bool [rows].

    Example:
      >>> held(np.asarray([0, 1, 1, 2]), np.asarray([False, True, False, False]), 4).tolist()
      [False, True, True, False]
    """
    if pinned is None:
        return np.zeros(rows, bool)
    if units is None:
        return pinned
    numbers = dense(units)
    found = np.zeros(int(numbers.max(initial=-1)) + 1, bool)
    found[numbers[pinned]] = True
    return found[numbers]


def joined(units: np.ndarray | None, groups: np.ndarray) -> np.ndarray:
    """Rows that share a unit or a group, directly or through others: int64 [rows], from 0.

    Example:
      >>> joined(np.asarray([0, 1, 1, 2]), np.asarray([5, 5, 6, 7])).tolist()
      [0, 0, 0, 1]
    """
    groups = dense(groups)
    if units is None or len(groups) == 0:
        return groups
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    units = dense(units)
    several = (np.bincount(units) > 1)[units]
    count = int(groups.max()) + 1
    links = (np.ones(several.sum(), bool), (groups[several], count + units[several]))
    nodes = count + int(units.max()) + 1
    _, component = connected_components(coo_array(links, shape=(nodes, nodes)), directed=False)
    return dense(component[groups].astype(np.int64))
