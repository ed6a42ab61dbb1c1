"""Several ways to do one thing, timed in turns, so that a neighbor on the machine slows all of them alike."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.report import Result, note


@dataclass(frozen=True)
class Way:
    """One way.

    Attributes:
      name: for people.
      run: does it once and returns its speed.
      goal: how many times as fast as this way ours is to be; None: only to compare.
    """

    name: str
    run: Callable[[], float]
    goal: float | None = None


def compare(what: str, unit: str, ours: Way, others: Sequence[Way], times: int) -> list[Result]:
    """Medians of the speeds, and of each round's ratios, after one round that does not count."""
    found: list[list[float]] = []
    for number in range(times + 1):
        note(f"{what}, round {number} of {times}")
        found.append([way.run() for way in (ours, *others)])
    speeds = list(zip(*found[1:], strict=True))
    results = [Result(f"{what}: {ours.name}", statistics.median(speeds[0]), unit)]
    for way, speed in zip(others, speeds[1:], strict=True):
        ratio = statistics.median(mine / its for mine, its in zip(speeds[0], speed, strict=True))
        goal = None if way.goal is None else f">= {way.goal}"
        results += [
            Result(f"{what}: {way.name}", statistics.median(speed), unit),
            Result(f"{what}: ours / {way.name}", ratio, "x", goal),
        ]
    return results


def in_python(dataset: Any, num_rows: int) -> float:
    """Rows a second of a loop in Python over all batches, which have so many rows together."""
    started = time.perf_counter()
    for _ in dataset:
        pass
    return num_rows / (time.perf_counter() - started)


def in_graph(dataset: Any, num_rows: int) -> float:
    """Rows a second of a loop inside a `tf.function`."""
    drain, num_steps = _drain(), int(dataset.cardinality())
    started = time.perf_counter()
    drain(iter(dataset), num_steps)
    return num_rows / (time.perf_counter() - started)


# Python's own cost of a batch, some 0.1 ms, hides much of a fast feed's speed; `training.fit` loops inside a graph.
LOOPS: dict[str, Callable[[Any, int], float]] = {"Python loop": in_python, "graph loop": in_graph}


@functools.cache
def _drain() -> Callable[[Any, Any], None]:
    import tensorflow as tf

    @tf.function(reduce_retracing=True)
    def drain(batches: Any, num_steps: Any) -> None:
        for _ in tf.range(num_steps):
            next(batches)

    return lambda batches, num_steps: drain(batches, tf.constant(num_steps))
