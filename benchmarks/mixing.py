"""How well a store beyond memory is mixed when it is read in windows, beside `Dataset.shuffle` with a buffer as large.

The rows lie sorted by their class: the worst case. Mixing is measured by what a batch sees: the standard deviation of
  the
share of a class, over that of a full shuffle. 1 is a full shuffle; the sorted rows themselves are far above it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from benchmarks.report import Result, report
from pipeline.data.order import Order

_CLASSES, _BATCH = 10, 256


def spread(order: np.ndarray, num_rows: int) -> float:
    """The standard deviation of the share of each class in the batches of an epoch."""
    labels = order * _CLASSES // num_rows
    batches = labels[: len(labels) // _BATCH * _BATCH].reshape(-1, _BATCH)
    shares = np.stack([(batches == label).mean(axis=1) for label in range(_CLASSES)])
    return float(shares.std(axis=1).mean())


def buffered(num_rows: int, buffer: int, seed: int) -> np.ndarray:
    """The order that `Dataset.shuffle(buffer)` gives rows: one drawn from a buffer that is then filled up again."""
    random = np.random.default_rng(seed)
    held, order = list(range(buffer)), np.empty(num_rows, np.int64)
    draws = random.random(num_rows)
    for place in range(num_rows):
        chosen = int(draws[place] * len(held))
        order[place] = held[chosen]
        if place + buffer < num_rows:
            held[chosen] = place + buffer
        else:
            held[chosen] = held[-1]
            held.pop()
    return order


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a tenth of the rows")
    num_rows = 100_000 if parser.parse_args().short else 1_000_000
    blocks = 2560  # of a store of 10 GiB: 4 MiB each, and 256 of them in a window of 1 GiB
    ways: list[tuple[str, Callable[[], np.ndarray]]] = [
        ("windows of a tenth of the store, 256 blocks each",
         lambda: Order(num_rows, 1, block_rows=-(-num_rows // blocks), window_blocks=256).examples(0, 0, num_rows)),
        ("windows of a hundredth, 26 blocks each",
         lambda: Order(num_rows, 1, block_rows=-(-num_rows // blocks), window_blocks=26).examples(0, 0, num_rows)),
        ("Dataset.shuffle with a buffer of a tenth", lambda: buffered(num_rows, num_rows // 10, 1)),
        ("Dataset.shuffle with a buffer of a hundredth", lambda: buffered(num_rows, num_rows // 100, 1)),
        ("not shuffled", lambda: np.arange(num_rows)),
    ]  # fmt: skip
    full = spread(Order(num_rows, 1).examples(0, 0, num_rows), num_rows)
    results = [Result(name, spread(order(), num_rows) / full, "times a full shuffle") for name, order in ways]
    report("mixing", results)


if __name__ == "__main__":
    main()
