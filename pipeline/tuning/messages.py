"""What chief and workers say to each other, inside KerasTuner's messages.

A KerasTuner trial is here a lease: several trials that a worker trains at once. Its fields hold one configuration of
plain values, and no history of an outcome; so what there is no field for stands as JSON in a hyperparameter of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus

from pipeline.training.search import Asked, Outcome

_KEY = "json"


def hyperparameters_of(content: dict[str, Any]) -> Any:
    """KerasTuner's hyperparameters that hold what is said."""
    found = keras_tuner.HyperParameters()
    found.values[_KEY] = json.dumps(content)
    return found


def content_of(hyperparameters: Any) -> dict[str, Any]:
    """The inverse."""
    found: dict[str, Any] = json.loads(hyperparameters.values.get(_KEY, "{}"))
    return found


def lease_of(name: str, asked: Iterable[Asked]) -> Any:
    """The chief's answer: train these.

    >>> asked_of(lease_of("a/0", [Asked(3, {"train.learning_rate": 0.1}, epochs=5)]))
    [Asked(number=3, overrides={'train.learning_rate': 0.1}, epochs=5, first_epoch=0, parent=None, first=None)]
    """
    return Trial(hyperparameters_of({"asked": [asdict(one) for one in asked]}), name, TrialStatus.RUNNING)


def status_of(name: str, status: str) -> Any:
    """The chief's answer: nothing to train now (IDLE), go on (RUNNING), or stop (STOPPED)."""
    return Trial(hyperparameters_of({}), name, status)


def asked_of(trial: Any) -> list[Asked]:
    """The trials of a lease."""
    return [Asked(**one) for one in content_of(trial.hyperparameters)["asked"]]


def answer_of(name: str, number: int, outcome: Outcome) -> Any:
    """A worker's answer: what came of one trial of the lease.

    >>> outcome_of(answer_of("a/0", 3, Outcome(0.5, history=(0.75, 0.5))))
    (3, Outcome(score=0.5, error=None, history=(0.75, 0.5), seconds=0.0, how='alone', cut=False))
    """
    status = TrialStatus.FAILED if outcome.score is None else TrialStatus.COMPLETED
    trial = Trial(hyperparameters_of({"number": number, "outcome": asdict(outcome)}), name, status)
    trial.score = outcome.score
    return trial


def outcome_of(trial: Any) -> tuple[int, Outcome]:
    """The inverse."""
    content = content_of(trial.hyperparameters)
    found = content["outcome"]
    return content["number"], Outcome(**{**found, "history": tuple(found["history"])})
