"""Optimizers as frozen values: what to use and how fast, made into a Keras optimizer when training begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import keras

__all__ = ["SGD", "Adagrad", "Adam"]

Schedule = Literal["constant", "cosine"]
# Part of the steps over which a cosine schedule first warms up.
_WARMUP_FRACTION = 0.05


class Optimizer(Protocol):
    """Anything that gives a Keras optimizer for a number of steps."""

    learning_rate: float
    schedule: Schedule

    def build(self, num_steps: int) -> keras.optimizers.Optimizer:
        """A fresh Keras optimizer."""


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba, 2015).

    Args:
      learning_rate: at the schedule's top.
      schedule: constant, or cosine: warm-up over 5 % of the steps, then down to 0 along half a cosine.
      beta_1, beta_2: decay of the first and second moments.
      epsilon: added to the root of the second moment.

    Example:
      >>> type(Adam(1e-3).build(num_steps=10)).__name__
      'Adam'
    """

    learning_rate: float = 1e-3
    schedule: Schedule = "constant"
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def build(self, num_steps: int) -> keras.optimizers.Optimizer:
        """A fresh Keras optimizer for a training of so many steps."""
        rate = learning_rate(self.learning_rate, self.schedule, num_steps)
        return keras.optimizers.Adam(rate, beta_1=self.beta_1, beta_2=self.beta_2, epsilon=self.epsilon)


@dataclass(frozen=True)
class SGD:
    """Minibatch stochastic gradient descent, with momentum (Sutskever et al., 2013).

    Args:
      learning_rate, schedule: see `Adam`.
      momentum: 0 for the plain method.
      nesterov: whether the momentum looks ahead.
    """

    learning_rate: float = 1e-2
    schedule: Schedule = "constant"
    momentum: float = 0.9
    nesterov: bool = True

    def build(self, num_steps: int) -> keras.optimizers.Optimizer:
        """A fresh Keras optimizer for a training of so many steps."""
        rate = learning_rate(self.learning_rate, self.schedule, num_steps)
        # Keras refuses Nesterov without momentum; here that simply is the plain method.
        return keras.optimizers.SGD(rate, momentum=self.momentum, nesterov=self.nesterov and self.momentum > 0)


@dataclass(frozen=True)
class Adagrad:
    """Adagrad (Duchi, Hazan and Singer, 2011): each weight's rate falls with its past gradients.

    Args:
      learning_rate, schedule: see `Adam`.
      initial_accumulator_value: of the sums of squares.
      epsilon: added to their root.
    """

    learning_rate: float = 1e-2
    schedule: Schedule = "constant"
    initial_accumulator_value: float = 0.1
    epsilon: float = 1e-7

    def build(self, num_steps: int) -> keras.optimizers.Optimizer:
        """A fresh Keras optimizer for a training of so many steps."""
        rate = learning_rate(self.learning_rate, self.schedule, num_steps)
        return keras.optimizers.Adagrad(rate, self.initial_accumulator_value, epsilon=self.epsilon)


def learning_rate(
    top: float, schedule: Schedule, num_steps: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """A number, or a schedule over `num_steps` steps."""
    if schedule == "constant":
        return top
    warmup = max(1, round(_WARMUP_FRACTION * num_steps))
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=top / warmup,
        decay_steps=max(num_steps - warmup, 1),
        warmup_target=top,
        warmup_steps=warmup,
    )
