"""A search by several processes: of this machine, which are started here, or of others, which come by themselves."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.context import Context
from pipeline.errors import TuningError
from pipeline.runs import write_json
from pipeline.training.search import Search
from pipeline.tuning.address import Address, listening
from pipeline.tuning.agreement import agreement
from pipeline.tuning.bar import Progress
from pipeline.tuning.chief import LEASE_SECONDS, Chief
from pipeline.tuning.clock import Clock
from pipeline.tuning.finalists import number_of_finalists
from pipeline.tuning.jobs import most_at_once, trainings_of
from pipeline.tuning.journals import header_of
from pipeline.tuning.service import serving

_PAUSE_SECONDS = 0.1
# Per worker: processes that die with no answer in between, until the search ends. More than one trial may cost.
_DEATHS_IN_A_ROW = 6
# That workers of other machines have to hear that a search is over.
_FAREWELL_SECONDS = 5.0
# Of what a process said before it died.
_LAST_CHARACTERS = 1500


def run_search(
    context: Context,
    space: dict[str, Any],
    work: Path,
    search: Search,
    clock: Clock,
    *,
    lease_seconds: float = LEASE_SECONDS,
) -> None:
    """Until the search is over, or the time is; this process only hands out the trials.

    Args:
      context: of the stage.
      space: that is searched.
      work: where workers of this machine save how far they have come.
      search: with its journal.
      clock: of the search.
      lease_seconds: that a worker may be silent before its trials are given to others.

    Raises:
      TuningError: the address is taken, or the workers of this machine die one after another.
      OSError: the journal cannot be written.
    """
    config, address = context.config, listening()
    chief = Chief(
        search,
        {"fingerprint": context.fingerprint, "agreement": agreement(context, header_of(context, space))},
        lambda: clock.has_time_for_trials(number_of_finalists(config) > 0),
        lambda workers: most_at_once(config, workers),
        expected=config.tune.workers,
        trainings=trainings_of(config),
        lease_seconds=lease_seconds,
    )
    if chief.is_done:
        return
    with serving(chief, address or Address("127.0.0.1", 0)) as found:
        if address is None:
            with _crew(context, work, chief, found) as crew:
                _wait(context, chief, crew)
        else:
            context.reporter.note(f"listens at {found}; its workers: pipeline tune CONFIG --worker HOST:{found.port}")
            _wait(context, chief, None)
            _say_farewell(chief)


def _wait(context: Context, chief: Chief, crew: Crew | None) -> None:
    with context.reporter.bar("trials", context.config.tune.trials) as advance:
        progress = Progress(chief.search, advance)
        while not chief.is_done:
            time.sleep(_PAUSE_SECONDS)
            if crew is not None:
                crew.look_after()
            chief.expire()
            _report(context, chief, is_local=crew is not None)
            if chief.failure is not None:
                raise chief.failure
            progress.show(chief.progress)
    _report(context, chief, is_local=crew is not None)


def _report(context: Context, chief: Chief, *, is_local: bool) -> None:
    while chief.warnings:
        context.reporter.warn(chief.warnings.popleft())
    while chief.notes:
        note = chief.notes.popleft()
        if not is_local:  # those of this machine come and go unnoticed
            context.reporter.note(note)


def _say_farewell(chief: Chief) -> None:
    """Lets workers hear that the search is over; else they would look for their chief."""
    until = time.monotonic() + _FAREWELL_SECONDS
    while chief.workers and time.monotonic() < until:
        time.sleep(_PAUSE_SECONDS)


@dataclass
class Crew:
    """The workers of this machine: started, and started again when they die.

    Args:
      chief: what they work for.
      job: the file that says what they need to know.
      count: of them.
    """

    chief: Chief
    job: Path
    count: int
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _deaths: int = 0
    _answers: int = 0

    def start(self) -> None:
        """All of them."""
        for place in range(self.count):
            self._start(str(place))

    def look_after(self) -> None:
        """Gives back what the dead held, and starts others in their place.

        Raises:
          TuningError: they die one after another; with the end of what one of them said.
        """
        if self.chief.num_answers > self._answers:
            self._answers, self._deaths = self.chief.num_answers, 0
        for name, process in list(self._processes.items()):
            code = process.poll()
            if code is None:
                continue
            self._processes.pop(name).communicate()
            if code == 0:  # sent home
                continue
            self.chief.died(name, _how_it_ended(code))
            self._deaths += 1
            if self._deaths >= _DEATHS_IN_A_ROW * self.count:
                raise self._keep_dying(name, code)
            if not self.chief.is_over:
                self._start(name)

    def stop(self) -> None:
        """Ends all of them; what they save is whole or not there."""
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.communicate()

    def _start(self, name: str) -> None:
        with self._log(name).open("wb") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "pipeline.tuning.worker", str(self.job), name],
                stdin=subprocess.PIPE,  # never written to, see `pipeline.tuning.worker`
                stdout=log,
                stderr=log,
                env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
            )

    def _log(self, name: str) -> Path:
        return self.job.with_name(f"worker-{name}.log")

    def _keep_dying(self, name: str, code: int) -> TuningError:
        said = self._log(name).read_bytes()[-_LAST_CHARACTERS:].decode(errors="replace").strip()
        return TuningError(
            f"The workers keep dying: {self._deaths} of them without a single trial in between. The last one "
            f"{_how_it_ended(code)}{f', and said: {said}' if said else ''}",
            expected="workers that train",
            fix="Mend the cause, or try with one process: tune.workers = 1. Trials that are done are kept.",
        )


@contextmanager
def _crew(context: Context, work: Path, chief: Chief, address: Address) -> Iterator[Crew]:
    config = context.config
    job = work / "workers.json"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    write_json(
        job,
        {
            "config": config.model_dump(mode="json"),
            "prepared": str(context.inputs["prepare"]),
            "run_directory": str(context.run_directory),
            "host": address.host,
            "port": address.port,
            "threads": max(1, cores // config.tune.workers),
        },
    )
    crew = Crew(chief, job, config.tune.workers)
    try:
        crew.start()
        yield crew
    finally:
        with contextlib.suppress(KeyboardInterrupt):  # the first one ends it already
            crew.stop()


def _how_it_ended(code: int) -> str:
    """Of a process, by its exit code."""
    if code == -9:
        return "was killed (signal 9; the system does that where memory runs out)"
    return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
