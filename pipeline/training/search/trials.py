"""What a search asks for, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Asked:
    """A configuration that is to be trained.

    Attributes:
      number: of the trial, in the order in which they were asked for, from 0.
      overrides: config key -> value.
      epochs: to train until, counted from the beginning of the training.
      first_epoch: to go on from; 0: from the beginning.
      parent: the trial to go on from, which was trained until `first_epoch`; None: none.
      first: the trial with which its training began, where that is another one.
    """

    number: int
    overrides: dict[str, Any]
    epochs: int
    first_epoch: int = 0
    parent: int | None = None
    first: int | None = None

    @property
    def line(self) -> int:
        """The number of the trial with which its training began: equal for all rungs of one training."""
        return self.number if self.first is None else self.first


@dataclass(frozen=True)
class Outcome:
    """What came of a trial.

    Attributes:
      score: its lowest validation loss; None where it failed or diverged.
      error: why it has no score.
      history: validation loss of every epoch, of earlier rungs, too.
      seconds: that it took, its share of the time of its population.
      how: it was trained: alone, or in a population of so many.
      cut: whether the end of the time came before its last epoch, or that of its patience.
    """

    score: float | None
    error: str | None = None
    history: tuple[float, ...] = ()
    seconds: float = field(default=0.0, compare=False)
    how: str = field(default="alone", compare=False)
    cut: bool = False


@dataclass(frozen=True)
class Trial:
    """One configuration that was tried, and what came of it.

    Example:
      >>> Trial(Asked(0, {"train.learning_rate": 0.1}, 5), Outcome(0.25)).to_json()["score"]
      0.25
    """

    asked: Asked
    outcome: Outcome

    @property
    def score(self) -> float | None:
        """See `Outcome`."""
        return self.outcome.score

    def to_json(self) -> dict[str, Any]:
        """One row of trials.json."""
        asked, outcome = self.asked, self.outcome
        return {
            "number": asked.number,
            "overrides": asked.overrides,
            "score": outcome.score,
            "error": outcome.error,
            "history": list(outcome.history),
            "epochs": asked.epochs,
            "first_epoch": asked.first_epoch,
            "parent": asked.parent,
            "seconds": round(outcome.seconds, 3),
            "how": outcome.how,
            "cut": outcome.cut,
        }
