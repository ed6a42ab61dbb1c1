"""Which rows were ever in test: kept beside the run's artifacts, so that none of them becomes training data later.

A new split of the same run (more rows, other fractions, another seed) puts the rows that were in test into test again.
A split's fingerprint holds what the ledger said before that split was made, so a split that was made before others grew
the ledger is made again, and any other is not.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import RunError

if TYPE_CHECKING:
    import numpy as np

_NAME = "held_out"
_EMPTY = "empty"


@dataclass
class HeldOut:
    """The ledger of a run.

    Attributes:
      directory: of the run.
      state: a hash of all that is in it.
      seen: fingerprint of a split without regard to the ledger -> the state that it was made from, for those splits
        whose train rows are still clear of everything in it.
    """

    directory: Path
    state: str = _EMPTY
    seen: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def of(directory: Path) -> HeldOut:
        """Reads it; an absent one is empty.

        Raises:
          RunError: it is damaged.
        """
        try:
            found = json.loads((directory / f"{_NAME}.json").read_text())
            return HeldOut(directory, found["state"], found["seen"])
        except FileNotFoundError:
            return HeldOut(directory)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{directory / _NAME}.json cannot be read: {error}",
                expected="the list of rows that were once in test",
                fix="Restore it, or begin a run under another name: these rows would no longer be held out.",
            ) from error

    def state_for(self, split: str) -> str | None:
        """The state that the fingerprint of this split must hold; None: nothing was ever held out before it."""
        state = self.seen.get(split, self.state)
        return None if state == _EMPTY else state

    def keys(self, state: str | None) -> np.ndarray:
        """Sorted row identities in a state of the ledger, uint64 [n]; None is the empty one.

        Raises:
          RunError: the file is gone or damaged.
        """
        import numpy as np

        if state is None or state == _EMPTY:
            return np.empty(0, np.uint64)
        try:
            return np.asarray(np.load(self._file(state)), np.uint64)
        except (OSError, ValueError) as error:
            raise RunError(
                f"{self._file(state)} cannot be read: {error}",
                expected="the rows that were once in test",
                fix="Restore it, or begin a run under another name.",
            ) from error

    def add(self, split: str, test_keys: np.ndarray) -> None:
        """After a split was made: its test rows. Written whole or not at all."""
        import numpy as np

        before, old = self.state, self.keys(self.state)
        merged = np.union1d(old, test_keys.astype(np.uint64))
        if len(merged) > len(old):
            self.state = hashlib.blake2b(merged.tobytes(), digest_size=8).hexdigest()
            self.seen = {}
            self.directory.mkdir(parents=True, exist_ok=True)
            temporary = self._file(self.state).with_suffix(f".{os.getpid()}.tmp")
            with temporary.open("wb") as handle:
                np.save(handle, merged)
                handle.flush()
                os.fsync(handle.fileno())
            os.replace(temporary, self._file(self.state))
        self.seen[split] = self.seen.get(split, before)
        self._save()

    def _save(self) -> None:
        target = self.directory / f"{_NAME}.json"
        temporary = target.with_suffix(f".{os.getpid()}.tmp")
        with temporary.open("w") as handle:
            json.dump({"state": self.state, "seen": self.seen}, handle, indent=2)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, target)

    def _file(self, state: str) -> Path:
        return self.directory / f"{_NAME}-{state}.npy"
