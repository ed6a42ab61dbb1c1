"""One trial of a population, as the host follows it: its losses, and why it ended."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from pipeline.training.population.candidate import Candidate
from pipeline.training.schedules import plateau_factor


@dataclass
class Lane:
    """A trial in a population.

    Attributes:
      place: in the list of candidates.
      candidate: what is trained.
      history: validation loss of every epoch, of an earlier rung, too.
      error: why it failed or diverged; None: it did not.
      step: how many are done.
      state: what it is after them, to go on from; None: it has not begun, or is with others in a program.
      seconds: its share of the time.
      together: how many were trained at once, at most.
    """

    place: int
    candidate: Candidate
    history: list[float] = field(default_factory=list)
    error: str | None = None
    step: int = 0
    state: dict[str, Any] | None = None
    seconds: float = 0.0
    together: int = 1

    @property
    def score(self) -> float | None:
        """The lowest validation loss; None where it failed, or has none yet."""
        return None if self.error or not self.history else min(self.history)

    def is_over(self, patience: int | None) -> bool:
        """Whether it failed, or so many epochs were no better than the best one."""
        if self.error is not None:
            return True
        best = self.history.index(min(self.history)) if self.history else 0
        return patience is not None and len(self.history) - 1 - best >= patience

    def end_epoch(self, val_loss: float, what: str | None) -> None:
        """Takes a validation loss.

        Args:
          val_loss: of the epoch.
          what: went wrong in it; None: nothing did.
        """
        if what is None and not math.isfinite(val_loss):
            what = f"the validation loss became {val_loss:g} in epoch {len(self.history) + 1}"
        self.error = what
        if what is None:
            self.history.append(val_loss)

    def factor(self) -> float:
        """By which its learning rate is multiplied; see `plateau_factor`."""
        optimizer = self.candidate.optimizer
        if optimizer.schedule != "reduce_on_plateau":
            return 1.0
        return plateau_factor(self.history, optimizer.plateau_factor, optimizer.plateau_patience)
