"""The two graphs of a training: some steps on train, and the loss on validation."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import keras
import tensorflow as tf

from pipeline.errors import TrainingError
from pipeline.models.outputs import answer_losses, example_losses
from pipeline.spec import Spec
from pipeline.training.precision import Precision, computing_in
from pipeline.training.proximal import shrinking

# Validation batches up to this size are kept between epochs.
VALIDATION_BYTES = 256 << 20
# A call into the graph takes about so long: short enough to save on time, long enough that Python costs nothing.
_CALL_SECONDS = 0.5
_GROWTH = 16


class Done(NamedTuple):
    """What came of a call of some steps.

    Attributes:
      steps: int32 [], how many were done: all, or up to the first whose loss is not finite.
      total: float64 [], the sum that came in plus their losses.
      before: float32 [], the loss of the last step but one; 0 where there was one only.
      loss: float32 [], that of the last one.
      weights_are_finite: bool [], after them. ReLU makes 0 of a NaN on some CPUs, and so weights can be NaN while the
        loss is a number: `tf.nn.relu(tf.matmul([[np.nan]], [[1.0]]))`.
    """

    steps: tf.Tensor
    total: tf.Tensor
    before: tf.Tensor
    loss: tf.Tensor
    weights_are_finite: tf.Tensor


TrainSteps = Callable[[tf.data.Iterator, tf.Tensor, tf.Tensor], Done]


def train_steps(
    model: keras.Model,
    spec: Spec,
    optimizer: keras.optimizers.Optimizer,
    *,
    label_smoothing: float = 0.0,
    precision: Precision = "float32",
) -> TrainSteps:
    """A graph of training steps, so that no Python runs between them.

    The loss of a step is the mean over its rows of weight times loss, as Keras has it, and the model's penalties. What
    is not used (smoothing, averages, proximal kernels) puts nothing into the graph.

    Returns:
      (batches, num_steps int32 [], total float64 []) -> `Done`. The sum is handed through, and its order is that of the
      steps, so that it does not depend on how the steps are divided into calls.
    """
    variables, shrink = model.trainable_variables, shrinking(model, optimizer)

    def batch_loss(features: dict[str, tf.Tensor], label: tf.Tensor, weights: list[tf.Tensor]) -> tf.Tensor:
        with computing_in(model, precision):
            logits = model(features, training=True)
        losses = example_losses(spec, label, tf.cast(logits, tf.float32), label_smoothing)
        loss = tf.reduce_mean(losses * weights[0] if weights else losses)
        return loss + (tf.add_n([tf.cast(part, tf.float32) for part in model.losses]) if model.losses else 0.0)

    # Without AutoGraph, as Keras trains, too: to convert this code took longer than to trace it.
    @tf.function(autograph=False)
    def steps(batches: tf.data.Iterator, num_steps: tf.Tensor, total: tf.Tensor) -> Done:
        def one(step: tf.Tensor, total: tf.Tensor, _: tf.Tensor, before: tf.Tensor) -> tuple[tf.Tensor, ...]:
            features, label, *weights = next(batches)
            with tf.GradientTape() as tape:
                loss = batch_loss(features, label, weights)
            learning_rate = optimizer.learning_rate if shrink else None  # before the step is counted
            optimizer.apply(tape.gradient(loss, variables), variables)
            if shrink:
                shrink(learning_rate)
            return step + 1, total + tf.cast(loss, tf.float64), before, loss

        def goes_on(step: tf.Tensor, _: tf.Tensor, __: tf.Tensor, loss: tf.Tensor) -> tf.Tensor:
            return tf.logical_and(step < num_steps, tf.math.is_finite(loss))

        done = tf.while_loop(goes_on, one, [0, total, 0.0, 0.0])
        with tf.control_dependencies(done):  # once a call, and not once a step
            finite = [tf.math.is_finite(tf.reduce_sum(variable.value)) for variable in variables]
        _, total, before, loss = done
        return Done(done[0], total, before, loss, tf.reduce_all(finite))

    return steps


def no_validation_weight() -> TrainingError:
    """The error of validation rows of which none counts."""
    return TrainingError("The sample weights of validation add up to 0.", expected="a row that counts")


class Validation:
    """The loss on validation: of the answer, an ensemble's averaged one; float32, whatever training computes in.

    Args:
      model, spec: as in `train_steps`.
      batches: (features, label) or (features, label, sample_weight), every row once.
    """

    def __init__(self, model: keras.Model, spec: Spec, batches: tf.data.Dataset) -> None:
        @tf.function(input_signature=batches.element_spec, autograph=False)
        def sums(features: dict[str, tf.Tensor], label: tf.Tensor, *weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            losses = tf.cast(answer_losses(spec, label, model(features, training=False)), tf.float64)
            given = tf.cast(weights[0], tf.float64) if weights else tf.ones_like(losses)
            return tf.reduce_sum(given * losses), tf.reduce_sum(given)

        self._sums, self._batches = sums, in_memory(batches)
        self._num_batches = max(int(batches.cardinality()), 1)

    def loss(self) -> float:
        """The mean over all rows, weighted where the batches have weights.

        Raises:
          TrainingError: the weights add up to 0.
        """
        found = [self._sums(*batch) for batch in self._batches]
        rows = sum(float(weight) for _, weight in found)
        if rows == 0:
            raise no_validation_weight()
        return sum(float(total) for total, _ in found) / rows

    def foreseen_seconds(self) -> float:
        """How long one will take, by the first batch; the graph is made on the way."""
        batch = next(iter(self._batches))
        self._sums(*batch)
        started = time.perf_counter()
        float(self._sums(*batch)[0])
        return (time.perf_counter() - started) * self._num_batches


@dataclass
class Pace:
    """How many steps the next call takes: about half a second's worth, by the speed of the last call.

    It is a matter of time only: no bit of the result depends on it.

    Args:
      every: a call ends after each so many steps of the training, too; None: it need not.
      fixed: steps of a call; None: by the speed.

    Attributes:
      seconds_per_step: of the last call; None while no call but the one that made the graph has ended.
    """

    every: int | None = None
    fixed: int | None = None
    num_steps: int = 1
    seconds_per_step: float | None = None
    _traced: bool = False
    _started: float = 0.0

    def steps(self, done: int, epoch_end: int, left: float = math.inf) -> int:
        """The steps of a call that begins now, after `done` of them and not beyond the end of the epoch.

        Of those that are `left` by the clock it takes half, so that the end is met though the speed changes.
        """
        self._started = time.perf_counter()
        ends = [done + (self.fixed or self.num_steps), epoch_end]
        if left < math.inf:
            ends.append(done + max(1, math.ceil(left / 2)))
        if self.every is not None:
            ends.append((done // self.every + 1) * self.every)
        return min(ends) - done

    def took(self, num_steps: int) -> None:
        """The call has ended."""
        speed = num_steps / max(time.perf_counter() - self._started, 1e-9)
        if self._traced:  # the first call says nothing: it made the graph
            self.num_steps = max(1, min(int(speed * _CALL_SECONDS), self.num_steps * _GROWTH))
            self.seconds_per_step = 1 / speed
        self._traced = True


def in_memory(dataset: tf.data.Dataset) -> Iterable[tuple[tf.Tensor, ...]]:
    """The batches as a list, if they are not too large: starting a dataset anew each epoch costs 50 ms."""
    batches, num_bytes = [], 0
    for batch in dataset:
        batches.append(batch)
        num_bytes += sum(tensor.dtype.size * int(tf.size(tensor)) for tensor in batch[0].values())
        if num_bytes > VALIDATION_BYTES:
            return dataset
    return batches
