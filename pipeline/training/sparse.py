"""Gradients of which most rows are zero: those of a table of embeddings, as `tf.IndexedSlices`.

Whoever looks up 5,000 rows of a table of a million has gradients for these alone. They stay sparse if the lookup is
`tf.gather(weight.value, indices)`: it reads the rows from the variable itself. Reading the whole variable, as
`keras.ops.take` does, holds on to its memory, and the update that follows must then copy the whole table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import tensorflow as tf

Gradient: TypeAlias = tf.Tensor | tf.IndexedSlices


def summed(gradient: Gradient) -> Gradient:
    """A sparse gradient in which every row occurs once; a dense one as it is.

    The kernels that update rows take duplicates one after another, each as a step of its own, which is another method.
    Duplicates are added in the order in which they stand, by one thread a row, so that a CPU gives the same bits again.

    Args:
      gradient: values [occurrences, ...] and indices [occurrences].

    Returns:
      Values [rows, ...] and indices [rows], in the order of their first occurrence.

    Example:
      >>> values, rows = tf.constant([[1.0], [2.0], [4.0]]), tf.constant([7, 3, 7])
      >>> found = summed(tf.IndexedSlices(values, rows))
      >>> found.indices.numpy().tolist(), found.values.numpy().tolist()
      ([7, 3], [[5.0], [2.0]])
    """
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    rows, places = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, places, tf.size(rows))
    return tf.IndexedSlices(values, rows, gradient.dense_shape)


def values_of(gradient: Gradient) -> tf.Tensor:
    """All numbers of a gradient that can differ from 0."""
    return gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient


def clip(gradients: Sequence[Gradient], norm: float) -> list[Gradient]:
    """Scales all gradients alike, so that their norm as one long vector is at most `norm` (Pascanu et al., 2013).

    Args:
      gradients: dense, or sparse with every row once, as `summed` gives them.
      norm: above 0.

    Returns:
      The gradients, unchanged if they are short enough. Where one is not finite, all of them become NaN: that a
      training has gone wrong is to be seen, not hidden.

    Example:
      >>> [float(gradient) for gradient in clip([tf.constant(6.0), tf.constant(8.0)], 5.0)]
      [3.0, 4.0]
    """
    squares = [tf.cast(tf.nn.l2_loss(values_of(gradient)), tf.float32) for gradient in gradients]
    length = tf.sqrt(2.0 * tf.add_n(squares))
    scale = norm / tf.maximum(length, norm) + (length - length)
    return [_scaled(gradient, scale) for gradient in gradients]


def _scaled(gradient: Gradient, scale: tf.Tensor) -> Gradient:
    values = values_of(gradient)
    scaled = values * tf.cast(scale, values.dtype)
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(scaled, gradient.indices, gradient.dense_shape)
    return scaled
