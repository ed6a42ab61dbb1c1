"""The order of an epoch as arithmetic: which example stands at which position is a function of (seed, epoch) alone.

Rows are ordered by a hash of (seed, epoch, row), see `pipeline.data.mixing`. Sorting 64-bit words, the hash in their
upper bits and the row in the lower ones, is the quickest way to a permutation that is the same on every machine and
with every version of NumPy.

A store that outgrows memory is read in windows: blocks of neighboring rows come in a shuffled order, and the rows of
  the
blocks of one window are shuffled among each other. An epoch then reads each block once, in long runs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from pipeline.data.mixing import STEP, mix
from pipeline.data.resampling import Resampling

# What a hash is for, so that no two orders have anything to do with each other.
_ROWS, _BLOCKS, _LADDER = range(3)
# Windows whose order is kept: a batch may stand on the border of two, and the next one may already be asked for.
_KEPT = 3


@dataclass(frozen=True, eq=False)
class Order:
    """The examples of every epoch, at every position, reached at once.

    An example is an int64: `row + num_rows * copy`, the copy being 0 unless rows are resampled.

    Args:
      num_rows: of the store, and positions of an epoch.
      seed: of all epochs.
      resampling: how often each row comes; None: once.
      block_rows: rows of a block; None: the whole epoch is shuffled at once.
      window_blocks: blocks whose rows are shuffled among each other.
      on_window: told the blocks of a window, (first row, last + 1) each, before its order is first used.

    Example:
      >>> order = Order(6, seed=7)
      >>> whole = order.examples(0, 0, 6)
      >>> sorted(whole.tolist()), (order.examples(0, 2, 4) == whole[2:4]).all().item()
      ([0, 1, 2, 3, 4, 5], True)
    """

    num_rows: int
    seed: int
    resampling: Resampling | None = None
    block_rows: int | None = None
    window_blocks: int = 16
    on_window: Callable[[list[tuple[int, int]]], None] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _kept: dict[tuple[int, int], np.ndarray] = field(default_factory=dict, repr=False)

    def examples(self, epoch: int, start: int, stop: int) -> np.ndarray:
        """int64 [stop - start], the examples at these positions of an epoch."""
        parts = [
            self._window(epoch, window)[max(start - first, 0) : stop - first]
            for window, first in self._windows(epoch, start, stop)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, np.int64), *parts])

    def blocks(self, epoch: int, window: int) -> list[tuple[int, int]]:
        """First and last + 1 of each run of neighbors that is read for a window."""
        if self.block_rows is None:
            return [(0, self.num_rows)]
        chosen = self._block_order(epoch)[window * self.window_blocks : (window + 1) * self.window_blocks]
        return [(first, min(first + self.block_rows, self.num_rows)) for first in (chosen * self.block_rows).tolist()]

    def _windows(self, epoch: int, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Number and first position of each window that holds one of these positions."""
        if stop <= start or self.block_rows is None:
            yield from [(0, 0)] if stop > start else []
            return
        sizes = np.minimum(self.num_rows - self._block_order(epoch) * self.block_rows, self.block_rows)
        ends = np.cumsum(sizes)[self.window_blocks - 1 :: self.window_blocks]
        firsts = np.concatenate([[0], ends])  # of windows; the last one may be where all rows end
        begin, end = np.searchsorted(firsts, start, "right") - 1, np.searchsorted(firsts, stop, "left")
        yield from ((window, int(firsts[window])) for window in range(begin, end))

    def _window(self, epoch: int, window: int) -> np.ndarray:
        with self._lock:  # several threads ask for the same window at once; it is made once
            found = self._kept.pop((epoch, window), None)
            self._kept[epoch, window] = self._shuffled(epoch, window) if found is None else found
            while len(self._kept) > _KEPT:
                del self._kept[next(iter(self._kept))]
            return self._kept[epoch, window]

    def _shuffled(self, epoch: int, window: int) -> np.ndarray:
        blocks = self.blocks(epoch, window)
        if self.on_window is not None:
            self.on_window(blocks)
        shuffled = permutation(sum(last - first for first, last in blocks), self._salt(_ROWS, epoch, window))
        if self.block_rows is not None:
            shuffled = np.concatenate([np.arange(first, last) for first, last in blocks])[shuffled]
        if self.resampling is None:
            return shuffled
        # A full shuffle also takes another choice of the rows of each group every epoch; neighbors on disk stay
        # neighbors.
        salt = self._salt(_LADDER, epoch, 0)
        rows = permutation(self.num_rows, salt, self.resampling.groups) if self.block_rows is None else None
        return self.resampling.examples(shuffled, rows, phase=(salt >> 11) * 2.0**-53)

    def _block_order(self, epoch: int) -> np.ndarray:
        return permutation(-(-self.num_rows // (self.block_rows or self.num_rows)), self._salt(_BLOCKS, epoch, 0))

    def _salt(self, *numbers: int) -> int:
        salt = np.zeros(1, np.uint64)
        for number in (self.seed, *numbers):
            salt = mix(salt + np.asarray([number + 1], np.uint64) * STEP)
        return int(salt[0])


def permutation(num: int, salt: int, groups: np.ndarray | None = None) -> np.ndarray:
    """The numbers below `num` in an order that the salt decides: int64 [num].

    Args:
      num: how many.
      salt: uint64.
      groups: uint64 [num]; numbers of a smaller group come first.

    Example:
      >>> sorted(permutation(5, salt=1).tolist())
      [0, 1, 2, 3, 4]
    """
    numbers = np.arange(num, dtype=np.uint64)
    low = np.uint64((1 << max(num - 1, 1).bit_length()) - 1)
    words = mix(numbers * STEP + np.uint64(salt))
    if groups is not None and len(groups):
        bits = np.uint64(int(groups.max()).bit_length())
        words = (words >> bits) | groups << (np.uint64(64) - bits) if bits else words
    words &= ~low
    words |= numbers
    words.sort()
    words &= low
    return words.view(np.int64)
