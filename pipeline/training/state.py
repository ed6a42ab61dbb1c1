"""All that moves while a model is trained, so that it can be saved between two steps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

import keras
import numpy as np
import tensorflow as tf

from pipeline.training.checkpoint_file import Snapshot
from pipeline.training.schedules import Progress


@dataclass
class History:
    """What a training did, epoch by epoch. With a time budget the last epoch may be shorter or longer than others.

    Attributes:
      loss: mean loss on train, regularization included, while the weights moved.
      val_loss: mean loss on validation at the end of the epoch, without regularization.
      best_epoch: whose weights the model has at the end, counted from 0.
      steps: that were done.
      epochs: how often that is all of train.
      seconds: that they took, validation and earlier processes included. Two trainings that are equal differ in it, so
        it is left out when histories are compared.
    """

    loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    best_epoch: int = -1
    steps: int = 0
    epochs: float = 0.0
    seconds: float = field(default=0.0, compare=False, repr=False)

    @property
    def best_val_loss(self) -> float:
        """The lowest validation loss."""
        return self.val_loss[self.best_epoch]


@dataclass
class Training:
    """All that moves while a model is trained: together with the data, the next step is a function of it.

    Attributes:
      model: its variables are the weights, the statistics of BatchNorm and the generators of dropout.
      optimizer: its variables are the moments, the averaged weights and the number of steps.
      progress: how far it is, and by how much the learning rate was reduced.
      history: of the epochs that are done.
      best: the weights of the best epoch.
      step: how many steps are done, of all epochs.
      begun: how many were done when this epoch began.
      total: float64 [], the sum of the losses of the steps of this epoch.
      last_loss: of the last step; NaN before the first.
    """

    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    progress: Progress
    history: History = field(default_factory=History)
    best: list[np.ndarray] = field(default_factory=list)
    step: int = 0
    begun: int = 0
    total: tf.Tensor = field(default_factory=lambda: tf.constant(0.0, tf.float64))
    last_loss: float = math.nan

    @property
    def variables(self) -> list[keras.Variable | tf.Variable]:
        """Everything that a step may change."""
        return [*self.model.variables, *self.optimizer.variables, *self.progress.variables]

    def is_over(self, patience: int | None) -> bool:
        """Whether so many epochs were no better than the best one."""
        return patience is not None and len(self.history.loss) - 1 - self.history.best_epoch >= patience

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the model has its averaged weights, where the optimizer averages them."""
        if not getattr(self.optimizer, "use_ema", False):
            yield
            return
        variables = self.model.trainable_variables
        own = [tf.identity(variable.value) for variable in variables]
        for variable, average in zip(variables, self.optimizer._model_variables_moving_average, strict=True):
            variable.assign(average.value)
        yield
        for variable, value in zip(variables, own, strict=True):
            variable.assign(value)

    def end_epoch(self, steps_per_epoch: int, val_loss: float) -> None:
        """Writes the epoch into the history, and keeps the weights if they are the best (in `averaged`, those)."""
        history = self.history
        history.loss.append(float(self.total) / (self.step - self.begun))
        history.val_loss.append(val_loss)
        history.steps, history.epochs = self.step, self.step / steps_per_epoch
        self.total, self.begun = tf.zeros_like(self.total), self.step
        if history.best_epoch < 0 or val_loss < history.best_val_loss:
            history.best_epoch, self.best = len(history.loss) - 1, self.model.get_weights()

    def snapshot(self, seconds: float) -> Snapshot:
        """A copy of all of it, as it is between two steps, after so many seconds."""
        arrays = {f"variable/{place}": variable.numpy() for place, variable in enumerate(self.variables)}
        best = {f"best/{place}": array for place, array in enumerate(self.best)}
        history = {**asdict(self.history), "seconds": seconds}
        state = {"history": history, "begun": self.begun, "last_loss": self.last_loss}
        return Snapshot(self.step, state, {"total": self.total.numpy(), **arrays, **best})

    def restore(self, snapshot: Snapshot) -> None:
        """Goes on from there; the fingerprint has seen to it that shapes and types fit."""
        self.step, self.history = snapshot.step, History(**snapshot.state["history"])
        self.begun, self.last_loss = snapshot.state["begun"], snapshot.state["last_loss"]
        self.total = tf.constant(snapshot.arrays["total"])
        for place, variable in enumerate(self.variables):
            variable.assign(snapshot.arrays[f"variable/{place}"])
        self.best = [array for name, array in snapshot.arrays.items() if name.startswith("best/")]
