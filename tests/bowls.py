"""A search whose losses are a bowl over its space, driven without training."""

from __future__ import annotations

import json
import math
from typing import Any

from pipeline.training.search import Asked, Outcome, Search, Trial

SPACE = {
    "train.optimizer": ["Adam", "SGD"],
    "train.learning_rate": {"min": 1e-4, "max": 1e-1, "log": True},
    "train.optimizer.momentum": {"min": 0.0, "max": 0.95, "when": {"train.optimizer": "SGD"}},
    "model.width": {"min": 8, "max": 64},
    "model.depth": [1, 2, 3],
}
START = {
    "train.optimizer": {"name": "SGD"},
    "train.learning_rate": 3e-3,
    "train.optimizer.momentum": 0.5,
    "model.width": 32,
    "model.depth": 2,
}
SMALL = {"model.width": [8, 16], "model.depth": {"min": 1, "max": 3}}  # six configurations


def bowl(chosen: dict[str, Any]) -> float:
    rate = math.log10(chosen.get("train.learning_rate", 1e-3) / 1e-2) ** 2
    return rate + chosen.get("model.depth", 0) + chosen.get("train.optimizer.momentum", 0.3)


def outcome_of(asked: Asked) -> Outcome:
    """A loss that falls with every epoch, and fails for narrow models."""
    if asked.overrides.get("model.width", 99) < 12:
        return Outcome(None, "TrainingError: too narrow")
    return Outcome(bowl(asked.overrides) + 1 / asked.epochs, history=(1.0,) * asked.epochs, seconds=0.5, how="alone")


def make(algorithm: str = "random", space: Any = SPACE, **arguments: Any) -> Search:
    settings: dict[str, Any] = {"start": START, "trials": 12, "epochs": 9, "seed": 0, **arguments}
    return Search(space, algorithm=algorithm, **settings)


def drive(search: Search, limit: int = 1, outcome: Any = outcome_of) -> list[Trial]:
    """Until the end: so many at once, told in order."""
    while not search.is_over:
        for asked in search.ask(limit):
            search.tell(asked.number, outcome(asked))
    return search.trials


def chosen_by(trials: list[Trial]) -> list[str]:
    return [json.dumps(trial.asked.overrides, sort_keys=True) for trial in trials]
