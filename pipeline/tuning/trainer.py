"""Trains jobs: those of one structure at once, the others one after another; each of them alone if that fails."""

from __future__ import annotations

import gc
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.config import Config
from pipeline.context import Context
from pipeline.errors import PipelineError
from pipeline.model_steps import checkpoints_in, spec_of, train_once
from pipeline.training.population import Candidate, Lane, Population, group_key
from pipeline.training.search import Outcome
from pipeline.tuning.beginnings import Beginnings
from pipeline.tuning.jobs import Job, trainings_of
from pipeline.tuning.parts import Parts
from pipeline.tuning.prepared import Prepared
from pipeline.tuning.saved import lane_of, load, remove, save

# A population's weights, float32, at most; with what optimizers keep and gradients it takes four to six times as much.
_LARGEST_POPULATION = 64 << 20
# Of the orders of rows of all its trials: 8 bytes a row, of three epochs (see `pipeline.data.order`).
_LARGEST_ORDERS, _ORDER_BYTES = 2 << 30, 3 * 8
_MOST_TRIALS = 64
# Groups whose graphs are kept, in case that more of their trials are asked for.
_KEPT_GROUPS = 4


@dataclass
class Trainer:
    """Trains what is asked.

    Args:
      context: of the stage.
      prepared: the data of each fold, and of each way to prepare them.
      work: where populations are saved while they train; None: nowhere.
      on_progress: called now and then with how many epochs are done, of all jobs of this call.
      has_time: whether to go on.
    """

    context: Context
    prepared: Prepared
    work: Path | None = None
    on_progress: Callable[[float], None] = lambda epochs: None
    has_time: Callable[[], bool] = lambda: True
    _programs: OrderedDict[str, dict[Any, Any]] = field(default_factory=OrderedDict)
    _done: float = 0.0
    _beginnings: dict[Path, Beginnings] = field(default_factory=dict)
    _configs: dict[str, Config] = field(default_factory=dict)

    def train(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Outcome]]:
        """What came of each, as it becomes known. When there is no more time, jobs that had no epoch are left out."""
        self._done, self._beginnings, self._configs = 0.0, {}, {}
        parts = self._parts()
        known = parts.of(jobs)
        yield from self._ended(known)
        groups: dict[tuple[str | None, Path], list[tuple[Job, Candidate | None]]] = {}
        ended = {job.name for job, _ in known}
        for job in (job for job in jobs if job.name not in ended):
            candidate = self._candidate(job)
            if isinstance(candidate, Outcome):
                yield from self._ended([(job, candidate)])
                continue
            key = group_key(candidate)
            epochs = (job.asked.first_epoch, job.asked.epochs)
            own = groups.setdefault((key and f"{key}-{epochs}", self._context_of(job).inputs["prepare"]), [])
            own.append((job, candidate if key else None))
        for (key, _), group in groups.items():  # of one key on several data the graphs are the same
            size = 1 if key is None else self._size(group[0][1])
            for begin in range(0, len(group), size):
                if not self.has_time():  # a graph would be made in vain
                    return
                some = group[begin : begin + size]
                found = [(some[0][0], self._alone(some[0][0]))] if key is None else self._together(key, some)
                self._keep(parts, found)
                yield from self._ended(found)
                if self.work is not None:  # and not before: what was known, or failed at once, is not what was saved
                    remove(self.work / "population.state")
        parts.forget()

    def _parts(self) -> Parts:
        """What is known of trials that have several trainings."""
        several = trainings_of(self.context.config) > 1
        return Parts(self.work / "parts.json" if self.work is not None and several else None)

    def _keep(self, parts: Parts, found: list[tuple[Job, Outcome]]) -> None:
        if self.has_time():  # else they may have been cut short
            with self._telling("parts.json"):
                parts.keep(found)

    def _candidate(self, job: Job) -> Candidate | Outcome:
        """The training at its beginning, or why there is none."""
        try:
            found = self._context_of(job)
            data = found.inputs["prepare"]
            if data not in self._beginnings:
                self._beginnings[data] = Beginnings(found, spec_of(found))
            return self._beginnings[data].candidate(self._config_of(job))
        except Exception as error:
            return Outcome(None, _said(error))

    def _config_of(self, job: Job) -> Config:
        if job.name not in self._configs:  # to check one takes a millisecond or two
            self._configs[job.name] = job.config(self.context.config)
        return self._configs[job.name]

    def _context_of(self, job: Job) -> Context:
        return self.prepared.of(self._config_of(job), job.fold)

    def _size(self, candidate: Candidate | None) -> int:
        """Of a population of such candidates at most."""
        if self.context.config.tune.population != "auto":
            return self.context.config.tune.population
        if candidate is None:
            return _MOST_TRIALS
        by_weights = _LARGEST_POPULATION // max(candidate.num_weights, 1)
        by_rows = _LARGEST_ORDERS // (_ORDER_BYTES * candidate.feed.num_rows)
        return max(1, min(_MOST_TRIALS, by_weights, by_rows))

    def _together(self, key: str, group: Sequence[tuple[Job, Candidate | None]]) -> list[tuple[Job, Outcome]]:
        jobs, candidates = [job for job, _ in group], [candidate for _, candidate in group if candidate]
        try:
            lanes = self._population(key, jobs, candidates)
        except Exception as error:  # of which of them is not known: each shows its own
            self._programs.pop(key, None)
            said = f"{len(jobs)} trials cannot be trained at once, and are trained one by one: {_said(error)}"
            self.context.reporter.warn(said.splitlines()[0])
            return [(job, self._alone(job)) for job in jobs if self.has_time()]
        finally:
            gc.collect()  # models refer to themselves: 200 trials would leave 50 MiB of them to Python's own pace
        pairs = list(zip(jobs, lanes, strict=True))
        self._keep_rung(pairs)
        patience = self.context.config.tune.patience
        return [(job, _outcome(job, lane, patience)) for job, lane in pairs if lane.error or lane.history]

    def _population(self, key: str, jobs: list[Job], candidates: list[Candidate]) -> list[Lane]:
        from pipeline.data.input_pipeline import make_eval
        from pipeline.data.store import Store

        config, first = self.context.config, jobs[0]
        context = self._context_of(first)
        saved = self._saved(jobs)
        lanes = [
            lane_of(place, candidate, saved.get(job.name))
            for place, (job, candidate) in enumerate(zip(jobs, candidates, strict=True))
        ]
        population = Population(
            candidates,
            spec_of(context),
            make_eval(Store(context.inputs["prepare"] / "validation")),
            epochs=first.asked.epochs,
            total_epochs=self._config_of(first).train.max_epochs,
            patience=config.tune.patience,
            lanes=lanes,
            on_call=self._on_call(jobs),
            programs=self._programs.setdefault(key, {}),
            together=False if config.tune.population == 1 else None,
        )
        self._programs.move_to_end(key)
        while len(self._programs) > _KEPT_GROUPS:
            self._programs.popitem(last=False)
        return population.run()

    def _on_call(self, jobs: list[Job]) -> Callable[[Population], bool]:
        every = self.context.config.resume.checkpoint_seconds
        last = time.monotonic()

        def on_call(population: Population) -> bool:
            nonlocal last
            self.on_progress(self._done + population.num_epochs)
            if self.work is not None and every and time.monotonic() - last >= every:
                self._save(self.work / "population.state", zip(jobs, population.snapshot(), strict=True))
                last = time.monotonic()
            return self.has_time()

        return on_call

    def _saved(self, jobs: list[Job]) -> dict[str, dict[str, Any]]:
        """What jobs go on from: where they were when the search was killed, or where their parents ended."""
        if self.work is None:
            return {}
        found = load(self.work / "population.state", self.context.fingerprint)
        for job in jobs:
            if job.asked.parent is not None and job.name not in found:
                for parent in load(self._rung(job.name_of(job.asked.parent)), self.context.fingerprint).values():
                    found[job.name] = parent
        return found

    def _keep_rung(self, pairs: list[tuple[Job, Lane]]) -> None:
        """Saves what a higher rung may go on from."""
        for job, lane in pairs:
            if job.asked.epochs < (self._config_of(job).train.max_epochs or 0) and lane.error is None:
                self._save(self._rung(job.name), [(job, lane)])

    def _rung(self, name: str) -> Path:
        return (self.work or Path()) / "rungs" / f"{name}.state"

    def _save(self, path: Path, pairs: Any) -> None:
        with self._telling(path.name):
            save(path, {job.name: lane for job, lane in pairs}, self.context.fingerprint)

    @contextmanager
    def _telling(self, name: str) -> Iterator[None]:
        """What cannot be saved is lost in a kill, and no reason to stop."""
        try:
            yield
        except OSError as error:
            where = (self.work or Path()) / name
            self.context.reporter.warn(f"{where} cannot be written: {error.strerror or error}. Tuning goes on.")

    def _ended(self, found: list[tuple[Job, Outcome]]) -> Iterator[tuple[Job, Outcome]]:
        self._done += sum(job.asked.epochs for job, _ in found)
        self.on_progress(self._done)
        yield from found

    def _alone(self, job: Job) -> Outcome:
        """By `training.fit`."""
        started = time.perf_counter()
        losses: list[float] = []

        def on_epoch(history: Any) -> None:
            losses[:] = history.val_loss
            self.on_progress(self._done + len(losses))
            if len(losses) >= job.asked.epochs or not self.has_time():
                raise _IsEnough

        error, cut = None, False
        try:
            config = self._config_of(job)
            context = self._context_of(job)
            checkpoint = self.work and checkpoints_in(context, self.work / f"alone-{job.name}", job.name)
            train_once(context, config, spec_of(context), on_epoch, checkpoint)
        except _IsEnough:
            cut = len(losses) < job.asked.epochs
        except Exception as raised:
            error = _said(raised)
        score = min(losses) if losses and error is None else None
        return Outcome(score, error, tuple(losses), time.perf_counter() - started, "alone", cut)


class _IsEnough(Exception):
    """The epochs of this rung are done, or the time is over."""


def _outcome(job: Job, lane: Lane, patience: int) -> Outcome:
    how = "alone" if lane.together == 1 else f"population of {lane.together}"
    cut = len(lane.history) < job.asked.epochs and not lane.is_over(patience)
    return Outcome(lane.score, lane.error, tuple(lane.history), lane.seconds, how, cut)


def _said(error: Exception) -> str:
    """What an error says; of one that is not ours its type, too."""
    return str(error) if isinstance(error, PipelineError) else f"{type(error).__name__}: {error}"
