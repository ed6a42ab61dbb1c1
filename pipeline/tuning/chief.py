"""The chief of a search: an oracle for KerasTuner's service that hands a search's trials to workers, on lease.

A worker that is silent for longer than its lease loses its trials: they are asked for again. It may answer all the
same, if it was only cut off: the first answer counts, since all of them are equal.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from keras_tuner.engine.trial import TrialStatus

from pipeline.training.search import Asked, Outcome, Search
from pipeline.tuning.jobs import failure
from pipeline.tuning.messages import hyperparameters_of, lease_of, outcome_of, status_of

LEASE_SECONDS = 30.0
# A trial that took so many processes with it is trained alone, and then not any more. Chance kills some, too.
_DEATHS_UNTIL_ALONE, _DEATHS_UNTIL_FAILED = 2, 5


@dataclass
class Lease:
    """Trials that a worker trains.

    Attributes:
      worker: its name.
      asked: number -> the trial, of those that it has not answered.
      count: of trials at the beginning.
      epochs: that all of them take.
      done: of these epochs, as the worker says.
    """

    worker: str
    asked: dict[int, Asked]
    count: int
    epochs: float
    done: float = 0.0

    @property
    def part(self) -> float:
        """Trials' worth of epochs that were trained and not answered."""
        answered = self.count - len(self.asked)
        return min(max(self.done / self.epochs * self.count - answered, 0.0), float(len(self.asked)))


