"""Content hashes of files, remembered by size and time of change, so that an unchanged file is not read again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path


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
        """The BLAKE2b hash of the file's content, 32 hexadecimal digits. OSError where it cannot be read."""
        status = path.stat()
        key = os.path.abspath(path)
        entry = self.known.get(key)
        if entry and entry[:2] == [status.st_size, status.st_mtime_ns]:
            return str(entry[2])
        with path.open("rb") as handle:
            digest = hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
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
