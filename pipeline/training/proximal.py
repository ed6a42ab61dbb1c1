"""The proximal step of L1: after each step of the optimizer the weights move towards 0, and stay if they reach it."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from pipeline.models.regularization import ProximalL1L2


def soft_threshold(weights: tf.Tensor, threshold: tf.Tensor | float) -> tf.Tensor:
    """Every weight nearer to 0 by the threshold, and exactly 0 where it was within it.

    >>> soft_threshold(tf.constant([3.0, -0.5, 0.25]), 1.0).numpy().tolist()
    [2.0, -0.0, 0.0]
    """
    return tf.sign(weights) * tf.maximum(tf.abs(weights) - threshold, 0.0)


def shrinking(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> Callable[[tf.Tensor], None] | None:
    """What shrinks the kernels that have a `ProximalL1L2`, given the learning rate; None where none has one.

    Of an optimizer that divides by the size of the gradients, such as Adam, this is still the shrinkage of plain
    gradient descent, by `learning_rate * l1`, as in AdamW's decoupled decay.
    """
    found = [
        (variable, variable.regularizer.l1)
        for variable in model.trainable_variables
        if isinstance(variable.regularizer, ProximalL1L2)
    ]
    if not found:
        return None

    def shrink(learning_rate: tf.Tensor) -> None:
        for variable, l1 in found:
            variable.assign(soft_threshold(variable.value, tf.cast(learning_rate * l1, variable.dtype)))

    return shrink
