"""How far a search is, for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.training.search import Search


@dataclass
class Progress:
    """The bar of a search: parts of trials count, too, since many are trained at once."""

    search: Search
    advance: Any
    _shown: float = 0.0
    _before: float = 0.0

    def __post_init__(self) -> None:
        self.end_of_round()  # some are done where a search goes on

    def show(self, done: float, epochs: float = 1.0) -> None:
        """So many epochs of this round are done, of so many that a trial has."""
        now = self._before + done / epochs
        scores = [trial.score for trial in self.search.trials if trial.score is not None]
        self.advance(max(now - self._shown, 0.0), f"best validation loss {min(scores):.4f}" if scores else "")
        self._shown = max(now, self._shown)

    def end_of_round(self) -> None:
        """The next trials begin."""
        self._before = float(len(self.search.trials))
        self.show(0.0)
