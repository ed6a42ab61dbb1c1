"""Content hashes of files, remembered by size and time of change, so that an unchanged file is not read again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

_PIECE_BYTES, _READ_BYTES = 16 << 20, 1 << 20


@dataclass
class FileHashes:
    """Hashes files; with `remembered`, across processes.

    Attributes:
      remembered: a JSON file that may be lost at any time, or None.
    """

    remembered: Path | None = None
    known: dict[str, list[int | str]] = field(default_factory=dict)
    changed: bool = False

    def __post_init__(self) -> None:
        try:
            self.known = json.loads(self.remembered.read_text()) if self.remembered else {}
        except (OSError, ValueError):
            self.known = {}

    def of(self, path: Path) -> str:
        """A BLAKE2b hash of the file's content, 32 hexadecimal digits. OSError where it cannot be read."""
        status = path.stat()
        key = os.path.abspath(path)
        entry = self.known.get(key)
        if entry and entry[:2] == [status.st_size, status.st_mtime_ns]:
            return str(entry[2])
        digest = _digest(path, status.st_size)
        self.known[key] = [status.st_size, status.st_mtime_ns, digest]
        self.changed = True
        return digest

    def save(self) -> None:
        """Remembers what was hashed; a failure to do so only costs time."""
        if self.remembered is None or not self.changed:
            return
        temporary = self.remembered.with_suffix(f".{os.getpid()}.tmp")
        try:
            self.remembered.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(self.known))
            os.replace(temporary, self.remembered)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()


def _digest(path: Path, size: int) -> str:
    """Of a large file: the hash of the hashes of its pieces, which are read and hashed side by side."""
    starts = range(0, max(size, 1), _PIECE_BYTES)
    if len(starts) == 1:
        return _of_piece(path, 0).hex()
    with ThreadPoolExecutor() as pool:
        pieces = pool.map(lambda start: _of_piece(path, start), starts)
        return hashlib.blake2b(b"".join(pieces), digest_size=16).hexdigest()


def _of_piece(path: Path, start: int) -> bytes:
    digest, left = hashlib.blake2b(digest_size=16), _PIECE_BYTES
    with path.open("rb", buffering=0) as handle:
        handle.seek(start)
        while left and (data := handle.read(min(left, _READ_BYTES))):
            digest.update(data)
            left -= len(data)
    return digest.digest()
