"""What is common to KerasTuner's oracles here: they keep no files, print nothing, never give up, repeat nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from keras_tuner.engine.trial import TrialStatus

from pipeline.training.search.configurations import configurations
from pipeline.training.search.dimensions import Dimension
from pipeline.training.search.space import encode

OBJECTIVE = "val_loss"
# Random proposals in a row that were all tried before the search takes the next untried one of a space that has an
# end; of one that has none there is always another, but it may be rare (one key of many values that seldom exists).
_COLLISIONS, _COLLISIONS_ENDLESS = 20, 2000


class Plain:
    """A mixture with one of KerasTuner's oracles.

    Attributes:
      dimensions: of the space, every key after those it depends on.
      given: the values of the next trial, where they are not the oracle's to choose.
      recorded: what a costly oracle answered before, which it need not find again.
      is_beside: whether the next trial has values outside the space; what KerasTuner has for it is then not tried.
      beside: the trials that are so.
      has_rungs: what is given takes a place in the first rung, as random values do.
    """

    has_rungs = False

    def setup(self, dimensions: Sequence[Dimension], seed: int) -> None:
        """What KerasTuner's own constructors have no place for; called once, after them."""
        oracle: Any = self
        oracle.verbose = 0
        self.dimensions = {dimension.key: dimension for dimension in dimensions}
        self.given: dict[str, Any] | None = None
        self.recorded: dict[str, Any] | None = None
        self.is_beside = False
        self.beside: set[str] = set()
        endless = any(dimension.is_endless for dimension in dimensions)
        self._left: Iterator[dict[str, Any]] = iter(()) if endless else configurations(dimensions, seed)
        oracle._max_collisions = _COLLISIONS_ENDLESS if endless else _COLLISIONS

    def encoded(self, configuration: dict[str, Any]) -> dict[str, Any]:
        """KerasTuner's form of a configuration."""
        return {key: encode(self.dimensions[key], value) for key, value in configuration.items()}

    def tried(self, values: dict[str, Any]) -> bool:
        """Whether a configuration, in KerasTuner's form, was tried."""
        oracle: Any = self
        return bool(oracle._duplicate(values))

    def next_trial(self, tuner_id: str) -> Any:
        """KerasTuner's next trial; None where there is none yet, or none any more."""
        oracle: Any = self
        found = oracle.create_trial(tuner_id)
        return found if found.status == TrialStatus.RUNNING else None

    def finish(self, trial: Any, score: float | None) -> None:
        """Ends a trial; without a score it has failed."""
        oracle: Any = self
        if score is not None:
            oracle.update_trial(trial.trial_id, {OBJECTIVE: score})
        trial.status = TrialStatus.FAILED if score is None else TrialStatus.COMPLETED
        oracle.end_trial(trial)

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """KerasTuner's question: the values of the next trial, and whether there is one."""
        if self.is_beside:
            self.beside.add(trial_id)
        if self.given is not None and not self.has_rungs:
            return {"status": TrialStatus.RUNNING, "values": self.given}
        return self.propose(trial_id)

    def propose(self, trial_id: str) -> dict[str, Any]:
        """The oracle's own choice."""
        parent: Any = super()
        found: dict[str, Any] = parent.populate_space(trial_id)
        return found

    def _random_values(self) -> dict[str, Any] | None:
        if self.given is not None:
            return dict(self.given)
        parent: Any = super()
        found: dict[str, Any] | None = parent._random_values()
        return found or next((values for values in map(self.encoded, self._left) if not self.tried(values)), None)

    def _record_values(self, trial: Any) -> None:
        parent: Any = super()
        if trial.trial_id in self.beside:
            trial.hyperparameters.ensure_active_values()
        else:
            parent._record_values(trial)

    def save(self) -> None:
        """The journal is what lasts."""

    def _save_trial(self, trial: Any) -> None:
        """The journal is what lasts."""

    def _check_consecutive_failures(self) -> None:
        """Failures are results; three of them in a row do not end a search."""
