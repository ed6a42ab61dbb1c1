"""The two graphs of a training: some steps on train, and the loss on validation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import keras
import tensorflow as tf

from pipeline.errors import TrainingError
from pipeline.models.outputs import example_losses
from pipeline.spec import Spec

# Validation batches up to this size are kept between epochs.
VALIDATION_BYTES = 256 << 20
# A call into the graph takes about so long: short enough to save on time, long enough that Python costs nothing.
_CALL_SECONDS = 0.5
_GROWTH = 16

TrainSteps = Callable[[tf.data.Iterator, tf.Tensor, tf.Tensor], tf.Tensor]


def train_steps(model: keras.Model, spec: Spec, optimizer: keras.optimizers.Optimizer) -> TrainSteps:
    """A graph of training steps, so that no Python runs between them.

    The loss of a step is the mean over its rows of weight times loss, as Keras has it, and the model's penalties.

    Returns:
      (batches, num_steps int32 [], total float64 []) -> total plus the losses of these steps. The sum is handed
      through, and its order is that of the steps, so that it does not depend on how the steps are divided into calls.
    """
    variables = model.trainable_variables

    # Without AutoGraph, as Keras trains, too: to convert this code took longer than to trace it.
    @tf.function(autograph=False)
    def steps(batches: tf.data.Iterator, num_steps: tf.Tensor, total: tf.Tensor) -> tf.Tensor:
        def one(step: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            features, label, *weights = next(batches)
            with tf.GradientTape() as tape:
                losses = example_losses(spec, label, model(features, training=True))
                loss = tf.reduce_mean(losses * weights[0] if weights else losses)
                loss += tf.add_n(model.losses) if model.losses else 0.0
            optimizer.apply(tape.gradient(loss, variables), variables)
            return step + 1, total + tf.cast(loss, tf.float64)

        return tf.while_loop(lambda step, _: step < num_steps, one, [0, total])[1]

    return steps


def validation_loss(model: keras.Model, spec: Spec, validation: tf.data.Dataset) -> Callable[[], float]:
    """A function that gives the mean loss over all rows, weighted where the batches have weights.

    Raises:
      TrainingError: (the function) the weights add up to 0.
    """

    @tf.function(input_signature=validation.element_spec, autograph=False)
    def sums(features: dict[str, tf.Tensor], label: tf.Tensor, *weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        losses = tf.cast(example_losses(spec, label, model(features, training=False)), tf.float64)
        given = tf.cast(weights[0], tf.float64) if weights else tf.ones_like(losses)
        return tf.reduce_sum(given * losses), tf.reduce_sum(given)

    batches = _in_memory(validation)

    def loss() -> float:
        found = [sums(*batch) for batch in batches]
        rows = sum(float(weight) for _, weight in found)
        if rows == 0:
            raise TrainingError("The sample weights of validation add up to 0.", expected="a row that counts")
        return sum(float(total) for total, _ in found) / rows

    return loss


@dataclass
class Pace:
    """How many steps the next call takes: about half a second's worth, by the speed of the last call.

    It is a matter of time only: no bit of the result depends on it.

    Args:
      every: a call ends after each so many steps of the training, too; None: it need not.
      fixed: steps of a call; None: by the speed.
    """

    every: int | None = None
    fixed: int | None = None
    num_steps: int = 1
    _traced: bool = False
    _started: float = 0.0

    def steps(self, done: int, epoch_end: int) -> int:
        """The steps of a call that begins now, after `done` of them and not beyond the end of the epoch."""
        self._started = time.perf_counter()
        ends = [done + (self.fixed or self.num_steps), epoch_end]
        if self.every is not None:
            ends.append((done // self.every + 1) * self.every)
        return min(ends) - done

    def took(self, num_steps: int) -> None:
        """The call has ended."""
        speed = num_steps / max(time.perf_counter() - self._started, 1e-9)
        if self._traced:  # the first call says nothing: it made the graph
            self.num_steps = max(1, min(int(speed * _CALL_SECONDS), self.num_steps * _GROWTH))
        self._traced = True


def _in_memory(dataset: tf.data.Dataset) -> Iterable[tuple[tf.Tensor, ...]]:
    """The batches as a list, if they are not too large: starting a dataset anew each epoch costs 50 ms."""
    batches, num_bytes = [], 0
    for batch in dataset:
        batches.append(batch)
        num_bytes += sum(tensor.dtype.size * int(tf.size(tensor)) for tensor in batch[0].values())
        if num_bytes > VALIDATION_BYTES:
            return dataset
    return batches
