"""Keras' optimizers with TensorFlow's fused kernels: one operation updates a variable, where Keras issues a dozen.

The numbers are those of Keras, and so are `variables`, `get_config` and all else; a gradient that is `tf.IndexedSlices`
changes its own rows and no others. An update alone takes 0.5 to 0.9 of Keras' time on a small model; a whole step gains
little, and Adam's loses: its kernel splits even small variables among threads (docs/optimizers.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from pipeline.training.sparse import Gradient, clip, summed

# learning rate, and what else a step needs once for all variables
Numbers = tuple[tf.Tensor, ...]


class _Fused:
    """What all of them share: gradients summed by row and clipped, the numbers of a step, the average of the weights.

    Args:
      clip_norm: of all gradients together; None: they are not clipped.
    """

    def __init__(self, *arguments: Any, clip_norm: float | None = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.clip_norm = clip_norm

    def numbers(self, learning_rate: tf.Tensor) -> Numbers:
        """What a step needs once; the learning rate is the first."""
        return (learning_rate,)

    def dense_step(self, variable: tf.Variable, gradient: tf.Tensor, numbers: Numbers) -> None:
        """Changes a variable [...] by its gradient [...]."""
        raise NotImplementedError

    def sparse_step(self, variable: tf.Variable, gradient: tf.IndexedSlices, numbers: Numbers) -> None:
        """Changes the rows of a variable [all rows, ...] by their gradients, in which every row occurs once."""
        raise NotImplementedError

    def update_step(self, gradient: Gradient, variable: tf.Variable, learning_rate: Numbers) -> None:
        """Keras calls this for each variable, with what `_backend_update_step` gave it as learning rate."""
        numbers = tuple(tf.cast(number, variable.dtype) for number in learning_rate)
        if isinstance(gradient, tf.IndexedSlices):
            self.sparse_step(variable, gradient, numbers)
        else:
            self.dense_step(variable, tf.cast(gradient, variable.dtype), numbers)

    def slot(self, slots: Sequence[keras.Variable], variable: tf.Variable) -> tf.Tensor:
        """The handle of a variable's moment."""
        return slots[self._get_variable_index(variable)].value.handle  # type: ignore[attr-defined]

    def get_config(self) -> dict[str, Any]:
        """Keras' own, and the norm."""
        return {**super().get_config(), "clip_norm": self.clip_norm}  # type: ignore[misc]

    def _backend_update_step(self, grads: list[Gradient], trainable_variables: Any, learning_rate: tf.Tensor) -> None:
        super()._backend_update_step(grads, trainable_variables, self.numbers(learning_rate))  # type: ignore[misc]

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> list[tuple[Gradient, tf.Variable]]:
        """After the replicas' gradients were added, if there are several: the norm is that of the sum."""
        pairs = super()._all_reduce_sum_gradients(grads_and_vars)  # type: ignore[misc]
        gradients = [summed(gradient) for gradient, _ in pairs]
        if self.clip_norm is not None:
            gradients = clip(gradients, self.clip_norm)
        return [(gradient, variable) for gradient, (_, variable) in zip(gradients, pairs, strict=True)]

    def _apply_weight_decay(self, variables: Any) -> None:
        """Not here, where the gradients are not known: a table decays by row."""

    def _update_model_variables_moving_average(self, trainable_variables: Any) -> None:
        """The average forgets faster at first, or a short training would end with much of its random beginning.

        Its momentum at step t, from 0, is the smaller of `ema_momentum` and t / (t + 9), as TensorFlow's
        ExponentialMovingAverage has it one step later.
        """
        step = tf.cast(self.iterations, tf.float32)  # type: ignore[attr-defined]
        rate = 1.0 - tf.minimum(self.ema_momentum, step / (step + 9.0))  # type: ignore[attr-defined]
        averages = self._model_variables_moving_average  # type: ignore[attr-defined]
        for variable, average in zip(trainable_variables, averages, strict=True):
            old, new = tf.convert_to_tensor(average), tf.convert_to_tensor(variable)
            average.assign(old + tf.cast(rate, old.dtype) * (new - old))


class FusedSGD(_Fused, keras.optimizers.SGD):
    """Keras' SGD. Of a sparse gradient's variable only the touched rows move, their momentum included."""

    def dense_step(self, variable: tf.Variable, gradient: tf.Tensor, numbers: Numbers) -> None:
        """Plain, with momentum, or with Nesterov's."""
        (rate,) = numbers
        if self.momentum == 0:
            tf.raw_ops.ResourceApplyGradientDescent(var=variable.handle, alpha=rate, delta=gradient)
            return
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle,
            accum=self.slot(self.momentums, variable),
            lr=rate,
            grad=gradient,
            momentum=tf.cast(self.momentum, variable.dtype),
            use_nesterov=self.nesterov,
        )

    def sparse_step(self, variable: tf.Variable, gradient: tf.IndexedSlices, numbers: Numbers) -> None:
        """The same of the rows."""
        (rate,) = numbers
        if self.momentum == 0:
            steps = gradient.values * rate
            tf.raw_ops.ResourceScatterSub(resource=variable.handle, indices=gradient.indices, updates=steps)
            return
        tf.raw_ops.ResourceSparseApplyKerasMomentum(
            var=variable.handle,
            accum=self.slot(self.momentums, variable),
            lr=rate,
            grad=gradient.values,
            indices=gradient.indices,
            momentum=tf.cast(self.momentum, variable.dtype),
            use_nesterov=self.nesterov,
        )


