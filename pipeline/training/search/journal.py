"""The journal of a search: what was asked and told, line by line, so that a kill loses at most what was running.

A line is JSON with a checksum of its own, written at once and synced. KerasTuner's own file is rewritten whole after
every trial, and cannot be loaded once it is cut off.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import TuningError
from pipeline.runs import sync

VERSION = 2


@dataclass(frozen=True)
class Header:
    """What a search is, but for the number of its trials, which may grow.

    Attributes:
      fingerprint: of the rest of the config, and of the data.
      algorithm, space, seed, epochs: see `Search`.
    """

    fingerprint: str
    algorithm: str
    space: dict[str, Any]
    seed: int
    epochs: int


class Journal:
    """An append-only file.

    Attributes:
      path: of the file.
      records: (line, record) of every record that was there when it was opened.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     header = Header("1a2b", "random", {"model.depth": [1, 2]}, seed=0, epochs=5)
      ...     with Journal.open(Path(folder) / "journal.jsonl", header) as journal:
      ...         journal.append({"told": 0})
      ...     with Journal.open(Path(folder) / "journal.jsonl", header) as journal:
      ...         journal.records
      [(2, {'told': 0})]
    """

    def __init__(self, path: Path, records: list[tuple[int, dict[str, Any]]], descriptor: int) -> None:
        self.path, self.records, self._descriptor = path, records, descriptor

    @staticmethod
    def open(path: Path, header: Header) -> Journal:
        """Opens a journal, or begins one. A last line that a kill cut off is dropped.

        Args:
          path: of the file; its folder is made.
          header: of this search.

        Raises:
          TuningError: it is the journal of another search or of a newer version, or another line is damaged.
          OSError: it cannot be read or written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes() if path.exists() else b""
        lines, size = _whole_lines(content)
        if lines:
            _check_version(path, lines[0])
        records = [(number, _parsed(path, number, line)) for number, line in enumerate(lines, start=1)]
        if records:
            _check_header(path, records.pop(0)[1], header)
        journal = Journal(path, records, os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644))
        os.ftruncate(journal._descriptor, size)
        if not lines:
            journal.append({"version": VERSION, **asdict(header)})
            sync(path.parent)
        return journal

    @staticmethod
    def copy(source: Path, target: Path) -> None:
        """Copies a journal for a longer search, without what was told of trials that the end of the time cut short.

        They are the last that it was told, and run on; nothing was asked because of them.

        Raises:
          OSError: it cannot be read or written.
        """
        lines = source.read_bytes().splitlines(keepends=True)
        target.write_bytes(b"".join(line for line in lines if not _is_cut(line)))

    def append(self, record: dict[str, Any]) -> None:
        """Writes a line, which is on the disk when this returns. OSError where it cannot: then nothing is written."""
        end = os.lseek(self._descriptor, 0, os.SEEK_END)
        rest = memoryview(_line(record))
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            os.fsync(self._descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, end)  # half a line would damage the next one
            raise

    def damaged(self, line: int, why: str) -> TuningError:
        """The error of a line that cannot be true."""
        return _damaged(self.path, line, why)

    def close(self) -> None:
        """Closes the file; again does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps({**record, "crc": _checksum(record)}).encode() + b"\n"


def _checksum(record: dict[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(record, sort_keys=True).encode()):08x}"


def _whole_lines(content: bytes) -> tuple[list[bytes], int]:
    """The lines of a file, and where they end: without the last one where it was cut off, or is not what was meant."""
    lines = content.split(b"\n")[:-1]
    if lines and _record(lines[-1]) is None and (len(lines) > 1 or _version(lines[0]) is None):
        lines.pop()
    return lines, sum(len(line) + 1 for line in lines)


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
        checksum = found.pop("crc")
        return found if checksum == _checksum(found) else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _is_cut(line: bytes) -> bool:
    found = _record(line) or {}
    return bool(found.get("outcome", {}).get("cut"))


def _parsed(path: Path, number: int, line: bytes) -> dict[str, Any]:
    found = _record(line)
    if found is None:
        raise _damaged(path, number, "it does not match its checksum")
    return found


def _damaged(path: Path, line: int, why: str) -> TuningError:
    return TuningError(
        f"{path}: line {line} is damaged: {why}.",
        expected="the journal as the search wrote it",
        fix="Bring the file back from a copy, or delete it: the search then begins anew.",
    )


def _version(line: bytes) -> int | None:
    try:
        found = json.loads(line)["version"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, int) else None


def _check_version(path: Path, line: bytes) -> None:
    version = _version(line)
    if version is not None and version > VERSION:
        raise TuningError(
            f"{path} is a journal of version {version}; this program knows up to {VERSION}.",
            expected=f"version {VERSION}",
            fix="Go on with the newer program, or delete the file: the search then begins anew.",
        )


def _check_header(path: Path, found: dict[str, Any], header: Header) -> None:
    wanted = json.loads(json.dumps(asdict(header)))
    # The fingerprint last: it differs whenever anything does, and says least.
    for name in ("algorithm", "seed", "epochs", "space", "fingerprint"):
        here, now = found.get(name), wanted[name]
        if name == "space" and isinstance(here, dict):
            changed = (key for key in [*here, *now] if here.get(key) != now.get(key))
            if key := next(changed, None):
                name, here, now = f"space.{key}", here.get(key), now.get(key)
        if here != now:
            raise TuningError(
                f"{path} is the journal of another search: {name} was {here!r} and is {now!r}.",
                expected="the config and the data that it was begun with",
                fix="Restore them, or delete the file: the search then begins anew.",
            )
