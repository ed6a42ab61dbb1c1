"""One row of the table of `benchmarks.tuning`: ours and the script in all rounds, and what that says."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

from benchmarks.report import Result
from benchmarks.tuning_cases import Case
from benchmarks.tuning_run import Tuned

COLUMNS = (
    "case", "trials", "ours", "script", "ratio", "goal",
    "val loss", "script's", "noise", "accuracy", "script's", "holds",
)  # fmt: skip
# Of a normal distribution, two-sided, 95 %.
_SIGMAS = 1.96


@dataclass(frozen=True)
class Row:
    """A case, in equal trials or in equal time.

    Attributes:
      case: of both.
      ours, script: a search a round, in the same order.
      equal_time: whether ours had the time that the script took, rather than as many trials.
    """

    case: Case
    ours: list[Tuned]
    script: list[Tuned]
    equal_time: bool = False

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.case.name}, equal time" if self.equal_time else self.case.name

    @property
    def ratio(self) -> float:
        """How many times as fast ours is: the median of the rounds."""
        return statistics.median(its.seconds / mine.seconds for mine, its in self._rounds)

    @property
    def noise(self) -> float | None:
        """Differences of the two mean losses below it are noise of the seeds; None where there is one round only."""
        if len(self.ours) < 2:
            return None
        variances = [statistics.variance(one.loss for one in side) for side in (self.ours, self.script)]
        return _SIGMAS * math.sqrt(sum(variances) / len(self.ours))

    def results(self) -> list[Result]:
        """For the line of JSON. In equal time ours may be behind in no round; in equal trials by no more than noise."""
        goal = None if self.equal_time or self.case.ratio is None else f">= {self.case.ratio:g}"
        behind = [mine.loss - its.loss for mine, its in self._rounds]
        last = Result(f"{self.name}: loss, ours - script's, mean", statistics.mean(behind), "", f"<= {self.noise or 0}")
        if self.equal_time:
            last = Result(f"{self.name}: loss, ours - script's, worst round", max(behind), "", "<= 0")
        return [
            Result(f"{self.name}: script / ours", self.ratio, "x", goal),
            Result(f"{self.name}: ours", _median(self.ours, "seconds"), "s"),
            Result(f"{self.name}: script", _median(self.script, "seconds"), "s"),
            Result(f"{self.name}: trials of ours", _median(self.ours, "trials"), "trials"),
            Result(f"{self.name}: trials of the script", _median(self.script, "trials"), "trials"),
            last,
            Result(f"{self.name}: CPU seconds of ours", _median(self.ours, "cpu_seconds"), "s"),
            Result(f"{self.name}: CPU seconds of the script", _median(self.script, "cpu_seconds"), "s"),
        ]

    def cells(self) -> tuple[str, ...]:
        """For people, in the order of `COLUMNS`."""
        results = self.results()
        ratio, mine, its, trials, others = (result.value for result in results[:5])
        bounds = [result.goal for result in results[:1] if result.goal]
        return (
            self.name,
            f"{trials:g}" if trials == others else f"{trials:g} / {others:g}",
            f"{mine:.1f} s",
            f"{its:.1f} s",
            "" if self.equal_time else f"{ratio:.1f}",
            "never behind" if self.equal_time else "".join(bounds),
            f"{_loss(self.ours):.4f}",
            f"{_loss(self.script):.4f}",
            "" if self.noise is None else f"{self.noise:.4f}",
            _accuracy(self.ours),
            _accuracy(self.script),
            "NO" if any(result.holds is False for result in results) else "yes",
        )

    @property
    def _rounds(self) -> list[tuple[Tuned, Tuned]]:
        return list(zip(self.ours, self.script, strict=True))


def _median(side: list[Tuned], name: str) -> float:
    return statistics.median(getattr(one, name) for one in side)


def _loss(side: list[Tuned]) -> float:
    return statistics.mean(one.loss for one in side)


def _accuracy(side: list[Tuned]) -> str:
    found = [one.accuracy for one in side if one.accuracy is not None]
    return f"{statistics.mean(found):.4f}" if found else ""