class FusedAdagrad(_Fused, keras.optimizers.Adagrad):
    """Keras' Adagrad, with epsilon added to the root, as in the paper, and not below it."""

    def dense_step(self, variable: tf.Variable, gradient: tf.Tensor, numbers: Numbers) -> None:
        """All weights."""
        tf.raw_ops.ResourceApplyAdagradV2(
            var=variable.handle,
            accum=self.slot(self._accumulators, variable),
            lr=numbers[0],
            epsilon=tf.cast(self.epsilon, variable.dtype),
            grad=gradient,
        )

    def sparse_step(self, variable: tf.Variable, gradient: tf.IndexedSlices, numbers: Numbers) -> None:
        """The same: a row without a gradient would stay as it is anyway."""
        tf.raw_ops.ResourceSparseApplyAdagradV2(
            var=variable.handle,
            accum=self.slot(self._accumulators, variable),
            lr=numbers[0],
            epsilon=tf.cast(self.epsilon, variable.dtype),
            grad=gradient.values,
            indices=gradient.indices,
        )


class _AdamStep(_Fused):
    """The step of Adam and AdamW."""

    def numbers(self, learning_rate: tf.Tensor) -> Numbers:
        """The learning rate, and beta_1 and beta_2 to the power of the step, counted from 1."""
        step = tf.cast(self.iterations, tf.float32) + 1.0  # type: ignore[attr-defined]
        return learning_rate, tf.pow(self.beta_1, step), tf.pow(self.beta_2, step)  # type: ignore[attr-defined]

    def dense_step(self, variable: tf.Variable, gradient: tf.Tensor, numbers: Numbers) -> None:
        """All weights."""
        rate, power_1, power_2 = numbers[:3]
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self.slot(self._momentums, variable),  # type: ignore[attr-defined]
            v=self.slot(self._velocities, variable),  # type: ignore[attr-defined]
            beta1_power=power_1,
            beta2_power=power_2,
            lr=rate,
            beta1=tf.cast(self.beta_1, variable.dtype),  # type: ignore[attr-defined]
            beta2=tf.cast(self.beta_2, variable.dtype),  # type: ignore[attr-defined]
            epsilon=tf.cast(self.epsilon, variable.dtype),  # type: ignore[attr-defined]
            grad=gradient,
        )

    def sparse_step(self, variable: tf.Variable, gradient: tf.IndexedSlices, numbers: Numbers) -> None:
        """What LazyAdam does: rows without a gradient keep their moments, and so do not move.

        There is no kernel for it; the rows of both moments are read, changed and written back.
        """
        rate, power_1, power_2 = numbers[:3]
        rows, values = gradient.indices, gradient.values
        m = self._moved(self._momentums, variable, rows, values, self.beta_1)  # type: ignore[attr-defined]
        v = self._moved(self._velocities, variable, rows, tf.square(values), self.beta_2)  # type: ignore[attr-defined]
        steps = rate * tf.sqrt(1 - power_2) / (1 - power_1) * m / (tf.sqrt(v) + self.epsilon)  # type: ignore[attr-defined]
        tf.raw_ops.ResourceScatterSub(resource=variable.handle, indices=rows, updates=steps)

    def _moved(
        self, slots: Sequence[keras.Variable], variable: tf.Variable, rows: tf.Tensor, values: tf.Tensor, beta: float
    ) -> tf.Tensor:
        """Moves some rows of a moment toward `values`, and returns them."""
        slot = self.slot(slots, variable)
        old = tf.raw_ops.ResourceGather(resource=slot, indices=rows, dtype=values.dtype)
        new = old + (values - old) * (1 - beta)
        tf.raw_ops.ResourceScatterUpdate(resource=slot, indices=rows, updates=new)
        return new


class FusedAdam(_AdamStep, keras.optimizers.Adam):
    """Keras' Adam."""


class FusedAdamW(_AdamStep, keras.optimizers.AdamW):
    """Keras' AdamW, but for weights of one dimension: biases and the scales of normalization do not decay."""

    def numbers(self, learning_rate: tf.Tensor) -> Numbers:
        """Those of Adam, and what is left of a weight after the decay."""
        return *super().numbers(learning_rate), 1 - learning_rate * self.weight_decay

    def dense_step(self, variable: tf.Variable, gradient: tf.Tensor, numbers: Numbers) -> None:
        """First the decay, then the step of Adam."""
        if self._decays(variable):
            variable.assign(variable * numbers[-1])
        super().dense_step(variable, gradient, numbers)

    def sparse_step(self, variable: tf.Variable, gradient: tf.IndexedSlices, numbers: Numbers) -> None:
        """Rows decay when they are touched: the whole table at every step would cost as much as a dense update."""
        if self._decays(variable):
            old = tf.gather(variable, gradient.indices)
            left = old * numbers[-1]
            tf.raw_ops.ResourceScatterUpdate(resource=variable.handle, indices=gradient.indices, updates=left)
        super().sparse_step(variable, gradient, numbers)

    def _decays(self, variable: tf.Variable) -> bool:
        return self.weight_decay != 0 and len(variable.shape) > 1
