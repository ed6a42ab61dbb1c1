"""What a tuning left on disk, read and checked."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import RunError

_FENCE = 1.5


@dataclass(frozen=True)
class Results:
    """The three files of the artifact of `tune`.

    Attributes:
      trials: rows of trials.json, by number.
      tuning: tuning.json: the algorithm, the space, the finalists, the noise.
      best: config key -> value of the winner.
    """

    trials: list[dict[str, Any]]
    tuning: dict[str, Any]
    best: dict[str, Any]

    @property
    def space(self) -> dict[str, Any]:
        """Config key -> what was searched, as in the config."""
        return self.tuning["space"]

    @property
    def noise(self) -> float | None:
        """Differences of two scores below it are seed noise; None: not measured."""
        return finite(self.tuning.get("noise"))


def read_results(directory: Path) -> Results:
    """Reads trials.json, tuning.json and best.json.

    Raises:
      RunError: one is missing, cannot be read, or does not hold what it should.
    """
    trials = _read(directory / "trials.json", list)
    for place, row in enumerate(trials):
        if not isinstance(row, dict) or not {"number", "overrides", "score"} <= set(row):
            raise _damaged(directory / "trials.json", f"entry {place} is no trial", "number, overrides and score")
    tuning = _read(directory / "tuning.json", dict)
    if not isinstance(tuning.get("space"), dict):
        raise _damaged(directory / "tuning.json", "it has no space", "a table of keys")
    return Results(sorted(trials, key=lambda row: row["number"]), tuning, _read(directory / "best.json", dict))


def finite(value: Any) -> float | None:
    """The number, or None where it is none, or not finite.

    Example:
      >>> finite(0.5), finite(float("nan")), finite(None)
      (0.5, None, None)
    """
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if number else None


def fence(scores: Sequence[float]) -> float:
    """Where scores end that are worth telling apart: a trial that exploded would press all others into one point.

    One and a half times the way from the best to the upper quartile, beyond that quartile, as Tukey's fences
    (Exploratory Data Analysis, 1977); measured from the best because losses have a long tail on one side only.

    Example:
      >>> fence([0.1, 0.2, 0.3, 0.4, 1e9])
      0.85
    """
    ordered = sorted(scores)
    best, quartile, worst = ordered[0], ordered[(3 * (len(ordered) - 1) + 2) // 4], ordered[-1]
    # Half of them alike: there is no measure for what is far.
    return min(worst, round(quartile + _FENCE * (quartile - best), 12)) if quartile > best else worst


def _read(path: Path, kind: type) -> Any:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}.", fix="Run the stage tune again.") from None
    except ValueError as error:
        raise _damaged(path, str(error), "JSON") from None
    if not isinstance(found, kind):
        raise _damaged(path, f"it holds a {type(found).__name__}", f"a {kind.__name__}")
    return found


def _damaged(path: Path, what: str, expected: str) -> RunError:
    return RunError(f"{path} is damaged: {what}.", expected=expected, fix="Delete it and run the stage tune again.")
