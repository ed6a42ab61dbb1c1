"""Checkpoints of a training: how often, where, and which one to go on from; written while the training goes on.

The newest one and the one before it are kept, so that whatever happens to the newest, little is lost. (Keras'
BackupAndRestore overwrites its files in place, and knows neither the state of dropout nor that of the batches.)
"""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pipeline.training.checkpoint_file import Snapshot, read, remove_litter, unlink, write

_ENDING = ".checkpoint"
_KEPT = 2


def _warn(text: str) -> None:
    warnings.warn(text, RuntimeWarning, stacklevel=2)


@dataclass(frozen=True)
class Checkpoints:
    """Where and how often a training is saved, so that after a kill it goes on, and ends with the same bits.

    A training that begins with checkpoints of its own in `directory` goes on from the newest one that is whole.
    Checkpoints of other trainings are neither used nor touched.

    Args:
      directory: made if need be; for one process at a time.
      every_seconds: between two checkpoints, at least; None: only by steps.
      every_steps: a checkpoint after every so many steps, too; None: only by seconds.
      fingerprint: of what is trained and cannot be seen from the model, the optimizer and the batches, such as the
        data.
      note, warn: what to do with a line for people; by default none, and Python's warnings.

    Example:
      >>> import tempfile
      >>> checkpoints = Checkpoints(tempfile.mkdtemp(), every_seconds=10.0)
      >>> checkpoints.clear(); list(Path(checkpoints.directory).glob("*"))
      []
    """

    directory: str | Path
    every_seconds: float | None = 30.0
    every_steps: int | None = None
    fingerprint: str = ""
    note: Callable[[str], None] = lambda text: None
    warn: Callable[[str], None] = _warn

    def clear(self) -> None:
        """Removes all checkpoints, also those of other trainings: for when what was trained is safe elsewhere."""
        remove_litter(Path(self.directory))
        unlink(_of_all(Path(self.directory)))


class Writer:
    """Saves snapshots in a thread, one at a time; used in a `with`, which ends when the last one is on disk.

    A snapshot that cannot be written is warned of, and the training goes on.

    Args:
      checkpoints: where and how often.
      fingerprint: 16 hexadecimal digits, of all that is trained.
    """

    def __init__(self, checkpoints: Checkpoints, fingerprint: str) -> None:
        self._checkpoints, self._fingerprint = checkpoints, fingerprint
        self._directory = Path(checkpoints.directory)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[str | None] | None = None
        self._failing, self._saved_at, self._saved_step = False, time.monotonic(), 0

    def newest(self) -> Snapshot | None:
        """The newest whole snapshot of this training; what is not whole is warned of. None: there is none."""
        if strangers := [path for path in _of_all(self._directory) if path not in self._own()]:
            self._checkpoints.warn(
                f"{self._directory} holds checkpoints of another training ({strangers[0].name}); they are not used."
            )
        own = sorted(self._own(), reverse=True)
        for place, path in enumerate(own):
            try:
                found = read(path, self._fingerprint)
            except (OSError, ValueError) as error:
                after = "The one before it is tried." if place + 1 < len(own) else "Training begins anew."
                self._checkpoints.warn(f"The checkpoint {path} cannot be used: {error}. {after}")
                continue
            self._saved_step = found.step
            return found
        return None

    def due(self, step: int) -> bool:
        """Whether a snapshot should be written after so many steps."""
        self._look_after(wait=False)
        seconds, steps = self._checkpoints.every_seconds, self._checkpoints.every_steps
        by_time = seconds is not None and time.monotonic() - self._saved_at >= seconds
        return by_time or (steps is not None and step // steps > self._saved_step // steps)

    def write(self, snapshot: Snapshot) -> None:
        """Begins to write; waits for the one before, if it is not on disk yet."""
        self._look_after(wait=True)
        self._saved_at, self._saved_step = time.monotonic(), snapshot.step
        self._writing = self._pool.submit(self._save, snapshot)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *error: object) -> None:
        self._look_after(wait=True)
        self._pool.shutdown()

    def _own(self) -> list[Path]:
        return [path for path in _of_all(self._directory) if path.name.startswith(f"{self._fingerprint}-")]

    def _save(self, snapshot: Snapshot) -> str | None:
        """What went wrong, if anything did."""
        path = self._directory / f"{self._fingerprint}-{snapshot.step:012d}{_ENDING}"
        try:
            write(path, snapshot, self._fingerprint)
        except OSError as error:
            return f"{error.filename or path}: {error.strerror or error}"
        # Besides the one before, nothing stays; later steps are of a damaged checkpoint, from before which this
        # training went on.
        own = sorted(self._own())
        place = own.index(path) + 1
        unlink(own[place:] + own[: max(place - _KEPT, 0)])
        return None

    def _look_after(self, *, wait: bool) -> None:
        """Warns once of writing that fails, however often it does; again only after it has worked."""
        if self._writing is None or not (wait or self._writing.done()):
            return
        failure, self._writing = self._writing.result(), None
        if failure and not self._failing:
            self._checkpoints.warn(
                f"A checkpoint could not be written: {failure}. Training goes on; after a kill it would go on from the "
                "last checkpoint that was."
            )
        self._failing = failure is not None


def _of_all(directory: Path) -> list[Path]:
    pattern = re.compile(rf"[0-9a-f]{{16}}-\d{{12}}{re.escape(_ENDING)}")
    return sorted(path for path in directory.glob(f"*{_ENDING}") if pattern.fullmatch(path.name))
