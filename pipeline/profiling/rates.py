"""Rows per second of streams of batches, measured side by side.

Every stream is read to its end in one graph loop, as `fit` does. What it costs to begin is measured by a stream of one
step, without augmentations, and left out. The streams of a comparison take turns, so that whatever else the machine
does meets all of them; each has the median of its rounds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.data.feed import Feed

ROUNDS = 3
# A feed makes batches in blocks; at least so many of them should fall into the time of a measurement.
_BLOCKS = 8
# In less time what it costs to begin, which varies by 10 ms and more, would be part of the result.
_LEAST_WINDOW = 0.1
_LEAST_SECONDS = 1e-4
_MAX_STEPS = 1 << 24
_EPOCHS = 1 << 20

Consume = Callable[[Any, int], object]


@dataclass(frozen=True)
class Stream:
    """Batches and who takes them.

    Attributes:
      batches: more of them than anybody will wait for.
      begin: as quick ones as can be, by which it is measured what it costs to begin.
      rows: number of steps -> the rows in them.
      consume: takes an iterator and the number of its steps, and returns when all are done.
      least_steps: of a measurement, so that every thread has something to do.
    """

    batches: tf.data.Dataset
    begin: tf.data.Dataset
    rows: Callable[[int], int]
    consume: Consume
    least_steps: int = 4


def in_short_blocks(feed: Feed, seconds: float) -> Feed:
    """The feed with blocks that a measurement of so many seconds holds several of; the feed itself if they are."""
    limit, whole, steps = max(seconds / ROUNDS / _BLOCKS, _LEAST_WINDOW / 2), feed.steps_per_block, 1
    examples = feed.order.examples(0, 0, min(feed.batch_size, feed.num_rows))
    feed.examples(examples, 0)  # the first call takes longer
    while steps < whole:
        # Twice, because a machine that does something else just then makes any block look long.
        if min(_making(feed, np.tile(examples, steps)) for _ in range(2)) > limit:
            return replace(feed, block_steps=max(steps // 2, 1))
        steps *= 2
    return feed


def _making(feed: Feed, examples: np.ndarray) -> float:
    started = time.perf_counter()
    feed.examples(examples, 0)
    return time.perf_counter() - started


def feed_alone(feed: Feed) -> Stream:
    """The train batches, taken by nobody."""
    return training(feed, _take)


def training(feed: Feed, consume: Consume) -> Stream:
    """The train batches, trained on."""
    return Stream(
        batches=feed.dataset(_EPOCHS),
        begin=replace(feed, augment=()).dataset(),
        rows=lambda steps: _rows_of(feed, steps),
        consume=consume,
        least_steps=2 * (feed.threads or 2) * (feed.block_steps or 1),
    )


def from_memory(feed: Feed, consume: Consume) -> Stream:
    """One batch again and again, trained on; it is of the feed, so that the graph is the same."""
    batch_rows = min(feed.batch_size, feed.num_rows)
    batch = feed.examples(feed.order.examples(0, 0, batch_rows), 0)
    kept = tf.data.Dataset.from_tensor_slices(batch).batch(batch_rows).cache()
    return Stream(kept.repeat(), kept, lambda steps: steps * batch_rows, consume)


def measure(streams: Mapping[str, Stream], seconds: float, rounds: int = ROUNDS) -> dict[str, float]:
    """Rows per second of each stream.

    Args:
      streams: by name.
      seconds: for each, about; to find out how long a stream takes is not counted.
      rounds: of which the median is taken.
    """
    window = max(seconds / rounds, _LEAST_WINDOW)
    begun = {name: min(_timed(stream.begin, _take, 1) for _ in range(ROUNDS)) for name, stream in streams.items()}
    steps = {name: _steps_for(stream, begun[name], window) for name, stream in streams.items()}
    found: dict[str, list[float]] = {name: [] for name in streams}
    for _ in range(rounds):
        for name, stream in streams.items():
            found[name].append(stream.rows(steps[name]) / _seconds(stream, begun[name], steps[name]))
    return {name: statistics.median(rates) for name, rates in found.items()}


def _steps_for(stream: Stream, begun: float, window: float) -> int:
    """So many steps that they take about as long as the window."""
    _seconds(stream, begun, 1)  # makes the graph
    steps = stream.least_steps
    while (taken := _surely(stream, begun, steps, window)) < window / 2 and steps < _MAX_STEPS:
        steps = int(steps * min(max(window / taken, 2), 16))
    return max(stream.least_steps, int(steps * min(window / taken, 2)))


def _surely(stream: Stream, begun: float, steps: int, window: float) -> float:
    """Measured twice, because a machine that does something else just then makes few steps look like enough."""
    first = _seconds(stream, begun, steps)
    return first if first > 4 * window else min(first, _seconds(stream, begun, steps))


def _seconds(stream: Stream, begun: float, steps: int) -> float:
    return max(_timed(stream.batches, stream.consume, steps) - begun, _LEAST_SECONDS)


def _timed(batches: tf.data.Dataset, consume: Consume, steps: int) -> float:
    started = time.perf_counter()
    consume(iter(batches), steps)
    return time.perf_counter() - started


def _rows_of(feed: Feed, steps: int) -> int:
    """In the first steps: the smaller batch of an epoch is its last."""
    epochs, more = divmod(steps, feed.steps_per_epoch)
    return epochs * feed.num_rows + more * feed.batch_size


def _take(batches: Any, steps: int) -> object:
    return _drain(batches, tf.constant(steps))


@tf.function
def _drain(batches: Any, steps: tf.Tensor) -> tf.Tensor:
    rows = tf.constant(0, tf.int64)
    for _ in tf.range(steps):
        rows += tf.shape(next(batches)[1], tf.int64)[0]
    return rows
