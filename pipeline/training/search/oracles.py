"""KerasTuner's oracles, which say what to try.

The grid does not wait for results that it does not use. Hyperband takes failures for the worst scores, so that some of
them do not keep the rest of their rung from rising.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import TrialStatus

from pipeline.training.search.bayesian import Bayesian
from pipeline.training.search.dimensions import Dimension
from pipeline.training.search.plain import OBJECTIVE, Plain


class _WaitsError(Exception):
    """Nothing more may begin before something ends."""


class _Random(Plain, keras_tuner.oracles.RandomSearchOracle):
    pass


class _Grid(Plain, keras_tuner.oracles.GridSearchOracle):
    _last: dict[str, Any] | None = None

    def propose(self, trial_id: str) -> dict[str, Any]:
        oracle: Any = self
        space = oracle.get_space()
        values = space.values if self._last is None else oracle._get_next_combination(self._last)
        while values is not None and self.tried(values):
            values = oracle._get_next_combination(values)
        self._last = values
        return {"status": TrialStatus.STOPPED if values is None else TrialStatus.RUNNING, "values": values}


class _Hyperband(Plain, keras_tuner.oracles.HyperbandOracle):
    has_rungs = True

    def setup(self, dimensions: Sequence[Dimension], seed: int) -> None:
        super().setup(dimensions, seed)
        # Bracket -> trials of its first rung, where the space had no more for it.
        self._ended: dict[int, int] = {}
        # Of an endless space as often as the number of trials admits.
        self.hyperband_iterations = math.inf if any(dimension.is_endless for dimension in dimensions) else 1

    def next_trial(self, tuner_id: str) -> Any:
        """A failure that rises only because too few others are there fails again, at once and unseen."""
        while (found := super().next_trial(tuner_id)) is not None:
            parent = self.trials.get(found.hyperparameters.values.get("tuner/trial_id"))
            if parent is None or parent.score != math.inf:
                return found
            self.finish(found, None)
        return None

    def finish(self, trial: Any, score: float | None) -> None:
        """KerasTuner fills a rung from completed trials only, and waits for ever where some have failed."""
        super().finish(trial, math.inf if score is None else score)

    def propose(self, trial_id: str) -> dict[str, Any]:
        """The next of the bracket; of the next bracket, once nothing of this one runs."""
        try:
            return super().propose(trial_id)
        except _WaitsError:
            return {"status": TrialStatus.IDLE}

    def _random_trial(self, trial_id: str, bracket: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = super()._random_trial(trial_id, bracket)
        if found["status"] == TrialStatus.RUNNING:
            return found
        # The space has no more. KerasTuner would end here, and let nothing of this bracket rise.
        self._ended[bracket["bracket_num"]] = len(bracket["rounds"][0])
        self.hyperband_iterations = self._current_iteration + 1
        return self.populate_space(trial_id)

    def _increment_bracket_num(self) -> None:
        """KerasTuner begins bracket after bracket while it is asked: of many at once, none would ever rise."""
        if self.ongoing_trials:
            raise _WaitsError
        super()._increment_bracket_num()

    def _get_size(self, bracket_num: int, round_num: int) -> int:
        if bracket_num in self._ended:
            return -(-self._ended[bracket_num] // self.factor**round_num)
        size: int = super()._get_size(bracket_num, round_num)
        return size


def make_oracle(
    algorithm: str, hyperparameters: Any, dimensions: Sequence[Dimension], *, epochs: int, seed: int
) -> Any:
    """One of KerasTuner's oracles.

    Args:
      algorithm: random, grid, bayesian or hyperband.
      hyperparameters: see `to_hyperparameters`.
      dimensions: see `read_space`.
      epochs: that a trial trains at most.
      seed: 0 is one, too.
    """
    more = {"max_epochs": epochs, "factor": 3} if algorithm == "hyperband" else {"max_trials": None}
    oracle = _ORACLES[algorithm](
        objective=keras_tuner.Objective(OBJECTIVE, "min"),
        hyperparameters=hyperparameters,
        seed=seed + 1,  # 0 counts as no seed
        allow_new_entries=False,
        tune_new_entries=False,
        **more,
    )
    oracle.setup(dimensions, seed)
    return oracle


_ORACLES: dict[str, Any] = {"random": _Random, "grid": _Grid, "bayesian": Bayesian, "hyperband": _Hyperband}
