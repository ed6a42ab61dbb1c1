"""How much of the memory that threads had is kept for their like."""

from __future__ import annotations

import ctypes
import os

# Of glibc's `mallopt`.
_M_ARENA_MAX = -8


def as_few_as_cores() -> None:
    """From now on glibc's `malloc` makes no more arenas than there are cores; with another library nothing happens.

    It gives new threads arenas of their own, eight for each core in the end, and keeps in each what its threads held at
    most. tf.data starts threads for every dataset: of 184 trials in populations 77 MiB stayed so, and 49 with this.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, max(os.cpu_count() or 1, 2))
