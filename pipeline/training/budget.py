"""A training that ends by the clock: how many steps are left, and how far it therefore is."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from pipeline.training.schedules import Progress

# What a step's progress is taken for before any was measured: small, so that a rate that rises begins low.
_FIRST_PER_STEP = 1e-4


@dataclass
class Budget:
    """The seconds of a training, and how they are spent.

    They begin with the first call into the graph, making it included, and hold everything after it: steps, validation,
    checkpoints. One validation is kept back for the end, and foreseen by the last one.

    Args:
      seconds: of the whole training, those of processes that were killed included; infinite: only counted.
      steps_per_epoch: after so many steps is a validation.
      spent: seconds of processes before this one.
      validation_seconds: of one validation, foreseen.

    Example:
      >>> budget = Budget(10.0, steps_per_epoch=100, validation_seconds=1.0)
      >>> budget.start(); round(budget.steps_left(seconds_per_step=0.01))  # 9 seconds, of which epochs take 2 each
      450
    """

    seconds: float
    steps_per_epoch: int
    spent: float = 0.0
    validation_seconds: float = 0.0
    _started: float | None = None

    def start(self) -> None:
        """The clock runs from the first call on."""
        self._started = time.perf_counter() if self._started is None else self._started

    @property
    def is_limited(self) -> bool:
        """Whether the clock ends the training at all."""
        return self.seconds < math.inf

    @property
    def elapsed(self) -> float:
        """Seconds so far."""
        return self.spent + (0.0 if self._started is None else time.perf_counter() - self._started)

    def steps_left(self, seconds_per_step: float | None) -> float:
        """Before the last validation has to begin; 1 where the speed is not known yet, 0 where there is no time."""
        left = self.seconds - self.elapsed - self.validation_seconds
        if left <= 0:
            return 0.0
        if seconds_per_step is None:
            return 1.0
        ends_before = left < self.steps_per_epoch * seconds_per_step
        validation = 0.0 if ends_before else self.validation_seconds / self.steps_per_epoch
        return left / max(seconds_per_step + validation, 1e-9)

    def has_time_for_another_validation(self) -> bool:
        """Whether after a validation now there is time for steps worth the one at the end."""
        return self.seconds - self.elapsed > 3 * self.validation_seconds

    def tell(self, progress: Progress, step: int, steps_left: float, *, measured: bool) -> None:
        """Spreads the progress that is left evenly over the steps that are left: no jump, never back, 1 at the end."""
        now = float(progress(step).numpy())
        per_step = (1 - now) / max(steps_left, 1.0) if measured else _FIRST_PER_STEP
        progress.step0.assign(step)
        progress.progress0.assign(now)
        progress.per_step.assign(max(per_step, 1e-12))
