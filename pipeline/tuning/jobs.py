"""What is trained: a trial, under one of its seeds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from pipeline.config import Config
from pipeline.training.search import Asked, Outcome

# Trials that a search asks for at once. A Bayesian one learns from those before, the others do not, or only by rungs;
# and where the time is limited, those that have begun should have time to end.
_AT_ONCE, _BAYESIAN, _IN_LIMITED_TIME = 64, 8, 16
# From one seed to the next of a search; odd, so that none comes twice. Searches whose own seeds are near, as those of
# people are, have no seed in common then, and their luck is not the same.
_STRIDE, _FRESH = 0x1E3779B1, 1 << 30


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
      asked: the trial.
      seed: of its initial weights, its batches and its dropout.
      fold: of the data; 0 where there are no folds.
    """

    asked: Asked
    seed: int
    fold: int = 0

    @property
    def name(self) -> str:
        """Of its place on disk."""
        return self.name_of(self.asked.number)

    def name_of(self, number: int) -> str:
        """That of the job of another trial, under the same seed and on the same fold."""
        return f"{number}-{self.seed}" + (f"-fold{self.fold}" if self.fold else "")

    def config(self, config: Config) -> Config:
        """The config that it trains: the run's, with the trial's values and the epochs and patience of `tune`."""
        short: dict[str, Any] = {"train.epochs": config.tune.epochs, "train.patience": config.tune.patience}
        return config.override({**short, **self.asked.overrides, "seed": self.seed})


def jobs_of(asked: Iterable[Asked], config: Config) -> list[Job]:
    """Each trial on every fold under its own seeds."""
    return [job for one in asked for job in on_folds(one, seeds_of(one, config), config)]


def on_folds(asked: Asked, seeds: Sequence[int], config: Config) -> list[Job]:
    """A trial under each of these seeds, on every fold."""
    return [Job(asked, seed, fold) for fold in range(config.tune.folds or 1) for seed in seeds]


def seeds_of(asked: Asked, config: Config) -> list[int]:
    """The `tune.seeds` seeds of a trial, which no other one has; those of trial 0 begin with the config's own.

    With one seed for all, a search would find what suits the initial weights and the order of rows of that one.
    """
    return _seeds(config.seed, asked.line * config.tune.seeds, config.tune.seeds)


def fresh_seeds(config: Config) -> list[int]:
    """The `tune.finalist_seeds` seeds of the finalists, which no trial has, however many there will be."""
    return _seeds(config.seed, _FRESH, config.tune.finalist_seeds)


def trainings_of(config: Config) -> int:
    """Of each trial."""
    return config.tune.seeds * (config.tune.folds or 1)


def most_at_once(config: Config, workers: int = 1) -> int:
    """Trials that a search asks for at once, for so many workers together."""
    if config.tune.algorithm == "bayesian":
        return _BAYESIAN
    in_limited_time = max(_IN_LIMITED_TIME // (config.tune.folds or 1), 1)
    return workers * (in_limited_time if config.tune.budget else _AT_ONCE)


def failure(number: int, outcome: Outcome) -> str:
    """What a failed trial says, on one line; all of it is in trials.json."""
    first = str(outcome.error).splitlines()[0].removesuffix(" The batch of that step:")
    return f"trial {number} failed: {first}"


def _seeds(own: int, first: int, count: int) -> list[int]:
    """So many seeds of a search, from a place on; at place 0 stands its own.

    >>> _seeds(7, 0, 2)
    [7, 506952120]
    """
    return [(own + place * _STRIDE) % 2**31 for place in range(first, first + count)]


def merged(found: Iterable[tuple[Job, Outcome]], trainings: int) -> Iterator[tuple[Asked, Outcome]]:
    """The outcomes of trials out of those of their jobs, each when its last one is known.

    A trial's score is the mean over its seeds and folds; it fails with the first of them that does.
    """
    waiting: dict[int, list[Outcome]] = {}
    for job, outcome in found:
        own = waiting.setdefault(job.asked.number, [])
        own.append(outcome)
        if len(own) == trainings:
            yield job.asked, _mean(waiting.pop(job.asked.number))


def _mean(outcomes: list[Outcome]) -> Outcome:
    failed = next((outcome for outcome in outcomes if outcome.score is None), None)
    seconds = sum(outcome.seconds for outcome in outcomes)
    first = outcomes[0] if failed is None else failed
    epochs = zip(*(outcome.history for outcome in outcomes), strict=False)
    score = None if failed else fmean(outcome.score for outcome in outcomes if outcome.score is not None)
    cut = any(outcome.cut for outcome in outcomes)
    return Outcome(score, first.error, tuple(fmean(losses) for losses in epochs), seconds, first.how, cut)
