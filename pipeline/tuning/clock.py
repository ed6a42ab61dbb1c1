"""The time that a search may take, over all processes that worked on it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

# Of the time, where the finalists are to be scored again: that takes its part, too.
_FOR_TRIALS = 0.8


@dataclass
class Clock:
    """Counts from when it is made.

    Args:
      budget: seconds; None: there is no end.
      spent: seconds that earlier processes took.

    Example:
      >>> Clock(60.0, spent=50.0).has_time(), Clock(60.0, spent=50.0).has_time_for_trials(True)
      (True, False)
    """

    budget: float | None
    spent: float = 0.0
    _started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """That were spent until now."""
        return self.spent + time.monotonic() - self._started

    def has_time(self) -> bool:
        """Whether some is left."""
        return self.budget is None or self.seconds < self.budget

    def has_time_for_trials(self, finalists: bool) -> bool:
        """Whether some is left beside that of the finalists."""
        return self.budget is None or self.seconds < self.budget * (_FOR_TRIALS if finalists else 1.0)
