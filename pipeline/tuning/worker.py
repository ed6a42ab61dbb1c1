"""A worker of a search: asks a chief for trials, trains them as one process does, and tells what came of each.

A worker of this machine is `python -m pipeline.tuning.worker JOB NAME`, started by `pipeline.tuning.local_workers`; of
another one it is `pipeline tune CONFIG --worker HOST:PORT`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.config import Config, parse
from pipeline.context import Context
from pipeline.errors import PipelineError
from pipeline.progress import Reporter
from pipeline.runs import Run, read_json
from pipeline.tensorflow_import import import_tensorflow
from pipeline.tuning import PREPARED
from pipeline.tuning.address import Address

# That a chief may be away: it may be started again, which takes as long as TensorFlow does, or later than its workers.
PATIENCE_SECONDS = 120.0
_BEAT_SECONDS, _IDLE_SECONDS = 1.0, 0.5


def work(
    config: Config,
    prepared: Path,
    run_directory: Path,
    address: Address,
    reporter: Reporter,
    *,
    name: str | None = None,
    patience: float = PATIENCE_SECONDS,
) -> int:
    """Trains what the chief asks, until it has no more.

    Args:
      config: that of the chief; only those keys may differ that change no trial.
      prepared: the artifact of the stage `prepare`.
      run_directory: of the run; how far trainings have come is saved below it.
      address: of the chief.
      reporter: for progress.
      name: of this worker, unlike that of any other; None: host and process.
      patience: seconds that the chief may be away.

    Returns:
      Trials that were trained.

    Raises:
      ConfigError: the chief searches something else.
      TuningError: the chief cannot be reached.
    """
    import_tensorflow()
    from pipeline.model_steps import space_of, spec_of
    from pipeline.tuning import arenas
    from pipeline.tuning.agreement import agreement, check_agreement
    from pipeline.tuning.journals import header_of
    from pipeline.tuning.messages import content_of
    from pipeline.tuning.service import Client

    arenas.as_few_as_cores()
    name = name or f"{socket.gethostname()}-{os.getpid()}"
    with contextlib.closing(Client(address, name, patience)) as client:
        about = content_of(client.get_space())
        context = Context(config, {"prepare": prepared}, Path(), about["fingerprint"], reporter, run_directory)
        spec = spec_of(context)
        check_agreement(
            agreement(context, header_of(context, space_of(config, spec))), about["agreement"], str(address)
        )
        with _folder(context, name) as folder:
            return _Worker(context, folder, client).work()


@dataclass
class _Worker:
    context: Context
    folder: Path
    client: Any

    def work(self) -> int:
        """One lease after another; how many trials they had."""
        from pipeline.tuning.prepared import Prepared
        from pipeline.tuning.trainer import Trainer

        trainer, count = Trainer(self.context, Prepared(self.context), self.folder), 0
        while True:
            lease = self.client.create_trial(self.client.tuner_id)
            if lease.status == "STOPPED":
                return count
            if lease.status == "IDLE":  # of a search by rungs, or of the last trials, which others train
                time.sleep(_IDLE_SECONDS)
            else:
                count += self._train(lease, trainer)

    def _train(self, lease: Any, trainer: Any) -> int:
        from pipeline.tuning.jobs import jobs_of, merged, trainings_of
        from pipeline.tuning.messages import answer_of, asked_of

        asked, config = asked_of(lease), self.context.config
        self.context.reporter.note(f"trains {_numbers([one.number for one in asked])}")
        self._borrow_rungs([one.parent for one in asked if one.parent is not None])
        with _beating(self.client, lease.trial_id) as beats:
            trainer.on_progress, trainer.has_time = beats.progress, beats.may_go_on
            for one, outcome in merged(trainer.train(jobs_of(asked, config)), trainings_of(config)):
                self.client.end_trial(answer_of(lease.trial_id, one.number, outcome))
        return len(asked)

    def _borrow_rungs(self, parents: list[int]) -> None:
        """What a higher rung goes on from, where another worker of this disk has it; else it begins again."""
        own = self.folder / "rungs"
        for parent in parents:
            for found in self.folder.parent.rglob(f"rungs/{parent}-*.state"):
                own.mkdir(exist_ok=True)
                with contextlib.suppress(OSError):  # it is there
                    (own / found.name).symlink_to(found)


@dataclass
class _Beats:
    """Signs of life while a lease is trained.

    Attributes:
      send: the call: epochs that are done -> whether to go on.
      failure: why no sign of life arrives any more.
    """

    send: Callable[[float], bool]
    failure: PipelineError | None = None
    _done: float = 0.0
    _stopped: threading.Event = field(default_factory=threading.Event)
    _ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """In a thread of its own."""
        while not self._ended.wait(_BEAT_SECONDS):
            try:
                if not self.send(self._done):
                    self._stopped.set()
            except PipelineError as error:
                self.failure = error
                self._stopped.set()
                return

    def progress(self, done: float) -> None:
        """So many epochs of the lease are done."""
        self._done = done

    def may_go_on(self) -> bool:
        """Whether the chief waits for this lease."""
        return not self._stopped.is_set()

    def end(self) -> None:
        """The lease is over."""
        self._ended.set()


@contextlib.contextmanager
def _beating(client: Any, lease: str) -> Iterator[_Beats]:
    beats = _Beats(lambda done: client.update_trial(lease, {"epochs": done}).status != "STOPPED")
    thread = threading.Thread(target=beats.run, daemon=True)
    thread.start()
    try:
        yield beats
    finally:
        beats.end()
        if beats.failure is None:
            thread.join()
    if beats.failure is not None:
        raise beats.failure


@contextlib.contextmanager
def _folder(context: Context, name: str) -> Iterator[Path]:
    """Where a worker saves how far it has come: beside the chief's journal, if that is on this disk."""
    shared = Run(context.run_directory).checkpoints("tune", context.fingerprint)
    folder = shared / f"worker-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if {found.name for found in shared.glob("*")} == {PREPARED}:  # the last one here, and of a chief elsewhere
            shutil.rmtree(shared / PREPARED, ignore_errors=True)
        for empty in (shared, shared.parent):
            with contextlib.suppress(OSError):  # not empty: a chief or other workers have theirs there
                empty.rmdir()


def _numbers(numbers: list[int]) -> str:
    """`trial 3`, or `trials 0, 1, 2`."""
    return f"trial{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"


def main(job: Path, name: str) -> None:
    """A worker of this machine.

    Args:
      job: JSON with config, prepared, run_directory, host, port and threads.
      name: of this worker.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of Ctrl-C hears every process of a terminal; the chief acts on it
    threading.Thread(target=_end_with_chief, daemon=True).start()
    given = read_json(job)
    import_tensorflow()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(given["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(given["threads"])
    config = parse(given["config"], origin=str(job))
    folders = Path(given["prepared"]), Path(given["run_directory"])
    work(config, *folders, Address(given["host"], given["port"]), Reporter(quiet=True), name=name)


def _end_with_chief() -> None:
    """Standard input is a pipe that the chief holds: it ends when the chief does, however that is."""
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), sys.argv[2])
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
