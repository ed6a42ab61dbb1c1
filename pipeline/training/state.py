"""All that moves while a model is trained, so that it can be saved between two steps."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import keras
import numpy as np
import tensorflow as tf

from pipeline.training.checkpoint_file import Snapshot


@dataclass
class History:
    """What a training did, epoch by epoch.

    Attributes:
      loss: mean loss on train, regularization included, while the weights moved.
      val_loss: mean loss on validation at the end of the epoch, without regularization.
      best_epoch: whose weights the model has at the end, counted from 0.
    """

    loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    best_epoch: int = -1

    @property
    def best_val_loss(self) -> float:
        """The lowest validation loss."""
        return self.val_loss[self.best_epoch]


@dataclass
class Training:
    """All that moves while a model is trained: together with the data, the next step is a function of it.

    Attributes:
      model: its variables are the weights, the statistics of BatchNorm and the generators of dropout.
      optimizer: its variables are the moments and the number of steps.
      history: of the epochs that are done.
      best: the weights of the best epoch.
      step: how many steps are done, of all epochs.
      total: float64 [], the sum of the losses of the steps of this epoch.
    """

    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    history: History = field(default_factory=History)
    best: list[np.ndarray] = field(default_factory=list)
    step: int = 0
    total: tf.Tensor = field(default_factory=lambda: tf.constant(0.0, tf.float64))

    @property
    def variables(self) -> list[keras.Variable]:
        """Everything that a step may change."""
        return [*self.model.variables, *self.optimizer.variables]

    def is_over(self, patience: int | None) -> bool:
        """Whether so many epochs were no better than the best one."""
        return patience is not None and len(self.history.loss) - 1 - self.history.best_epoch >= patience

    def end_epoch(self, num_steps: int, val_loss: float) -> None:
        """Writes the epoch into the history, and keeps the weights if they are the best."""
        history = self.history
        history.loss.append(float(self.total) / num_steps)
        history.val_loss.append(val_loss)
        self.total = tf.zeros_like(self.total)
        if history.best_epoch < 0 or val_loss < history.best_val_loss:
            history.best_epoch, self.best = len(history.loss) - 1, self.model.get_weights()

    def snapshot(self) -> Snapshot:
        """A copy of all of it, as it is between two steps."""
        arrays = {f"variable/{place}": variable.numpy() for place, variable in enumerate(self.variables)}
        best = {f"best/{place}": array for place, array in enumerate(self.best)}
        return Snapshot(self.step, asdict(self.history), {"total": self.total.numpy(), **arrays, **best})

    def restore(self, snapshot: Snapshot) -> None:
        """Goes on from there; the fingerprint has seen to it that shapes and types fit."""
        self.step, self.history = snapshot.step, History(**snapshot.state)
        self.total = tf.constant(snapshot.arrays["total"])
        for place, variable in enumerate(self.variables):
            variable.assign(snapshot.arrays[f"variable/{place}"])
        self.best = [array for name, array in snapshot.arrays.items() if name.startswith("best/")]
