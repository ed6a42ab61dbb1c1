"""The search for hyperparameters: asked what to try, told what came of it, several trials at a time."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from pipeline.errors import TuningError
from pipeline.training.search.conditions import read_space
from pipeline.training.search.configurations import all_within
from pipeline.training.search.dimensions import EPOCHS, is_same
from pipeline.training.search.journal import Journal
from pipeline.training.search.space import decode, first_configuration, is_own, to_hyperparameters
from pipeline.training.search.trials import Asked, Outcome, Trial

ALGORITHMS = ("random", "grid", "bayesian", "hyperband")


class Search:
    """KerasTuner's oracles behind a journal.

    The same seed and the same tells between the same asks give the same trials. Random and grid searches do not look
    at results, so their trials depend on nothing but the seed. No configuration is tried twice; a space of no more
    configurations than `trials` is tried whole (by Hyperband as far as its brackets go).

    Args:
      space: of the config, see `to_hyperparameters`.
      start: key -> the config's own value; the first trial is these, in the space or not, except for a grid.
      algorithm: random, grid, bayesian or hyperband (Li et al. 2018, factor 3: a trial that goes on in a higher rung
        is a new trial with a parent).
      trials: at most so many; a small space may hold fewer.
      epochs: that a trial trains at most, unless the space says it.
      seed: of the search; 0 is one, too.
      journal: what it holds is asked and told again, and the search goes on from there. None: nothing is kept.

    Raises:
      ConfigError: see `read_space`.
      TuningError: the journal's lines contradict one another, or are not what this search asks.

    Example:
      >>> space = {"model.depth": [1, 2, 3]}
      >>> search = Search(space, start={"model.depth": 2}, algorithm="random", trials=3, epochs=5, seed=0)
      >>> while not search.is_over:
      ...     for asked in search.ask(2):
      ...         search.tell(asked.number, Outcome(score=1.0 / asked.overrides["model.depth"]))
      >>> min(search.trials, key=lambda trial: trial.score).asked.overrides
      {'model.depth': 3}
    """

    def __init__(
        self,
        space: dict[str, Any],
        *,
        start: dict[str, Any],
        algorithm: str,
        trials: int,
        epochs: int,
        seed: int,
        journal: Journal | None = None,
    ) -> None:
        from pipeline.training.search.oracles import make_oracle

        self._algorithm, self._epochs, self._seed, self._trials = algorithm, epochs, seed, trials
        self._dimensions = read_space(space)
        hyperparameters = to_hyperparameters(space, start)
        self._defaults = dict(hyperparameters.values)
        self._first = first_configuration(self._dimensions, start)
        self._oracle = make_oracle(algorithm, hyperparameters, self._dimensions, epochs=epochs, seed=seed)
        self._asked: dict[int, Asked] = {}
        self._outcomes: dict[int, Outcome] = {}
        self._in_oracle: dict[int, Any] = {}
        self._number_of: dict[str, int] = {}
        self._given_back: set[int] = set()
        self._is_waiting = self._is_exhausted = False
        self._not_written: dict[str, Any] | None = None
        self._find_whole()
        self._journal = None
        if journal is not None:
            self._replay(journal)
        self._journal = journal

    @property
    def trials(self) -> list[Trial]:
        """Those that are finished, by number."""
        return [Trial(self._asked[number], self._outcomes[number]) for number in sorted(self._outcomes)]

    @property
    def running(self) -> list[Asked]:
        """Those that nothing was told of, by number; those that were given back are among them."""
        return [asked for number, asked in self._asked.items() if number not in self._outcomes]

    @property
    def is_over(self) -> bool:
        """Whether nothing runs and nothing is left to try, as far as `ask` has found."""
        return not self.running and (self._is_exhausted or len(self._asked) >= self._most)

    def ask(self, limit: int) -> list[Asked]:
        """What to train next, at the same time.

        Args:
          limit: at most so many.

        Returns:
          First, and alone, what ran when the process was killed or was given back, by number; then new trials. Empty
          where it must first be told of those that run, or is over.

        Raises:
          OSError: the journal cannot be written; the next ask gives the same trials.
        """
        self._write_asked()
        if again := sorted(self._given_back)[: max(limit, 0)]:
            self._given_back.difference_update(again)
            return [self._asked[number] for number in again]
        if limit < 1 or self._is_waiting or self._is_exhausted or len(self._asked) >= self._most:
            return []
        return self._ask(limit)

    def tell(self, number: int, outcome: Outcome) -> None:
        """What came of a trial. A score that is not finite is a failure.

        Args:
          number: of a trial that runs.
          outcome: of it.

        Raises:
          ValueError: that trial does not run.
          OSError: the journal cannot be written; nothing was told then.
        """
        if number not in self._asked or number in self._outcomes:
            raise ValueError(f"trial {number} does not run")
        if outcome.score is not None and not math.isfinite(outcome.score):
            error = outcome.error or f"the validation loss is {outcome.score}"
            outcome = dataclasses.replace(outcome, score=None, error=error)
        self._write_asked()
        if self._journal is not None:
            self._journal.append({"told": number, "outcome": dataclasses.asdict(outcome)})
        self._tell(number, outcome)

    def give_back(self, number: int) -> None:
        """The worker of a trial is gone: the next `ask` gives this trial again.

        Raises:
          ValueError: that trial does not run.
        """
        if number not in self._asked or number in self._outcomes:
            raise ValueError(f"trial {number} does not run")
        self._given_back.add(number)

    def _ask(self, limit: int) -> list[Asked]:
        new = self._draw(limit)
        rows = [dataclasses.asdict(asked) for asked in new]
        self._not_written = {"asked": rows, "limit": limit, "trials": self._trials}
        try:
            self._write_asked()
        except OSError:
            self._given_back.update(asked.number for asked in new)
            raise
        return new

    def _write_asked(self) -> None:
        """The oracle cannot take back what it was asked, so a line that a full disk refused is written later."""
        if self._not_written is not None and self._journal is not None:
            self._journal.append(self._not_written)
        self._not_written = None

    def _draw(self, limit: int, recorded: list[dict[str, Any]] | None = None) -> list[Asked]:
        """New trials. One line of the journal has all of them, so that a kill cannot come between."""
        new: list[Asked] = []
        while len(new) < limit and len(self._asked) < self._most:
            known = recorded[len(new)]["overrides"] if recorded and len(new) < len(recorded) else None
            asked = self._next(known)
            if asked is None:
                break
            new.append(asked)
        return new

    def _next(self, recorded: dict[str, Any] | None) -> Asked | None:
        """The next trial; None where there is none yet, or none any more."""
        oracle, number = self._oracle, len(self._asked)
        own = number == 0 and self._algorithm != "grid"
        oracle.given = self._defaults if own else self._next_of_whole()
        oracle.recorded = None if recorded is None else oracle.encoded(recorded)
        oracle.is_beside = own and not self._start_is_in_space()
        trial = oracle.next_trial(str(number))
        if trial is None:
            self._is_waiting = bool(self.running)
            self._is_exhausted = not self._is_waiting
            return None
        asked = self._to_asked(number, trial.hyperparameters.values)
        self._asked[number], self._in_oracle[number] = asked, trial
        self._number_of[trial.trial_id] = number
        return asked

    def _to_asked(self, number: int, values: dict[str, Any]) -> Asked:
        if self._algorithm != "hyperband":
            chosen = self._first if number == 0 and self._algorithm != "grid" else decode(values)
            return Asked(number, chosen, chosen.get(EPOCHS, self._epochs))
        parent = self._number_of[values["tuner/trial_id"]] if values.get("tuner/trial_id") else None
        chosen = self._asked[parent].overrides if parent is not None else decode(values) if number else self._first
        first = None if parent is None else self._asked[parent].line
        return Asked(number, chosen, values["tuner/epochs"], values["tuner/initial_epoch"], parent, first)

    def _tell(self, number: int, outcome: Outcome) -> None:
        self._oracle.finish(self._in_oracle.pop(number), outcome.score)
        self._outcomes[number] = outcome
        self._given_back.discard(number)
        self._is_waiting = False

    def _start_is_in_space(self) -> bool:
        values = decode(self._defaults)
        return values.keys() == self._first.keys() and all(is_own(values[key], self._first[key]) for key in values)

    def _find_whole(self) -> None:
        """Every configuration, where all can be tried, and how many trials there are then to be.

        Hyperband's trials are more than its configurations.
        """
        whole = None if self._algorithm == "hyperband" else all_within(self._dimensions, self._trials, self._seed)
        self._whole = None if whole is None else iter(whole)
        left = sum(not self._oracle.tried(self._oracle.encoded(values)) for values in whole or ())
        own = not self._asked and self._algorithm != "grid" and not self._start_is_in_space()
        self._most = self._trials if whole is None else min(self._trials, len(self._asked) + left + own)

    def _next_of_whole(self) -> dict[str, Any] | None:
        """The next that was not tried: `_most` knows that there is one. None where the oracle chooses."""
        if self._whole is None:
            return None
        return next(one for one in map(self._oracle.encoded, self._whole) if not self._oracle.tried(one))

    def _replay(self, journal: Journal) -> None:
        """Asks and tells again what the journal has."""
        wanted = self._trials
        for line, record in journal.records:
            try:
                self._replay_record(record)
            except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
                raise journal.damaged(line, f"it does not follow from those before it ({error})") from error
            except TuningError as error:
                raise journal.damaged(line, error.message) from None
        self._set_trials(wanted)
        self._given_back = {asked.number for asked in self.running}

    def _replay_record(self, record: dict[str, Any]) -> None:
        if "told" in record:
            outcome = record["outcome"]
            self.tell(record["told"], Outcome(**{**outcome, "history": tuple(outcome["history"])}))
            return
        self._set_trials(record["trials"])
        rows = [Asked(**row) for row in record["asked"]]
        for asked, row in zip(found := self._draw(record["limit"], record["asked"]), rows, strict=False):
            if not _agree(asked, row):
                raise TuningError(f"trial {asked.number} was {row.overrides}, and this search asks {asked.overrides}")
            # The journal's own numbers: those of another machine may differ in their last digit.
            self._asked[row.number] = row
        if len(found) != len(rows):
            raise TuningError(f"{len(rows)} trials were asked for, and this search has {len(found)}")

    def _set_trials(self, trials: int) -> None:
        if trials != self._trials:
            self._trials, self._is_exhausted = trials, False
            self._find_whole()


def _agree(asked: Asked, row: Asked) -> bool:
    """Whether two trials are one, but for the rounding of the machines that they were asked on."""
    rest = dataclasses.replace(asked, overrides=row.overrides) == row
    return (
        rest
        and asked.overrides.keys() == row.overrides.keys()
        and all(
            is_same(value, row.overrides[key])
            or (isinstance(value, float) and math.isclose(value, row.overrides[key], rel_tol=1e-9))
            for key, value in asked.overrides.items()
        )
    )
