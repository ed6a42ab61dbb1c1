"""The training loop: many steps are one call into the graph, and between two calls everything can be saved."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from pipeline.errors import TrainingError
from pipeline.training.batches import Batches
from pipeline.training.budget import Budget
from pipeline.training.checkpoint import Writer
from pipeline.training.nonfinite import bad_weights, not_finite
from pipeline.training.optimizers import Optimizer
from pipeline.training.state import History, Training
from pipeline.training.steps import Pace, TrainSteps, Validation


@dataclass
class Loop:
    """Calls into the graph, one after another, until the steps, the patience or the time have come to an end."""

    training: Training
    batches: Batches
    steps: TrainSteps
    validation: Validation
    pace: Pace
    clock: Budget
    optimizer: Optimizer
    patience: int | None
    on_epoch: Callable[[History], None] | None

    def run(self, writer: Writer | None) -> None:
        """All of it; what is due is saved after a call."""
        training, iterator = self.training, iter(self.batches.from_step(self.training.step))
        while not self._is_over():
            self._call(iterator)
            if self._is_epoch_end():
                self._end_epoch()
            if writer and writer.due(training.step):
                writer.write(training.snapshot(self.clock.elapsed))
        if training.step > training.begun:  # the time was up within an epoch
            self._end_epoch()

    def _is_over(self) -> bool:
        step = self.training.step
        if step >= self.batches.num_steps or self.training.is_over(self.patience):
            return True
        return self.clock.is_limited and step > 0 and self.clock.steps_left(self.pace.seconds_per_step) < 1

    def _is_epoch_end(self) -> bool:
        step, num_steps = self.training.step, self.batches.num_steps
        at_end = step % self.batches.steps_per_epoch == 0
        return at_end and (step == num_steps or self.clock.has_time_for_another_validation())

    def _call(self, iterator: tf.data.Iterator) -> None:
        training, clock, pace = self.training, self.clock, self.pace
        clock.start()
        left = math.inf
        if clock.is_limited:
            left = min(clock.steps_left(pace.seconds_per_step), self.batches.num_steps - training.step)
            clock.tell(training.progress, training.step, left, measured=pace.seconds_per_step is not None)
        epoch_end = (training.step // self.batches.steps_per_epoch + 1) * self.batches.steps_per_epoch
        count = pace.steps(training.step, epoch_end, left)
        done = self.steps(iterator, tf.constant(count), training.total)
        loss = float(done.loss)  # and only now the call has ended
        pace.took(count)
        if not math.isfinite(loss):
            raise self._not_finite(loss, int(done.steps), float(done.before))
        if not bool(done.weights_are_finite):
            raise self._bad_weights(count)
        training.step, training.total, training.last_loss = training.step + count, done.total, loss
        if clock.is_limited and not clock.validation_seconds:
            clock.validation_seconds = self.validation.foreseen_seconds()

    def _end_epoch(self) -> None:
        training, started = self.training, time.perf_counter()
        with training.averaged():
            training.end_epoch(self.batches.steps_per_epoch, self.validation.loss())
        self.clock.validation_seconds = time.perf_counter() - started
        history = training.history
        history.seconds = self.clock.elapsed
        if not math.isfinite(history.val_loss[-1]):
            raise self._bad_validation()
        if reduce := getattr(self.optimizer, "on_epoch", None):
            reduce(training.progress, history.val_loss)
        if self.on_epoch:
            self.on_epoch(history)

    def _not_finite(self, loss: float, done: int, before: float) -> TrainingError:
        step = self.training.step + done - 1
        return not_finite(
            loss,
            step=step + 1,
            epoch=step // self.batches.steps_per_epoch + 1,
            before=before if done > 1 else self.training.last_loss,
            optimizer=type(self.optimizer).__name__,
            learning_rate=self._learning_rate(step),
            batch=self.batches.at(step),
        )

    def _bad_weights(self, count: int) -> TrainingError:
        """Of which step of the call is not known; a batch that is odd is looked for."""
        first, last = self.training.step, self.training.step + count - 1
        found = self.batches.first_odd(first, count)
        steps = (first, last) if found is None else (found[0], found[0])
        return bad_weights(
            [variable.path for variable in self.training.model.weights if not np.isfinite(variable.numpy()).all()],
            steps=(steps[0] + 1, steps[1] + 1),
            optimizer=type(self.optimizer).__name__,
            learning_rate=self._learning_rate(steps[1]),
            batch=self.batches.at(last) if found is None else found[1],
        )

    def _bad_validation(self) -> TrainingError:
        history, rate = self.training.history, self._learning_rate(self.training.step - 1)
        return TrainingError(
            f"The validation loss became {history.val_loss[-1]:g} in epoch {len(history.loss)} (loss on train "
            f"{history.loss[-1]:g}) with {type(self.optimizer).__name__} at a learning rate of {rate:g}.",
            expected="finite losses",
            fix=f"Look for NaN in the validation rows; or try --set train.learning_rate={rate / 10:g}",
        )

    def _learning_rate(self, step: int) -> float:
        """Of a step that was done, counted from 0; the training is not gone on with."""
        self.training.optimizer.iterations.assign(step)
        return float(self.training.optimizer.learning_rate)
