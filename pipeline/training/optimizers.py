"""Optimizers as frozen values: what to use and how fast, made into a Keras optimizer when training begins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import keras

from pipeline.errors import ConfigError, did_you_mean
from pipeline.training.schedules import SCHEDULES, Progress, Rate, Schedule, plateau_factor

__all__ = ["SGD", "Adagrad", "Adam", "AdamW"]


class Optimizer(Protocol):
    """Anything that gives a Keras optimizer for a training."""

    learning_rate: float
    schedule: Schedule

    def build(self, progress: Progress, ema: float | None = None) -> keras.optimizers.Optimizer:
        """A fresh Keras optimizer, which keeps an average of the weights if `ema` is given."""

    def on_epoch(self, progress: Progress, val_losses: Sequence[float]) -> None:
        """Called at the end of every epoch; what it changes is `progress.factor`."""


@dataclass(frozen=True, kw_only=True)
class _Common:
    """What every optimizer has besides its own arguments.

    Args:
      clip_norm: gradients are scaled so that the norm of all of them together is at most this; None: they are not.
      plateau_factor, plateau_patience: for the schedule `reduce_on_plateau`, which multiplies the rate by the one
        after so many epochs without a lower validation loss.
    """

    clip_norm: float | None = None
    plateau_factor: float = 0.5
    plateau_patience: int = 3

    def __post_init__(self) -> None:
        settings: Any = self
        if settings.schedule not in SCHEDULES:
            raise ConfigError(
                f'{type(self).__name__}: there is no schedule "{settings.schedule}".',
                expected=f"one of {', '.join(SCHEDULES)}",
                fix=did_you_mean(settings.schedule, SCHEDULES).strip() or None,
            )
        _check(self, "learning_rate", _positive(settings.learning_rate), "a number above 0")
        _check(self, "clip_norm", self.clip_norm is None or _positive(self.clip_norm), "a number above 0, or none")
        _check(self, "plateau_factor", 0 < self.plateau_factor < 1, "above 0 and below 1")
        _check(self, "plateau_patience", self.plateau_patience >= 1, "1 epoch at least")

    def on_epoch(self, progress: Progress, val_losses: Sequence[float]) -> None:
        """Lowers the rate where `reduce_on_plateau` says so; other schedules do nothing."""
        settings: Any = self
        if settings.schedule == "reduce_on_plateau":
            progress.factor.assign(plateau_factor(val_losses, self.plateau_factor, self.plateau_patience))

    def _options(self, progress: Progress, ema: float | None) -> dict[str, Any]:
        """What is handed to every Keras optimizer."""
        settings: Any = self
        _check_ema(ema)
        average = {} if ema is None else {"use_ema": True, "ema_momentum": ema}
        rate = settings.learning_rate
        if settings.schedule != "constant":
            rate = Rate(rate, settings.schedule, progress)
        return {"learning_rate": rate, "clip_norm": self.clip_norm, **average}


@dataclass(frozen=True)
class SGD(_Common):
    """Minibatch stochastic gradient descent, with momentum (Polyak, 1964; Sutskever et al., 2013).

    Of a table of embeddings only the rows that a batch touches move; their momentum waits until they are touched again.

    Args:
      learning_rate: at the schedule's top.
      schedule: constant; warm_up: up over 5 % of the training; cosine: that, then down to 0 along half a cosine;
        one_cycle: up over 30 %, then down to 1/10,000; reduce_on_plateau: down whenever validation gets no better.
      momentum: 0 for the plain method.
      nesterov: whether the momentum looks ahead.
      clip_norm: gradients are scaled so that the norm of all of them together is at most this; None: they are not.
      plateau_factor, plateau_patience: `reduce_on_plateau` multiplies the rate by the one after so many epochs.

    Raises:
      ConfigError: a value is out of its range, or there is no such schedule.

    Example:
      >>> built = SGD(0.1, "one_cycle").build(Progress.of_steps(100))
      >>> isinstance(built, keras.optimizers.SGD), round(float(built.learning_rate), 3)
      (True, 0.004)
    """

    learning_rate: float = 1e-2
    schedule: Schedule = "constant"
    momentum: float = 0.9
    nesterov: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self, "momentum", 0 <= self.momentum < 1, "0 or above, and below 1")

    def build(self, progress: Progress, ema: float | None = None) -> keras.optimizers.Optimizer:
        """A fresh Keras optimizer; `ema`: how much of the average of the weights a step keeps, None: no average."""
        from pipeline.training.kernels import FusedSGD

        # Keras refuses Nesterov without momentum; here that simply is the plain method.
        nesterov = self.nesterov and self.momentum > 0
        return FusedSGD(momentum=float(self.momentum), nesterov=nesterov, **self._options(progress, ema))


@dataclass(frozen=True)
class Adam(_Common):
    """Adam (Kingma and Ba, 2015).

    Of a table of embeddings only the rows that a batch touches move, and only their moments change: the method that is
    known as LazyAdam. Adam itself goes on moving a row for some steps after its last gradient, and the decay of its
    moments in between makes rare rows take larger steps; it would have to touch the whole table at every step.

    Args:
      learning_rate, schedule, clip_norm, plateau_factor, plateau_patience: see `SGD`.
      beta_1, beta_2: decay of the first and second moments.
      epsilon: added to the root of the second moment.

    Raises:
      ConfigError: a value is out of its range, or there is no such schedule.

    Example:
      >>> isinstance(Adam(1e-3).build(Progress.of_steps(10)), keras.optimizers.Adam)
      True
    """

    learning_rate: float = 1e-3
    schedule: Schedule = "constant"
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_adam(self)

    def build(self, progress: Progress, ema: float | None = None) -> keras.optimizers.Optimizer:
        """See `SGD.build`."""
        from pipeline.training.kernels import FusedAdam

        betas = {"beta_1": self.beta_1, "beta_2": self.beta_2}
        return FusedAdam(**betas, epsilon=self.epsilon, **self._options(progress, ema))


@dataclass(frozen=True)
class AdamW(_Common):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019): a penalty that Adam does not rescale.

    Each step multiplies the weights by `1 - learning rate * weight_decay`. Biases and the scales of normalization, all
    that has one dimension, do not decay. Of a table of embeddings only the rows that a batch touches do; see `Adam`.

    Args:
      learning_rate, schedule, clip_norm, plateau_factor, plateau_patience: see `SGD`.
      weight_decay: 0 for plain Adam.
      beta_1, beta_2, epsilon: see `Adam`.

    Raises:
      ConfigError: a value is out of its range, or there is no such schedule.

    Example:
      >>> AdamW(1e-3, weight_decay=0.1).build(Progress.of_steps(10)).weight_decay
      0.1
    """

    learning_rate: float = 1e-3
    schedule: Schedule = "constant"
    weight_decay: float = 1e-2
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_adam(self)
        _check(self, "weight_decay", 0 <= self.weight_decay < math.inf, "0 or above")

    def build(self, progress: Progress, ema: float | None = None) -> keras.optimizers.Optimizer:
        """See `SGD.build`."""
        from pipeline.training.kernels import FusedAdamW

        own = {"weight_decay": self.weight_decay, "beta_1": self.beta_1, "beta_2": self.beta_2}
        return FusedAdamW(**own, epsilon=self.epsilon, **self._options(progress, ema))


