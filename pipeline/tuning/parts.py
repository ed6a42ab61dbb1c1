"""Outcomes of trainings whose trial has others still to come: after a kill they are not trained again."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.training.search import Outcome
from pipeline.tuning.jobs import Job


class Parts:
    """Kept in a file until the trials are told, which the journal keeps from then on.

    Args:
      path: of the file; None: nothing is kept.

    Example:
      >>> parts = Parts(None)
      >>> parts.of([])
      []
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: dict[str, dict[str, Any]] = {}
        if path is not None and path.exists():
            self._known = json.loads(path.read_text(encoding="utf-8"))  # replaced as a whole, so it is whole

    def of(self, jobs: Sequence[Job]) -> list[tuple[Job, Outcome]]:
        """Those of these jobs that are known."""
        found = [(job, self._known[job.name]) for job in jobs if job.name in self._known]
        return [(job, Outcome(**{**known, "history": tuple(known["history"])})) for job, known in found]

    def keep(self, found: Sequence[tuple[Job, Outcome]]) -> None:
        """Adds some.

        Raises:
          OSError: the file cannot be written.
        """
        if self._path is not None:
            self._known |= {job.name: dataclasses.asdict(outcome) for job, outcome in found}
            temporary = self._path.with_suffix(".new")
            with temporary.open("w", encoding="utf-8") as file:
                json.dump(self._known, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)

    def forget(self) -> None:
        """Their trials were told."""
        self._known.clear()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
