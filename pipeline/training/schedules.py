"""Schedules: what part of its top value the learning rate has, as a function of how far the training is.

A training that ends after a number of steps and one that ends with its time budget differ only in what `Progress` says,
so that every schedule works for both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import keras
import tensorflow as tf

Schedule = Literal["constant", "warm_up", "cosine", "one_cycle", "reduce_on_plateau"]

# Part of the training over which the rate first rises; one cycle takes longer for it (Smith and Topin's 30 %).
_WARM_UP, _CYCLE_UP = 0.05, 0.3
# Where one cycle begins and ends, as parts of the top: the values of Smith's code, and fast.ai's after it.
_CYCLE_START, _CYCLE_END = 1 / 25, 1e-4
# A validation loss counts as lower only by more than this part of the best one: noise is no progress.
_PLATEAU_DELTA = 1e-4


class Progress:
    """How far a training is, from 0 to 1, as a function of the step: `progress0 + (step - step0) * per_step`.

    All four numbers are `tf.Variable`s, so that a graph that was traced once follows them. With a number of steps they
    are set once; with a time budget whoever trains sets them again from time to time, by the clock.

    Args:
      num_steps: of the training; None: not known, the variables will be set.

    Attributes:
      step0: int64 [], a step whose progress is known.
      progress0: float64 [], its progress.
      per_step: float64 [], the progress of one step.
      factor: float32 [], by which every learning rate is multiplied; `reduce_on_plateau` lowers it.

    Example:
      >>> float(Progress.of_steps(200)(50))
      0.25
    """

    def __init__(self, num_steps: int | None = None) -> None:
        self.num_steps = num_steps
        self.step0 = tf.Variable(0, dtype=tf.int64, trainable=False, name="step0")
        self.progress0 = tf.Variable(0.0, dtype=tf.float64, trainable=False, name="progress0")
        self.per_step = tf.Variable(1 / max(num_steps or 1, 1), dtype=tf.float64, trainable=False, name="per_step")
        self.factor = tf.Variable(1.0, dtype=tf.float32, trainable=False, name="factor")

    @classmethod
    def of_steps(cls, num_steps: int) -> Progress:
        """That of a training of so many steps: step / num_steps."""
        return cls(num_steps)

    @property
    def variables(self) -> list[tf.Variable]:
        """What a checkpoint must save."""
        return [self.step0, self.progress0, self.per_step, self.factor]

    def __call__(self, step: tf.Tensor | int) -> tf.Tensor:
        """float64 [], of an integer step; never outside of 0 to 1."""
        steps = tf.cast(tf.cast(step, tf.int64) - self.step0, tf.float64)
        return tf.clip_by_value(self.progress0 + steps * self.per_step, 0.0, 1.0)


@keras.saving.register_keras_serializable("pipeline")
class Rate(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate of a step, as Keras' optimizers ask for it.

    Args:
      top: the highest rate.
      schedule: one of `SCHEDULES`.
      progress: of the training.

    Example:
      >>> rate = Rate(0.5, "cosine", Progress.of_steps(100))
      >>> [round(float(rate(step)), 4) for step in (0, 5, 50, 100)]
      [0.1, 0.5, 0.2706, 0.0]
    """

    def __init__(self, top: float, schedule: Schedule, progress: Progress) -> None:
        self.top, self.schedule, self.progress = top, schedule, progress

    def __call__(self, step: tf.Tensor | int) -> tf.Tensor:
        """float32 [], of an integer step."""
        share = SCHEDULES[self.schedule](self.progress(step), self.progress.per_step)
        return tf.cast(self.top * share, tf.float32) * self.progress.factor

    def get_config(self) -> dict[str, Any]:
        """What tells one schedule from another; the variables, which move, are no part of it."""
        return {"top": self.top, "schedule": self.schedule, "num_steps": self.progress.num_steps}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Rate:
        """The same schedule at its beginning."""
        return cls(config["top"], config["schedule"], Progress(config["num_steps"]))


def constant(progress: tf.Tensor, per_step: tf.Tensor) -> tf.Tensor:
    """1 all the time.

    Args:
      progress: float64 [], from 0 to 1; the same for every schedule.
      per_step: float64 [], the progress of a step: the first step of a rise must not be one of 0.

    Returns:
      float64 [], the part of the top rate.
    """
    return tf.ones_like(progress)


def warm_up(progress: tf.Tensor, per_step: tf.Tensor) -> tf.Tensor:
    """Up in a straight line over 5 % of the training, then constant (Goyal et al., 2017)."""
    return tf.minimum(_rise(progress, per_step)[0], 1.0)


def cosine(progress: tf.Tensor, per_step: tf.Tensor) -> tf.Tensor:
    """Up over 5 %, then down to 0 along half a cosine (Loshchilov and Hutter, 2017)."""
    up, end = _rise(progress, per_step)
    down = (progress - end) / tf.maximum(1 - end, per_step)
    return tf.where(progress < end, up, _between(1.0, 0.0, down))


def one_cycle(progress: tf.Tensor, per_step: tf.Tensor) -> tf.Tensor:
    """From 1/25 up over 30 %, then down to 1/10,000, both along half a cosine (Smith and Topin, 2018).

    Their momentum falls while the rate rises; here it stays as it is, and so any optimizer can have this schedule.
    """
    up = _between(_CYCLE_START, 1.0, progress / _CYCLE_UP)
    down = _between(1.0, _CYCLE_END, (progress - _CYCLE_UP) / (1 - _CYCLE_UP))
    return tf.where(progress < _CYCLE_UP, up, down)


# Between two ends of an epoch it is constant: what it does is done by `plateau_factor`.
reduce_on_plateau = constant

SCHEDULES: dict[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = {
    "constant": constant,
    "warm_up": warm_up,
    "cosine": cosine,
    "one_cycle": one_cycle,
    "reduce_on_plateau": reduce_on_plateau,
}


def plateau_factor(val_losses: Sequence[float], factor: float, patience: int) -> float:
    """By how much the rate is lowered after these epochs: by `factor` whenever `patience` epochs brought nothing.

    A function of the whole history, so that a training that is resumed needs to remember nothing.

    Args:
      val_losses: of every epoch so far.
      factor: above 0 and below 1.
      patience: epochs without a lower loss after which the rate falls, and then after as many again.

    Example:
      >>> plateau_factor([1.0, 0.5, 0.5, 0.6], factor=0.1, patience=2)
      0.1
    """
    best, waited, falls = math.inf, 0, 0
    for loss in val_losses:
        if loss < best - (abs(best) * _PLATEAU_DELTA if math.isfinite(best) else 0.0):
            best, waited = loss, 0
            continue
        waited += 1
        if waited == patience:
            waited, falls = 0, falls + 1
    return float(factor**falls)


def _rise(progress: tf.Tensor, per_step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The straight line up, and the progress at which it is at 1: that of a whole step, and of one at least."""
    steps = tf.maximum(tf.round(_WARM_UP / per_step), 1.0)
    end = steps * per_step
    return 1 / steps + (1 - 1 / steps) * progress / end, end


def _between(start: float, end: float, part: tf.Tensor) -> tf.Tensor:
    """Half a cosine from `start`, where `part` is 0, to `end`, where it is 1."""
    return end + (start - end) * 0.5 * (1 + tf.cos(math.pi * tf.clip_by_value(part, 0.0, 1.0)))
