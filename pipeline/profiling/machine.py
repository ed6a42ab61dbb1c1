"""What this machine can do at best: copy memory, gather rows, decode images, read a file."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from pipeline.data.store import Store

_COPIED_BYTES = 64 << 20
_GATHERED_BYTES = 16 << 20
# A smaller file is read before the clock has ticked.
_LEAST_FILE_BYTES, _READ_BYTES = 4 << 20, 4 << 20


@dataclass(frozen=True)
class Limits:
    """Of this machine.

    Attributes:
      cores: that this process may use.
      memory_copy_bytes: a second, by one core.
      gather_rows: of this store in random order, a second, by one core, from memory.
      decode_images: of this run, a second, by one core; None: there are none.
      decode_images_all: the same by all cores.
      disk_bytes: of the store's largest file, a second, not from the page cache; None: it is too small to tell.
    """

    cores: int
    memory_copy_bytes: float
    gather_rows: float
    decode_images: float | None
    decode_images_all: float | None
    disk_bytes: float | None


def limits(store: Store, images: Sequence[bytes], shape: tuple[int, int, int] | None, seconds: float) -> Limits:
    """Measures them; to be called before anything else reads the store.

    Args:
      store: of the train rows.
      images: encoded ones of this run; may be empty.
      shape: (height, width, channels) to which they are brought.
      seconds: for each limit, about.
    """
    disk = reading(store, seconds)
    decode, decode_all = _decoding(images, shape, seconds) if images and shape else (None, None)
    return Limits(_cores(), _copying(seconds), gathering(store, seconds), decode, decode_all, disk)


def gathering(store: Store, seconds: float) -> float:
    """Rows of all columns in random order, a second: by plain `take`, as fast as a feed could be.

    Images that are stored encoded are no rows at fixed offsets, and left out.
    """
    columns = [column for column in store.columns.values() if isinstance(column, np.ndarray)]
    row_bytes = max(sum(column.nbytes for column in columns) // len(store), 1)
    count = int(np.clip(_GATHERED_BYTES // row_bytes, 1, 1 << 20))
    rows = np.random.default_rng(0).integers(0, len(store), count)
    return count * _calls(lambda: [column.take(rows, axis=0) for column in columns], seconds)


def reading(store: Store, seconds: float) -> float | None:
    """Bytes a second of the largest file, each part after the system was asked to forget what it has of it in memory.

    It does not forget what somebody has mapped and touched: for the truth, call this before rows are gathered.
    """
    path = max(store.directory.glob("*.bin"), key=lambda path: path.stat().st_size, default=None)
    if path is None or path.stat().st_size < _LEAST_FILE_BYTES or not hasattr(os, "posix_fadvise"):
        return None
    done, started, buffer = 0, time.perf_counter(), bytearray(_READ_BYTES)
    with path.open("rb", buffering=0) as file:
        while time.perf_counter() - started < seconds:
            os.posix_fadvise(file.fileno(), done, _READ_BYTES, os.POSIX_FADV_DONTNEED)
            if not (size := file.readinto(buffer)):
                break
            done += size
    return done / (time.perf_counter() - started)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _copying(seconds: float) -> float:
    source, target = np.ones(_COPIED_BYTES, np.uint8), np.zeros(_COPIED_BYTES, np.uint8)
    return _COPIED_BYTES * _calls(lambda: np.copyto(target, source), seconds)


def _decoding(images: Sequence[bytes], shape: tuple[int, int, int], seconds: float) -> tuple[float, float]:
    """By one core, and by all."""
    import tensorflow as tf

    from pipeline.data.pixels import load_pixels

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def decode(image: tf.Tensor) -> tf.Tensor:
        return load_pixels(image, *shape)

    tensors = [tf.constant(image, tf.string) for image in images]
    one = len(tensors) * _calls(lambda: [decode(image) for image in tensors], seconds)
    with ThreadPoolExecutor(_cores()) as pool:
        return one, len(tensors) * _calls(lambda: list(pool.map(decode, tensors)), seconds)


def _calls(call: Callable[[], object], seconds: float) -> float:
    """Calls a second at the best: what slows one down is not the machine's limit."""
    call()
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end or best == float("inf"):
        started = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - started)
    return 1 / best
