"""The search for hyperparameters: KerasTuner says what to try, each trial is an ordinary training.

KerasTuner's search returns normally when every trial failed, and then still names a best one; here failed
trials keep their own error, and are never the best.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine import base_tuner
from keras_tuner.engine.trial import TrialStatus

from pipeline.errors import TuningError
from pipeline.training.space import overrides

_OBJECTIVE = "val_loss"


@dataclass(frozen=True)
class Trial:
    """One configuration that was tried.

    Attributes:
      overrides: config key -> value.
      score: its validation loss; None where it failed.
      error: why it failed.
    """

    overrides: dict[str, Any]
    score: float | None
    error: str | None = None


def tune(
    objective: Callable[[dict[str, Any]], float],
    space: keras_tuner.HyperParameters,
    *,
    start: dict[str, Any] | None = None,
    algorithm: str = "random",
    trials: int,
    seed: int,
    directory: Path,
    on_trial: Callable[[Trial], None] | None = None,
) -> list[Trial]:
    """Tries configurations and scores them.

    Args:
      objective: config overrides -> validation loss, lower is better. What it raises is that trial's error.
      space: see `to_hyperparameters`.
      start: config key -> the config's own value. Random and Bayesian searches try exactly these first, in the space
        or not, so that the search knows what no search would have given. None: they begin with the space's defaults.
      algorithm: random, bayesian or grid.
      trials: at most so many; a small space may hold fewer.
      seed: of the search.
      directory: for KerasTuner's own files.
      on_trial: called after each trial.

    Returns:
      Every trial, in the order they ran.

    Raises:
      TuningError: all failed; it carries the first error.
    """
    oracle = _ORACLES[algorithm](
        objective=keras_tuner.Objective(_OBJECTIVE, "min"),
        max_trials=trials,
        seed=seed + 1,  # 0 counts as no seed
        hyperparameters=space,
        allow_new_entries=False,
        tune_new_entries=False,
        max_retries_per_trial=0,
        max_consecutive_failed_trials=trials + 1,  # failures are results; three of them must not end the search
    )
    first = None if start is None else {key: value for key, value in start.items() if key in space.values}
    tuner = _Tuner(objective, on_trial, oracle, directory, first if algorithm != "grid" else None)
    with contextlib.redirect_stdout(io.StringIO()):
        tuner.search()
    best(tuner.tried)  # or none is
    return tuner.tried


def best(trials: list[Trial]) -> Trial:
    """The trial with the lowest score.

    Raises:
      TuningError: none has a score.
    """
    scored = [trial for trial in trials if trial.score is not None]
    if not scored:
        first = trials[0].error if trials else "the space holds no configuration"
        raise TuningError(
            f"All {len(trials)} trials failed. The first one: {first}",
            expected="at least one trial that trains",
            fix="Mend the cause, or narrow tune.space.",
        )
    return min(scored, key=lambda trial: trial.score if trial.score is not None else math.inf)


class _Tuner(base_tuner.BaseTuner):
    """KerasTuner's oracle asked and told, trial by trial, around an objective of our own."""

    def __init__(
        self, objective: Any, on_trial: Any, oracle: keras_tuner.Oracle, directory: Path, first: dict[str, Any] | None
    ) -> None:
        super().__init__(oracle, hypermodel=None, directory=str(directory), project_name="search", overwrite=True)
        self._objective, self._on_trial, self._first = objective, on_trial, first
        self.tried: list[Trial] = []

    def search(self) -> None:
        """Until the oracle has no more to try. KerasTuner's own loop prints a traceback for every failed trial."""
        while (asked := self.oracle.create_trial(self.tuner_id)).status != TrialStatus.STOPPED:
            if asked.status == TrialStatus.IDLE:
                continue
            begin = self._first is not None and not self.tried
            trial = self._run(self._first if begin and self._first else overrides(asked.hyperparameters))
            if trial.error is None:
                self.oracle.update_trial(asked.trial_id, {_OBJECTIVE: trial.score})
                asked.status = TrialStatus.COMPLETED
            else:
                asked.status, asked.message = TrialStatus.FAILED, trial.error
            self.oracle.end_trial(asked)
            self.tried.append(trial)
            if self._on_trial:
                self._on_trial(trial)

    def _run(self, chosen: dict[str, Any]) -> Trial:
        try:
            score = float(self._objective(chosen))
        except Exception as error:
            return Trial(chosen, None, f"{type(error).__name__}: {error}")
        if not math.isfinite(score):
            return Trial(chosen, None, f"the validation loss is {score}")
        return Trial(chosen, score)


class _StartFromConfig:
    """The first trial is the space's defaults: the config, or what the space has nearest to it."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        space: Any = self
        if not space.trials:
            values = {hp.name: hp.default for hp in space.hyperparameters.space}
            space._tried_so_far.add(space._compute_values_hash(values))
            return {"status": "RUNNING", "values": values}
        found: dict[str, Any] = super().populate_space(trial_id)  # type: ignore[misc]
        return found


class _Random(_StartFromConfig, keras_tuner.oracles.RandomSearchOracle):
    pass


class _Bayesian(_StartFromConfig, keras_tuner.oracles.BayesianOptimizationOracle):
    pass


_ORACLES: dict[str, Any] = {"random": _Random, "bayesian": _Bayesian, "grid": keras_tuner.oracles.GridSearchOracle}
