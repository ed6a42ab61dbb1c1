"""What steps for numbers need beyond operators, for NumPy arrays and TensorFlow tensors alike, with equal bits.

Sums, differences, products, quotients and comparisons of float64 are equal in both. Logarithms are not: NumPy's differ
from TensorFlow's in the last bit, and TensorFlow's own differ with the place of a value in its tensor, because the last
few values of a tensor are computed one by one and the others by vector instructions. So both worlds run TensorFlow's
here, with a tail of zeros behind the values, which leaves all of them to the vector instructions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

# Longer than any vector of float64 numbers that a processor computes at once.
_TAIL = 16


def library_of(values: Any) -> Any:
    """`numpy` for an array, `tensorflow` for a tensor: `where`, `minimum`, `maximum`, `abs` and `sign` are in both."""
    if isinstance(values, np.ndarray):
        return np
    import tensorflow as tf

    return tf


def clip(values: Any, low: float, high: float) -> Any:
    """Values between two bounds; infinite ones come to a bound, too.

    >>> clip(np.array([-np.inf, 0.5, 7.0]), 0.0, 1.0).tolist()
    [0.0, 0.5, 1.0]
    """
    library = library_of(values)
    return library.minimum(library.maximum(values, low), high)


def log1p(values: Any) -> Any:
    """log(1 + x), float64 [rows].

    >>> bool(np.isclose(log1p(np.array([np.e - 1])), 1.0)[0])
    True
    """
    import tensorflow as tf

    return _by_tensorflow(tf.math.log1p, values)


def normal_quantile(ranks: Any) -> Any:
    """The standard normal value below which lies a share `ranks` of all, float64 [rows] in (0, 1).

    >>> normal_quantile(np.array([0.5])).tolist()
    [0.0]
    """
    import tensorflow as tf

    return _by_tensorflow(tf.math.ndtri, ranks)


def take(table: np.ndarray, places: Any) -> Any:
    """`table[places]`; int64 [rows]."""
    if isinstance(places, np.ndarray):
        return table[places]
    import tensorflow as tf

    return tf.gather(tf.constant(table), places)


def num_not_above(table: np.ndarray, values: Any) -> Any:
    """How many numbers of an increasing table are no larger than each value, int64 [rows].

    >>> num_not_above(np.array([1.0, 2.0]), np.array([0.5, 1.0, 3.0])).tolist()
    [0, 1, 2]
    """
    if isinstance(values, np.ndarray):
        return np.searchsorted(table, values, side="right")
    import tensorflow as tf

    return tf.searchsorted(tf.constant(table), values, side="right", out_type=tf.int64)


def _by_tensorflow(function: Callable[[Any], Any], values: Any) -> Any:
    import tensorflow as tf

    tail = tf.zeros([_TAIL], tf.float64)
    found = function(tf.concat([values, tail], axis=0))[:-_TAIL]
    return found.numpy() if isinstance(values, np.ndarray) else found