@dataclass
class Chief:
    """What `keras_tuner`'s `OracleServicer` asks, in several threads.

    Args:
      search: what to try; its journal is the chief's only memory.
      about: what a worker must know before it begins.
      has_time: whether to go on.
      at_once: workers -> trials that may be asked for at once.
      expected: workers; trials are divided among so many, or those that came if they are more.
      trainings: of a trial.
      lease_seconds: that a worker may be silent.
    """

    search: Search
    about: dict[str, Any]
    has_time: Callable[[], bool]
    at_once: Callable[[int], int]
    expected: int = 1
    trainings: int = 1
    lease_seconds: float = LEASE_SECONDS
    failure: Exception | None = None
    num_answers: int = 0
    notes: deque[str] = field(default_factory=deque)
    warnings: deque[str] = field(default_factory=deque)
    _leases: dict[str, Lease] = field(default_factory=dict)
    _heard: dict[str, float] = field(default_factory=dict)
    _pool: list[Asked] = field(default_factory=list)
    _share: int = 1
    _deaths: Counter[int] = field(default_factory=Counter)
    _num_leases: int = 0
    _lock: Any = field(default_factory=threading.RLock)

    @property
    def is_over(self) -> bool:
        """Whether nothing more is handed out."""
        return self.failure is not None or self.search.is_over or not self.has_time()

    @property
    def is_done(self) -> bool:
        """Whether, besides, nobody trains any more."""
        with self._lock:
            return self.search.is_over or (self.is_over and not self._leases)

    @property
    def progress(self) -> float:
        """Trials that are done, parts of those that are trained among them."""
        with self._lock:
            return len(self.search.trials) + sum(lease.part for lease in self._leases.values())

    @property
    def workers(self) -> list[str]:
        """Those that were heard of and not yet sent home."""
        with self._lock:
            return list(self._heard)

    def get_space(self) -> Any:
        """The service's question before all others: what is this search? See `pipeline.tuning.agreement`."""
        return hyperparameters_of(self.about)

    def create_trial(self, worker: str) -> Any:
        """The service's question: what shall this worker train? Whatever it still holds it will not answer."""
        with self._guard():
            self._hear(worker)
            self._release(worker)
            if not self.is_over and (asked := self._next()):
                return self._lease(worker, asked)
            if not self.is_over:
                return status_of(worker, TrialStatus.IDLE)
            self._heard.pop(worker)
            return status_of(worker, TrialStatus.STOPPED)

    def update_trial(self, name: str, metrics: Any, step: int = 0) -> Any:
        """A worker's sign of life: how many epochs of a lease it has trained."""
        with self._guard():
            self._hear(_worker_of(name))
            if name in self._leases:
                self._leases[name].done = dict(metrics).get("epochs", 0.0)
            return status_of(name, TrialStatus.STOPPED if self.is_over else TrialStatus.RUNNING)

    def end_trial(self, trial: Any) -> None:
        """A worker's answer. The second one of a trial is dropped."""
        with self._guard():
            number, outcome = outcome_of(trial)
            self._hear(_worker_of(trial.trial_id))
            if any(asked.number == number for asked in self.search.running):
                self._tell(number, outcome)
                self.num_answers += 1

    def expire(self) -> None:
        """Takes the trials of workers that were silent for too long."""
        with self._lock:
            now = time.monotonic()
            silent = [worker for worker, last in self._heard.items() if now - last > self.lease_seconds]
            for worker in silent:
                self._lose(worker, f"was silent for {self.lease_seconds:g} s")

    def died(self, worker: str, why: str) -> None:
        """A worker's process has ended. A trial that does that to several is a failed one."""
        with self._guard():
            numbers = [number for lease in self._leases.values() if lease.worker == worker for number in lease.asked]
            self._lose(worker, why)
            self._deaths.update(numbers)
            for number in numbers:
                if self._deaths[number] >= _DEATHS_UNTIL_FAILED:
                    self._tell(number, Outcome(None, f"its process died {self._deaths[number]} times: it {why}"))

    def _lose(self, worker: str, why: str) -> None:
        self._heard.pop(worker, None)
        if count := self._release(worker):
            held = "trial is" if count == 1 else f"{count} trials are"
            self.warnings.append(f"worker {worker} {why}; its {held} given to others")
        else:
            self.notes.append(f"worker {worker} {why}")

    def _hear(self, worker: str) -> None:
        if worker not in self._heard:
            self.notes.append(f"worker {worker} has come")
        self._heard[worker] = time.monotonic()

    def _lease(self, worker: str, asked: list[Asked]) -> Any:
        name = f"{worker}/{self._num_leases}"
        epochs = self.trainings * sum(one.epochs for one in asked)
        self._num_leases += 1
        self._leases[name] = Lease(worker, {one.number: one for one in asked}, len(asked), epochs)
        return lease_of(name, asked)

    def _next(self) -> list[Asked]:
        """The share of one worker. A few trials are divided, too: all at once is not sooner where cores are idle."""
        if not self._pool:
            workers = max(self.expected, len(self._heard))
            self._pool = self.search.ask(self.at_once(workers))
            self._share = -(-len(self._pool) // workers)
        alone = self._pool and self._deaths[self._pool[0].number] >= _DEATHS_UNTIL_ALONE
        share = 1 if alone else self._share
        taken, self._pool = self._pool[:share], self._pool[share:]
        return taken

    def _release(self, worker: str) -> int:
        """Gives back what a worker holds; returns how many trials that are."""
        count = 0
        for name in [name for name, lease in self._leases.items() if lease.worker == worker]:
            for number in self._leases.pop(name).asked:
                self.search.give_back(number)
                count += 1
        return count

    def _tell(self, number: int, outcome: Outcome) -> None:
        self.search.tell(number, outcome)
        self._pool = [asked for asked in self._pool if asked.number != number]
        for name, lease in list(self._leases.items()):
            if lease.asked.pop(number, None) and not lease.asked:
                del self._leases[name]
        if outcome.error:
            self.warnings.append(failure(number, outcome))

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """One at a time; an error, such as a full disk, ends the search and not only one answer."""
        with self._lock:
            try:
                yield
            except Exception as error:
                self.failure = self.failure or error
                raise


def _worker_of(lease: str) -> str:
    return lease.rpartition("/")[0]