@dataclass(frozen=True)
class Adagrad(_Common):
    """Adagrad (Duchi, Hazan and Singer, 2011): each weight's rate falls with its past gradients.

    The method for sparse input: a weight that is rarely touched keeps a high rate. On a table of embeddings it is exact
    at the cost of the touched rows alone.

    Args:
      learning_rate, schedule, clip_norm, plateau_factor, plateau_patience: see `SGD`.
      initial_accumulator_value: of the sums of squares.
      epsilon: added to their root.

    Raises:
      ConfigError: a value is out of its range, or there is no such schedule.

    Example:
      >>> isinstance(Adagrad(0.1).build(Progress.of_steps(10)), keras.optimizers.Adagrad)
      True
    """

    learning_rate: float = 1e-2
    schedule: Schedule = "constant"
    initial_accumulator_value: float = 0.1
    epsilon: float = 1e-7

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self, "initial_accumulator_value", 0 <= self.initial_accumulator_value < math.inf, "0 or above")
        _check(self, "epsilon", _positive(self.epsilon), "a number above 0")

    def build(self, progress: Progress, ema: float | None = None) -> keras.optimizers.Optimizer:
        """See `SGD.build`."""
        from pipeline.training.kernels import FusedAdagrad

        own = {"initial_accumulator_value": self.initial_accumulator_value, "epsilon": self.epsilon}
        return FusedAdagrad(**own, **self._options(progress, ema))


def _positive(value: float) -> bool:
    return math.isfinite(value) and value > 0


def _check(optimizer: Any, name: str, holds: bool, expected: str) -> None:
    if not holds:
        raise ConfigError(f"{type(optimizer).__name__}: {name} is {getattr(optimizer, name)!r}.", expected=expected)


def _check_adam(optimizer: Any) -> None:
    for name in ("beta_1", "beta_2"):
        _check(optimizer, name, 0 <= getattr(optimizer, name) < 1, "0 or above, and below 1")
    _check(optimizer, "epsilon", _positive(optimizer.epsilon), "a number above 0")


def _check_ema(ema: float | None) -> None:
    if ema is not None and not 0 < ema < 1:
        raise ConfigError(f"The moving average of the weights keeps {ema!r} at each step.", expected="above 0, below 1")
