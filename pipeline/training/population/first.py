"""The first dense layers of a population: what they are given is the same for all trials, and that is slow."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from pipeline.training.population.lent import lending


def copying(model: keras.Model, trial: Sequence[tf.Tensor], zero: tf.Tensor) -> AbstractContextManager[None]:
    """Inside, a dense layer whose inputs are the same for all trials gets a copy of them for each.

    TensorFlow makes one product of one input and many kernels by laying the kernels side by side, which transposes the
    kernels, the product and their gradients: a fifth of a step of 16 small trials. Copies make it many products.

    Args:
      model: whose layers are lent another `call`.
      trial: every tensor that differs from trial to trial.
      zero: one of them, 0.

    Example:
      >>> inputs = keras.Input((2,))
      >>> model = keras.Model(inputs, keras.layers.Dense(1, kernel_initializer="ones")(inputs))
      >>> @tf.function
      ... def both(zeros):
      ...     def one(zero):
      ...         with copying(model, [zero], zero):
      ...             return model(tf.ones((1, 2)))
      ...     return tf.vectorized_map(one, zeros)
      >>> both(tf.zeros(3)).numpy().tolist()
      [[[2.0]], [[2.0]], [[2.0]]]
    """
    own = {id(tensor) for tensor in trial}
    dense = [layer for layer in model._flatten_layers() if type(layer) is keras.layers.Dense]
    return lending({layer: partial(_call, layer, own, zero) for layer in dense})


def _call(layer: Any, own: set[int], zero: tf.Tensor, inputs: tf.Tensor, training: Any = None) -> tf.Tensor:
    if not _depends(inputs, own):
        inputs += tf.cast(zero, inputs.dtype)
    return type(layer).call(layer, inputs)


def _depends(tensor: tf.Tensor, on: set[int]) -> bool:
    """Whether it is made of one of these."""
    seen, left = set(), [tensor]
    while left:
        one = left.pop()
        if id(one) in on:
            return True
        if id(one) not in seen:
            seen.add(id(one))
            left += one.op.inputs
    return False
