"""A training step of `text_bag` with 10,000 and with 1,000,000 rows of the embedding, ours and Keras' own."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks import models_data
from benchmarks.report import Result, note

_BATCH, _SLOTS, _WIDTH, _RATE = 128, 40, 32, 0.1
_SIZES = (10_000, 1_000_000)
_BATCHES = 64
_GOAL = "<= 1.3"
_SAME = "the first 10,000 rows as likely"


def of_sparse(times: int, short: bool) -> list[Result]:
    """Words by Zipf's law, as texts have them, and every row as likely, of which no cache holds many.

    In the last part both tables are read at the same places: what the large one then costs more is work on all of it,
    what it costs more in the other parts besides is memory that no cache holds.
    """
    results = []
    for words in ("words by Zipf's law", "every row as likely", _SAME):
        for name, make, steps, goal in (
            ("training.fit's step", _ours, 200 if short else 1000, None if words == _SAME else _GOAL),
            ("Model.fit", _plain, 10 if short else 50, None),
        ):
            results += _compare(f"sparse, {words}, {name}", [make(size, words, steps) for size in _SIZES], times, goal)
            gc.collect()
    return results


def _compare(what: str, ways: list[Callable[[], float]], times: int, goal: str | None) -> list[Result]:
    """Milliseconds of a step in both sizes, in turns, after a round that does not count."""
    found = [[way() for way in ways] for _ in range(times + 1)][1:]
    small, large = (statistics.median(seconds) * 1e3 for seconds in zip(*found, strict=True))
    ratio = statistics.median(large / small for small, large in found)
    note(f"{what}: {small:.2f} ms, {large:.2f} ms, {ratio:.2f} x")
    return [
        Result(f"{what}: {_SIZES[0]:,} rows", small, "ms/step"),
        Result(f"{what}: {_SIZES[1]:,} rows", large, "ms/step"),
        Result(f"{what}: ratio", ratio, "x", goal),
    ]


def _ours(size: int, words: str, num_steps: int) -> Callable[[], float]:
    """Seconds of a step of the graph that `training.fit` calls."""
    import tensorflow as tf

    from pipeline.models import text_bag
    from pipeline.training.optimizers import Adagrad
    from pipeline.training.schedules import Progress
    from pipeline.training.steps import train_steps

    rows = _rows(size, words)
    model = text_bag(rows.spec, width=_WIDTH)
    optimizer = Adagrad(_RATE).build(Progress.of_steps(1000))
    optimizer.build(model.trainable_variables)
    steps = train_steps(model, rows.spec, optimizer)
    batches = iter(_batches(rows).repeat())
    call = [tf.constant(num_steps), tf.constant(0.0, tf.float64)]

    def run() -> float:
        started = time.perf_counter()
        float(steps(batches, *call).loss)
        return (time.perf_counter() - started) / num_steps

    return run


def _plain(size: int, words: str, num_steps: int) -> Callable[[], float]:
    """Seconds of a step of `Model.fit`."""
    import keras

    from benchmarks import models_plain

    rows = _rows(size, words)
    model = models_plain.text(rows.spec, _WIDTH)
    model.compile(keras.optimizers.Adagrad(_RATE), keras.losses.BinaryCrossentropy(from_logits=True))
    batches = _batches(rows).repeat().take(num_steps)

    def run() -> float:
        started = time.perf_counter()
        model.fit(batches, shuffle=False, verbose=0)
        return (time.perf_counter() - started) / num_steps

    return run


def _rows(size: int, words: str) -> models_data.Rows:
    used = _SIZES[0] if words == _SAME else size
    return models_data.large_bag(_BATCH * _BATCHES, size, _SLOTS, used, zipf=words.startswith("words"))


def _batches(rows: models_data.Rows) -> Any:
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((rows.features, rows.label)).batch(_BATCH).cache().prefetch(4)
