"""A checkpoint as a file: whole or absent, and known to be whole.

It is a magic line, the length of a header, the header (JSON: the fingerprint of what is trained, the step, plain state,
and the name, type and shape of every array), the arrays' bytes, and a BLAKE2b hash of all that. It is written under a
temporary name, synced and renamed, and then the folder is synced; so a kill, a crash of the machine or a full disk at
any instant leaves what was there before.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.runs import sync

_MAGIC = b"pipeline checkpoint 1\n"
_LENGTH_BYTES, _HASH_BYTES = 8, 32
_TEMPORARY = ".tmp-"


@dataclass(frozen=True)
class Snapshot:
    """A training between two steps.

    Attributes:
      step: how many steps are done.
      state: plain JSON values.
      arrays: by name; never changed once they are here.
    """

    step: int
    state: dict[str, Any]
    arrays: dict[str, np.ndarray]


def write(path: Path, snapshot: Snapshot, fingerprint: str) -> None:
    """Writes a file that is there whole, or not at all. OSError where the disk is full or cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_litter(path.parent)  # of a process that was killed while it wrote
    temporary = path.with_name(f"{_TEMPORARY}{os.getpid()}-{path.name}")
    forms = [[name, array.dtype.name, list(array.shape)] for name, array in snapshot.arrays.items()]
    header = {"fingerprint": fingerprint, "step": snapshot.step, "state": snapshot.state, "arrays": forms}
    encoded = json.dumps(header).encode()
    pieces: list[bytes | memoryview] = [_MAGIC, len(encoded).to_bytes(_LENGTH_BYTES, "little"), encoded]
    pieces += map(_bytes, snapshot.arrays.values())
    digest = hashlib.blake2b(digest_size=_HASH_BYTES)
    try:
        with temporary.open("wb") as handle:
            for piece in pieces:
                digest.update(piece)
                handle.write(piece)
            handle.write(digest.digest())
        sync(temporary)
        os.rename(temporary, path)
        sync(path.parent)
    finally:
        unlink([temporary])


def read(path: Path, fingerprint: str) -> Snapshot:
    """The inverse of `write`.

    Raises:
      ValueError: the file is damaged, or the checkpoint of another training.
      OSError: it cannot be read.
    """
    content = memoryview(path.read_bytes())
    body, found = content[:-_HASH_BYTES], content[-_HASH_BYTES:]
    if body[: len(_MAGIC)] != _MAGIC or hashlib.blake2b(body, digest_size=_HASH_BYTES).digest() != found:
        raise ValueError(f"it is damaged ({len(content)} bytes do not match their checksum)")
    begin = len(_MAGIC) + _LENGTH_BYTES
    end = begin + int.from_bytes(body[len(_MAGIC) : begin], "little")
    header = json.loads(bytes(body[begin:end]))
    if header["fingerprint"] != fingerprint:
        raise ValueError(f"it is of another training ({header['fingerprint']}, expected {fingerprint})")
    arrays = {}
    for name, dtype, shape in header["arrays"]:
        arrays[name] = np.frombuffer(body, np.dtype(dtype), int(np.prod(shape)), end).reshape(shape)
        end += arrays[name].nbytes
    return Snapshot(header["step"], header["state"], arrays)


def remove_litter(directory: Path) -> None:
    """Removes what a process that was killed while it wrote has left."""
    unlink(directory.glob(f"{_TEMPORARY}*"))


def unlink(paths: Iterable[Path]) -> None:
    """Removes files, as far as they are there and can be removed."""
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()


def _bytes(array: np.ndarray) -> memoryview:
    """The array's memory, not copied where it is contiguous; bfloat16 has no buffer of its own."""
    return array.reshape(-1).view(np.uint8).data
