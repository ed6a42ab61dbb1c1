"""Dropout whose rate is a tensor, so that it can differ from trial to trial of one program."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from pipeline.models.ensemble import MemberDropout
from pipeline.training.population.lent import lending
from pipeline.training.population.structure import dropouts


def dropping(model: keras.Model, rates: Sequence[tf.Tensor]) -> AbstractContextManager[None]:
    """Inside, each dropout layer of the model drops by a tensor, float32 [].

    Args:
      model: whose layers are lent another `call`.
      rates: of `dropouts(model)`.

    Example:
      >>> inputs = keras.Input((4,))
      >>> model = keras.Model(inputs, keras.layers.Dropout(0.5)(inputs))
      >>> with dropping(model, [tf.constant(0.0)]):
      ...     model(tf.ones((1, 4)), training=True).numpy().tolist()
      [[1.0, 1.0, 1.0, 1.0]]
    """
    return lending({layer: partial(_call, layer, rate) for layer, rate in zip(dropouts(model), rates, strict=True)})


def _call(layer: Any, rate: tf.Tensor, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
    if not training:
        return inputs
    rate = tf.cast(rate, inputs.dtype)
    if isinstance(layer, MemberDropout):
        return layer.drop(inputs, rate)
    # As Keras' backend draws: the same seed gives the same mask.
    seed = tf.cast(tf.math.floormod(tf.convert_to_tensor(layer.seed_generator.next()), tf.int32.max - 1), tf.int32)
    whole = getattr(layer, "_get_noise_shape", None)
    wanted = whole(inputs) if whole else layer.noise_shape
    shape = tf.shape(inputs) if wanted is None else tf.stack([_size(inputs, *one) for one in enumerate(wanted)])
    kept = tf.random.stateless_uniform(shape, seed, dtype=inputs.dtype) >= rate
    return inputs * tf.where(kept, 1 / (1 - rate), tf.zeros((), inputs.dtype))


def _size(inputs: tf.Tensor, axis: int, size: Any) -> Any:
    return tf.shape(inputs)[axis] if size is None else size
