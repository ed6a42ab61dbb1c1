"""Weights of rows as they stand in a column: which of them cannot be used."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

_LARGEST = float(np.finfo(np.float32).max)


def unusable(weights: pa.Array, told: np.ndarray) -> list[tuple[np.ndarray, str]]:
    """Rows whose weight cannot be used, with the reason.

    Args:
      weights: float64 [rows], null where a value is missing, not finite, or no number.
      told: int64 [n], rows of which it is known already that they hold no number.

    Returns:
      (row numbers int64 [n], what their weight is), where there are such rows.

    Example:
      >>> [(rows.tolist(), reason) for rows, reason in unusable(pa.array([1.0, None, -2.0, None]), np.array([3]))]
      [([1], 'a missing or infinite weight'), ([2], 'a negative weight')]
    """
    values = np.array(weights.to_numpy(zero_copy_only=False), np.float64)
    missing = np.isnan(values)
    missing[told] = False
    found = [
        (missing, "a missing or infinite weight"),
        (values < 0, "a negative weight"),
        (values > _LARGEST, "a weight that is too large for float32"),
    ]
    return [(np.flatnonzero(rows), reason) for rows, reason in found if rows.any()]
