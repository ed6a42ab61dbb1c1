"""Bayesian search: KerasTuner's Gaussian process, begun early, over configurations that exist."""

from __future__ import annotations

import warnings
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import TrialStatus

from pipeline.training.search.plain import Plain

# As many anywhere in the space, and around the best ones.
_NUM_CANDIDATES = 256


class Bayesian(Plain, keras_tuner.oracles.BayesianOptimizationOracle):
    """A Gaussian process over [0, 1]^keys; the next trial is the candidate with the lowest confidence bound.

    KerasTuner descends from 50 points by numerical derivatives: 1 to 5 s a trial, to a point that is then rounded to
    the nearest configuration, often one that was tried. Candidates are configurations from the beginning.
    """

    def propose(self, trial_id: str) -> dict[str, Any]:
        """By chance until there are more results than keys, and then the best candidate."""
        done = [trial for trial in self.trials.values() if trial.status in (TrialStatus.COMPLETED, TrialStatus.FAILED)]
        scored = [
            trial for trial in done if trial.status == TrialStatus.COMPLETED and trial.trial_id not in self.beside
        ]
        # KerasTuner's own 3 a key would leave a search of 16 trials over 8 keys to chance alone.
        if len(done) <= len(self.dimensions) or len(scored) < 2:
            values = self._random_values()
        else:
            values = self.recorded or self._best_candidate(done, scored) or self._random_values()
        return {"status": TrialStatus.STOPPED if values is None else TrialStatus.RUNNING, "values": values}

    def _best_candidate(self, done: list[Any], scored: list[Any]) -> dict[str, Any] | None:
        best = [trial.hyperparameters.values for trial in sorted(scored, key=lambda trial: trial.score)[:3]]
        candidates = self._candidates(np.array([self._vector(values) for values in best]))
        if not candidates:
            return None
        mean, deviation = self._process(done).predict(
            np.array([self._vector(values) for values in candidates]), return_std=True
        )
        return candidates[int(np.argmin(mean - self.beta * deviation))]

    def _process(self, done: list[Any]) -> Any:
        """The process that knows what was tried, and takes what runs for rather bad, so that it goes elsewhere."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import Matern

        known = [trial for trial in done if trial.trial_id not in self.beside]
        x = np.array([self._vector(trial.hyperparameters.values) for trial in known])
        y = _losses([trial.score if trial.status == TrialStatus.COMPLETED else None for trial in known])
        form = {"normalize_y": True, "alpha": self.alpha, "random_state": self.seed}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a length scale at its bound is one that fits
            fitted = GaussianProcessRegressor(Matern(nu=2.5), n_restarts_optimizer=2, **form).fit(x, y)
        running = [trial for trial in self.ongoing_trials.values() if trial.trial_id not in self.beside]
        if not running:
            return fitted
        more = np.array([self._vector(trial.hyperparameters.values) for trial in running])
        mean, deviation = fitted.predict(more, return_std=True)
        again = GaussianProcessRegressor(fitted.kernel_, optimizer=None, **form)
        return again.fit(np.concatenate([x, more]), np.concatenate([y, mean + deviation]))

    def _candidates(self, best: np.ndarray) -> list[dict[str, Any]]:
        """Configurations that were not tried: anywhere, and around the best, in some of their keys.

        Their chance depends on the number of trials alone, so that a search goes on as it would have without a stop.
        """
        random = np.random.default_rng([self.seed, len(self.trials)])
        anywhere = random.random((_NUM_CANDIDATES, len(self.dimensions)))
        around = best[random.integers(len(best), size=_NUM_CANDIDATES)]
        moved = random.random(around.shape) < random.random((_NUM_CANDIDATES, 1))
        around = np.clip(around + moved * random.normal(0, 0.15, around.shape), 0, 1 - 1e-9)
        found = {repr(sorted(values.items())): values for values in map(self._values, [*anywhere, *around])}
        return [values for values in found.values() if not self.tried(values)]

    def _values(self, vector: np.ndarray) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for hp, place in zip(self.hyperparameters.space, vector, strict=True):
            if all(condition.is_active(values) for condition in hp.conditions):
                values[hp.name] = hp.prob_to_value(float(place))
        return values

    def _vector(self, values: dict[str, Any]) -> list[float]:
        return [hp.value_to_prob(values.get(hp.name, hp.default)) for hp in self.hyperparameters.space]


def _losses(scores: list[float | None]) -> np.ndarray:
    """What the process is shown, [trials]: failures and losses far off are no worse than bad.

    One loss of 10^9 would make all others equal.
    """
    known = np.array([score for score in scores if score is not None])
    middle = float(np.median(known))
    bad = min(float(known.max()), middle + 3 * (middle - float(known.min())))
    return np.array([bad if score is None else min(score, bad) for score in scores])
