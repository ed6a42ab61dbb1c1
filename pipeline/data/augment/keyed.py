"""Random numbers of a row as a function of its key alone: a counter-based generator in a few vectorized operations.

The generator is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014): the
finalizer of key + counter * step. Only integer operations and table lookups are used, no logarithm and no sine: those
differ in their last bit between the middle and the end of a vector, and a row's numbers must not depend on where it
stands.
"""

from __future__ import annotations

import functools

import numpy as np
import tensorflow as tf

from pipeline.data.mixing import FIRST, SECOND, STEP

_TABLE_BITS = 16


def fold(keys: tf.Tensor, number: int | tf.Tensor) -> tf.Tensor:
    """New keys that depend on these and on a number.

    Args:
      keys: uint64 [rows].
      number: an integer of 0 or more, or one for each row.

    Example:
      >>> keys = fold(tf.constant([1, 2], tf.uint64), 7)
      >>> bool(tf.reduce_all(keys == fold(tf.constant([1, 2], tf.uint64), tf.constant([7, 7]))))
      True
    """
    return _mix(keys + (tf.cast(number, tf.uint64) + tf.constant(1, tf.uint64)) * tf.constant(STEP))


def uniform(keys: tf.Tensor, num: int, low: float = 0.0, high: float = 1.0) -> tf.Tensor:
    """Evenly distributed numbers, `num` for each row.

    Args:
      keys: uint64 [rows].
      num: how many.
      low, high: the range; `high` itself does not come.

    Returns:
      float32 [rows, num].
    """
    return low + (high - low) * (tf.cast(_words(keys, num, 24), tf.float32) * 2.0**-24)


def normal(keys: tf.Tensor, num: int) -> tf.Tensor:
    """Normally distributed numbers of mean 0 and variance 1: float32 [rows, num], up to 4.3 either way."""
    return tf.gather(tf.constant(_normal_quantiles()), _words(keys, num, _TABLE_BITS))


def beta(keys: tf.Tensor, alpha: float) -> tf.Tensor:
    """Numbers of the distribution Beta(alpha, alpha): float32 [rows], 0 to 1."""
    return tf.gather(tf.constant(_beta_quantiles(alpha)), _words(keys, 1, _TABLE_BITS)[:, 0])


def _words(keys: tf.Tensor, num: int, bits: int) -> tf.Tensor:
    """The upper bits of `num` random words a row: int64 [rows, num]."""
    counters = tf.constant(np.arange(1, num + 1, dtype=np.uint64) * STEP)
    words = _mix(keys[:, tf.newaxis] + counters)
    return tf.cast(tf.bitwise.right_shift(words, tf.constant(64 - bits, tf.uint64)), tf.int64)


def _mix(bits: tf.Tensor) -> tf.Tensor:
    """`pipeline.data.mixing.mix` in TensorFlow."""
    for shift, factor in ((30, FIRST), (27, SECOND)):
        bits = tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, tf.constant(shift, tf.uint64)))
        bits = bits * tf.constant(factor)
    return tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, tf.constant(31, tf.uint64)))


def _middles() -> np.ndarray:
    return (np.arange(1 << _TABLE_BITS) + 0.5) / (1 << _TABLE_BITS)


@functools.cache
def _normal_quantiles() -> np.ndarray:
    from scipy.special import ndtri

    return np.asarray(ndtri(_middles()), np.float32)


@functools.cache
def _beta_quantiles(alpha: float) -> np.ndarray:
    from scipy.special import betaincinv

    return np.asarray(betaincinv(alpha, alpha, _middles()), np.float32)
