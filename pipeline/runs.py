"""Run directories: `runs/<name>/<stage>/<fingerprint>/`, whole or absent.

An artifact is written into a temporary directory beside its place, synced to disk, given its manifest last
and renamed. A killed process therefore leaves nothing that looks whole; what it does leave is removed by
the next process that holds the run's lock. All but the checkpoints of a training: they lie beside the artifacts, in
`runs/<name>/.checkpoints/<stage>-<fingerprint>/`, and stay until the artifact is whole.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import RunError

MANIFEST = "manifest.json"
_TEMPORARY, _CHECKPOINTS = ".tmp-", ".checkpoints"


@dataclass(frozen=True)
class Run:
    """The directory of one run.

    Attributes:
      directory: `runs/<name>`.
    """

    directory: Path

    def artifact(self, stage: str, fingerprint: str) -> Path:
        """Where the artifact of a stage is, or will be."""
        return self.directory / stage / fingerprint

    def manifest(self, stage: str, fingerprint: str) -> dict[str, Any] | None:
        """The manifest of a whole artifact; None where there is none or a file of it is gone or cut short."""
        artifact = self.artifact(stage, fingerprint)
        try:
            manifest: dict[str, Any] = json.loads((artifact / MANIFEST).read_text())
            sizes = {name: (artifact / name).stat().st_size for name in manifest["files"]}
        except (OSError, ValueError, KeyError, TypeError):
            return None
        published = [Path(path) for path in manifest.get("published", [])]
        whole = sizes == manifest["files"] and all(path.exists() for path in published)
        return manifest if whole else None

    def checkpoints(self, stage: str, fingerprint: str) -> Path:
        """Where a stage may save how far it has come; removed when its artifact is whole."""
        return self.directory / _CHECKPOINTS / f"{stage}-{fingerprint}"

    def fingerprints(self, stage: str) -> list[str]:
        """The fingerprints under which the stage has whole artifacts, oldest first."""
        folder = self.directory / stage
        found = [path for path in folder.glob("*") if not path.name.startswith(".")] if folder.is_dir() else []
        whole = [path for path in found if self.manifest(stage, path.name) is not None]
        return [path.name for path in sorted(whole, key=lambda path: path.stat().st_mtime_ns)]

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the run for this process; the kernel lets go of it however the process ends.

        Raises:
          RunError: another process holds it, or the directory cannot be written.
        """
        with translate_os_errors(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
            handle = (self.directory / ".lock").open("a+")
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                handle.seek(0)
                raise RunError(
                    f"{self.directory} is in use by another process (pid {handle.read().strip() or 'unknown'}).",
                    expected="one process per run",
                    fix='Wait for it, or give this run another name: --set name="other".',
                ) from None
            handle.truncate(0)
            handle.write(str(os.getpid()))
            handle.flush()
            self._remove_litter()
            yield

    @contextlib.contextmanager
    def write(self, stage: str, fingerprint: str) -> Iterator[Writing]:
        """Gives a temporary directory; at the end it becomes the artifact, unless an exception passes.

        Raises:
          RunError: the disk is full or the directory cannot be written.
        """
        artifact = self.artifact(stage, fingerprint)
        temporary = artifact.parent / f"{_TEMPORARY}{fingerprint}-{os.getpid()}"
        started = time.perf_counter()
        try:
            with translate_os_errors(self.directory):
                shutil.rmtree(temporary, ignore_errors=True)
                temporary.mkdir(parents=True)
                writing = Writing(temporary)
                yield writing
                manifest = {
                    "stage": stage,
                    "fingerprint": fingerprint,
                    "seconds": round(time.perf_counter() - started, 3),
                    "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                    "files": {str(path.relative_to(temporary)): path.stat().st_size for path in _files(temporary)},
                    **writing.manifest,
                }
                publish_directory(temporary, artifact, manifest)
            self._remove_checkpoints(self.checkpoints(stage, fingerprint))
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _remove_litter(self) -> None:
        for path in self.directory.glob(f"*/{_TEMPORARY}*"):
            shutil.rmtree(path, ignore_errors=True)
        for path in self.directory.glob(f"{_CHECKPOINTS}/*-*"):
            if self.manifest(*path.name.rsplit("-", 1)) is not None:  # killed before it could remove them
                self._remove_checkpoints(path)

    def _remove_checkpoints(self, path: Path) -> None:
        shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(OSError):  # not empty: another training has not ended yet
            path.parent.rmdir()


@dataclass(frozen=True)
class Writing:
    """An artifact on its way: its temporary directory, and what its manifest will say besides."""

    directory: Path
    manifest: dict[str, Any] = field(default_factory=dict)


def publish_directory(temporary: Path, target: Path, manifest: dict[str, Any]) -> None:
    """Syncs every file of `temporary`, writes its manifest last, and renames it to `target`.

    A damaged artifact that stands at `target` is removed first.
    """
    for path in _files(temporary):
        sync(path)
    write_json(temporary / MANIFEST, manifest)
    for folder in sorted({path.parent for path in _files(temporary)} | {temporary}):
        sync(folder)
    if target.exists():
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    os.rename(temporary, target)
    sync(target.parent)


def write_json(path: Path, value: Any) -> None:
    """Writes JSON and syncs it to disk."""
    path.write_text(json.dumps(value, indent=2, default=str) + "\n", encoding="utf-8")
    sync(path)


def read_json(path: Path) -> Any:
    """Reads JSON."""
    return json.loads(path.read_text(encoding="utf-8"))


@contextlib.contextmanager
def translate_os_errors(directory: Path) -> Iterator[None]:
    """Turns a full disk or a folder without write permission into a `RunError` that names it."""
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0)
        if reason is None:
            raise
        raise RunError(
            f"{error.filename or directory}: {reason[0]}.",
            expected=f"a writable folder with free space for {directory}",
            fix=reason[1],
        ) from error


_REASONS = {
    errno.ENOSPC: ("no space left on the disk", "Free some space and run again; finished stages are kept."),
    errno.EDQUOT: ("the disk quota is used up", "Free some space and run again; finished stages are kept."),
    errno.EFBIG: ("the file is larger than this system allows", "Raise the limit (ulimit -f), or choose another disk."),
    errno.EACCES: ("permission denied", "Make the folder writable, or choose another one."),
    errno.EPERM: ("operation not permitted", "Make the folder writable, or choose another one."),
    errno.EROFS: ("the file system is read-only", "Choose a folder on a writable file system."),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "Choose another folder."),
    errno.EEXIST: ("there is a file where a folder is needed", "Move the file, or choose another folder."),
}


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


def sync(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
