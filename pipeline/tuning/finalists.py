"""The best trials once more, on fresh seeds: the score that won is an optimistic one, and may be luck."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, variance
from typing import Any

from pipeline.config import Config
from pipeline.training.search import Outcome, Trial
from pipeline.tuning.jobs import Job, fresh_seeds, on_folds

# Two scores of one configuration differ by less than this many standard deviations in 95 of 100 cases.
_DIFFERENCE = 1.96 * math.sqrt(2)
_TRIALS_FOR_ONE, _MOST = 5, 3


@dataclass(frozen=True)
class Finalist:
    """A trial that was scored again.

    Attributes:
      number: of the trial.
      seeds: the fresh ones.
      scores: under each; None where it failed.
      mean: of them; None where one failed.
    """

    number: int
    seeds: list[int]
    scores: list[float | None]

    @property
    def mean(self) -> float | None:
        """What decides."""
        scores = [score for score in self.scores if score is not None]
        return fmean(scores) if len(scores) == len(self.scores) and scores else None

    def to_json(self) -> dict[str, Any]:
        """One row of tuning.json."""
        return {**asdict(self), "mean": self.mean}


def number_of_finalists(config: Config) -> int:
    """As the config has it, or one for every five trials, and three at most.

    One finalist alone has nobody to be compared with.
    """
    asked = config.tune.finalists
    found = min(_MOST, config.tune.trials // _TRIALS_FOR_ONE) if asked is None else asked
    return 0 if found == 1 and asked is None else found


def in_order(trials: Iterable[Trial], config: Config) -> list[Trial]:
    """Those with a score, best first; of a configuration that went up the rungs of Hyperband only its last trial."""
    found = list(trials)
    parents = {trial.asked.parent for trial in found}
    scored = [trial for trial in found if trial.score is not None and trial.asked.number not in parents]
    # A long trial of Hyperband is ahead of all shorter ones: it was given more epochs because it was better.
    rung = -1 if config.tune.algorithm == "hyperband" else 0
    return sorted(scored, key=lambda trial: (rung * trial.asked.epochs, trial.score, trial.asked.number))


def score_again(
    trials: Sequence[Trial], config: Config, train: Callable[[list[Job]], Iterable[tuple[Job, Outcome]]]
) -> list[Finalist]:
    """Trains some trials from the beginning, under seeds that no trial had.

    Args:
      trials: the best ones.
      config: of the run.
      train: what trains jobs.
    """
    seeds = fresh_seeds(config)
    whole = [_from_beginning(trial) for trial in trials]
    found: dict[tuple[int, int], list[float | None]] = {}
    for job, outcome in train([job for asked in whole for job in on_folds(asked, seeds, config)]):
        found.setdefault((job.asked.number, job.seed), []).append(outcome.score)
    folds = config.tune.folds or 1
    rows = [[_mean(found.get((asked.number, seed), []), folds) for seed in seeds] for asked in whole]
    return [Finalist(asked.number, seeds, row) for asked, row in zip(whole, rows, strict=True)]


def winner(trials: Sequence[Trial], finalists: Sequence[Finalist]) -> Trial:
    """The finalist with the lowest mean; without finalists that have one, the trial with the lowest score.

    Args:
      trials: in order, see `in_order`; at least one.
      finalists: see `score_again`.
    """
    known = [finalist for finalist in finalists if finalist.mean is not None]
    if not known:
        return trials[0]
    best = min(known, key=lambda finalist: finalist.mean if finalist.mean is not None else math.inf)
    return next(trial for trial in trials if trial.asked.number == best.number)


def noise(finalists: Sequence[Finalist]) -> float | None:
    """Below it a difference of two scores is seed noise; None where no configuration was scored twice.

    The standard deviation between the seeds of one configuration, pooled over the finalists, times 1.96 * sqrt(2): of
    two configurations that are equally good, the scores differ by more in one case out of twenty.

    >>> round(noise([Finalist(0, [1, 2], [0.1, 0.2]), Finalist(1, [1, 2], [0.3, 0.3])]), 3)
    0.139
    """
    found = [[score for score in finalist.scores if score is not None] for finalist in finalists]
    several = [scores for scores in found if len(scores) > 1]
    if not several:
        return None
    freedom = sum(len(scores) - 1 for scores in several)
    squares = sum(variance(scores) * (len(scores) - 1) for scores in several)
    return _DIFFERENCE * math.sqrt(squares / freedom)


def _from_beginning(trial: Trial) -> Any:
    from dataclasses import replace

    return replace(trial.asked, first_epoch=0, parent=None, first=None)


def _mean(scores: Sequence[float | None], folds: int) -> float | None:
    """Over the folds; None where one failed, or was not trained."""
    known = [score for score in scores if score is not None]
    return fmean(known) if len(known) == folds else None
