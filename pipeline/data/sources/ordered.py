"""Work on a stream in several threads, with the results in the order of the stream."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def ordered_map(function: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
    """`map` in threads: a few items in the air, results in order, an error where its result would have come.

    For functions that spend their time outside the interpreter's lock, as Arrow and NumPy do.

    >>> list(ordered_map(str, range(3)))
    ['0', '1', '2']
    """
    workers = max(os.cpu_count() or 1, 2)
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
