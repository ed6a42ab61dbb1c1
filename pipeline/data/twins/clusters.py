"""From pairs of rows that are alike to clusters of rows that must stay together."""

from __future__ import annotations

import numpy as np


def clusters(num_rows: int, *pairs: np.ndarray) -> np.ndarray:
    """The cluster of each row: rows joined by a chain of pairs are in one cluster, named by its smallest row.

    Only the rows in pairs become a graph, so ten million rows with few pairs cost little more than their numbering.

    Args:
      num_rows: how many rows there are.
      *pairs: int64 [pairs, 2] row numbers, any number of such arrays, in any order, repetitions allowed.

    Returns:
      int64 [num_rows]; a row without a pair is its own cluster.

    Raises:
      ValueError: a pair names a row below 0 or from num_rows on.

    Example:
      >>> clusters(6, np.array([[4, 1], [4, 5]]), np.array([[0, 3]])).tolist()
      [0, 1, 2, 0, 1, 1]
    """
    result = np.arange(num_rows, dtype=np.int64)
    joined = np.concatenate(
        [np.zeros((0, 2), np.int64), *(np.asarray(part, np.int64).reshape(-1, 2) for part in pairs)]
    )
    if not len(joined):
        return result
    if joined.min() < 0 or joined.max() >= num_rows:
        raise ValueError(f"pairs name rows {joined.min()} to {joined.max()}; there are {num_rows} rows.")
    rows, ends = np.unique(joined, return_inverse=True)
    labels = _components(len(rows), ends.reshape(-1, 2))
    # `rows` ascends, so the first row that carries a label is the smallest of its cluster.
    _, first = np.unique(labels, return_index=True)
    result[rows] = rows[first[labels]]
    return result


def groups_of_equal(keys: np.ndarray, *, present: np.ndarray | None = None) -> np.ndarray:
    """The pairs that join rows with equal keys: each later row with the first of its group.

    Args:
      keys: uint64 [rows] (or any dtype that sorts), such as hashes of what the rows contain.
      present: bool [rows], False where a row has no key (null), and then it is in no pair; None: all have one.

    Returns:
      int64 [pairs, 2]: first row, later row; a group of k rows gives k - 1 pairs. Ordered by key, then by row.

    Raises:
      ValueError: the two arrays differ in length.

    Example:
      >>> groups_of_equal(np.array([7, 3, 7, 7], np.uint64)).tolist()
      [[0, 2], [0, 3]]
      >>> groups_of_equal(np.array([7, 3, 7, 7], np.uint64), present=np.array([False, True, True, True])).tolist()
      [[2, 3]]
    """
    if present is not None:
        if len(present) != len(keys):
            raise ValueError(f"{len(keys)} keys, but {len(present)} marks of presence.")
        rows = np.flatnonzero(present)
        return rows[groups_of_equal(np.asarray(keys)[rows])]
    keys = np.asarray(keys)
    rows = _repeated(keys)
    # Stable, so that the first of a run of equal keys is the smallest row.
    order = rows[np.argsort(keys[rows], kind="stable")]
    ordered = keys[order]
    later = np.flatnonzero(ordered[1:] == ordered[:-1]) + 1
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(order) else later
    first = starts[np.searchsorted(starts, later, side="right") - 1]
    return np.stack([order[first], order[later]], axis=1)


def _repeated(keys: np.ndarray) -> np.ndarray:
    """The rows whose key another row has, too. Sorting keys alone is ten times faster than sorting rows by them."""
    ordered = np.sort(keys)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(twice) > len(keys) // 4:
        return np.arange(len(keys))
    if len(twice) == 0:
        return np.empty(0, np.int64)
    places = np.minimum(np.searchsorted(twice, keys), len(twice) - 1)
    return np.flatnonzero(twice[places] == keys)


def distinct_pairs(*pairs: np.ndarray) -> np.ndarray:
    """Each pair once, smaller row first, in ascending order; a row with itself is no pair.

    Args:
      *pairs: int64 [pairs, 2] row numbers, any number of such arrays.

    Returns:
      int64 [pairs, 2].

    Example:
      >>> distinct_pairs(np.array([[5, 2], [1, 1]]), np.array([[2, 5], [0, 3]])).tolist()
      [[0, 3], [2, 5]]
    """
    joined = np.concatenate(
        [np.zeros((0, 2), np.int64), *(np.asarray(part, np.int64).reshape(-1, 2) for part in pairs)]
    )
    joined = np.sort(joined[joined[:, 0] != joined[:, 1]], axis=1)
    base = int(joined.max(initial=0)) + 1
    codes = sorted_distinct(joined[:, 0] * base + joined[:, 1])
    return np.stack([codes // base, codes % base], axis=1)


def sorted_distinct(values: np.ndarray) -> np.ndarray:
    """The different values, ascending: `np.unique`, which hashes whole numbers, three times as fast for 10^7 of them.

    Example:
      >>> sorted_distinct(np.array([3, 1, 3])).tolist()
      [1, 3]
    """
    ordered = np.sort(values)
    return ordered[np.r_[True, ordered[1:] != ordered[:-1]]] if len(ordered) else ordered


def _components(num_nodes: int, edges: np.ndarray) -> np.ndarray:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(edges), np.int8), (edges[:, 0], edges[:, 1])), shape=(num_nodes, num_nodes))
    return np.asarray(connected_components(graph, directed=False)[1])
