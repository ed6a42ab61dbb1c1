"""What a step of an optimizer costs: beside Keras' own, and for a table of 10,000 rows beside one of 1,000,000."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.optimizers_data import bag
from benchmarks.report import Result, note

_BATCH, _TOKENS, _WIDTH, _BATCHES = 128, 40, 32, 64
_SIZES = (10_000, 1_000_000)
_GOAL = "<= 1.3"
_SAME = "the first 10,000 rows as likely"


def optimizers() -> dict[str, tuple[Any, Callable[[], Any]]]:
    """Ours, and Keras' own."""
    import keras

    from pipeline.training.optimizers import SGD, Adagrad, Adam, AdamW

    theirs = keras.optimizers
    return {
        "SGD": (SGD(0.01, momentum=0.0), lambda: theirs.SGD(0.01)),
        "SGD with momentum": (SGD(0.01, nesterov=False), lambda: theirs.SGD(0.01, momentum=0.9)),
        "Nesterov": (SGD(0.01), lambda: theirs.SGD(0.01, momentum=0.9, nesterov=True)),
        "Adam": (Adam(), lambda: theirs.Adam()),
        "AdamW": (AdamW(), lambda: theirs.AdamW(weight_decay=0.01)),
        "Adagrad": (Adagrad(), lambda: theirs.Adagrad(0.01)),
    }


def dense(times: int, num_steps: int) -> list[Result]:
    """Milliseconds of a step of two small networks, batch 256."""
    results = []
    for units in ((20, 64, 64, 1), (256, 256, 256, 1)):
        shape = "-".join(map(str, units))
        for name, (ours, theirs) in optimizers().items():
            ways = [_mlp_steps(_build(ours), units), _mlp_steps(theirs(), units)]
            mine, its = _fastest(ways, times, num_steps)
            results += [
                Result(f"{shape}, {name}: ours", mine, "ms/step"),
                Result(f"{shape}, {name}: Keras", its, "ms/step"),
            ]
            note(f"{shape} {name}: {mine:.3f} ms, Keras {its:.3f} ms")
    return results


def sparse(times: int, num_steps: int) -> list[Result]:
    """Milliseconds of a step of a table of embeddings, as words are in a language and as they are at worst."""
    results = []
    # The last one touches the same rows whatever the size of the table: what it costs more is work on the whole table,
    # what the others cost more besides is memory that no cache holds. It informs; the goal is for the others.
    for words in ("words by Zipf's law", "every row as likely", _SAME):
        for name, (ours, _) in optimizers().items():
            ways = [_text_steps(_build(ours), num_rows, words) for num_rows in _SIZES]
            small, large = _fastest(ways, times, num_steps)
            results += [
                Result(f"{words}, {name}: 10,000 rows", small, "ms/step"),
                Result(f"{words}, {name}: 1,000,000 rows", large, "ms/step"),
                Result(f"{words}, {name}: ratio", large / small, "x", None if words == _SAME else _GOAL),
            ]
            note(f"{words}, {name}: {small:.3f} ms, {large:.3f} ms, {large / small:.2f} x")
    return results


def _build(optimizer: Any) -> Any:
    from pipeline.training.schedules import Progress

    return optimizer.build(Progress.of_steps(1000))


def _fastest(ways: list[Callable[[int], None]], times: int, num_steps: int) -> list[float]:
    """Milliseconds of a step, of each way's fastest round; the ways take turns, after a round that does not count.

    Not the median: a round takes 50 ms, and a neighbor on the machine can only ever make it longer.
    """
    found: list[list[float]] = []
    for _ in range(times + 1):
        found.append([])
        for way in ways:
            started = time.perf_counter()
            way(num_steps)
            found[-1].append((time.perf_counter() - started) / num_steps * 1e3)
    return [min(speeds) for speeds in zip(*found[1:], strict=True)]


def _mlp_steps(optimizer: Any, units: tuple[int, ...]) -> Callable[[int], None]:
    import keras

    hidden = [keras.layers.Dense(width, "relu") for width in units[1:-1]]
    model = keras.Sequential([keras.Input((units[0],)), *hidden, keras.layers.Dense(units[-1])])
    x = np.random.default_rng(0).normal(size=(1, 256, units[0])).astype(np.float32)
    return _steps(optimizer, model, x)


def _text_steps(optimizer: Any, num_rows: int, words: str) -> Callable[[int], None]:
    import keras

    given = keras.Input((_TOKENS,), dtype="int32")
    model = keras.Model(given, keras.layers.Dense(1)(bag(given, num_rows, _WIDTH)))
    random, shape = np.random.default_rng(0), (_BATCHES, _BATCH, _TOKENS)
    if words.startswith("words"):
        # A word's frequency is one over its rank; the rows of frequent words lie anywhere in the table.
        ranks = np.floor(num_rows ** random.random(shape)).astype(np.int64)
        rows = random.permutation(num_rows)[ranks - 1]
    else:
        rows = random.integers(0, _SIZES[0] if words == _SAME else num_rows, shape)
    return _steps(optimizer, model, rows.astype(np.int32))


def _steps(optimizer: Any, model: Any, batches: np.ndarray) -> Callable[[int], None]:
    """A graph of steps, as `training.fit` has it."""
    import tensorflow as tf

    optimizer.build(model.trainable_variables)
    x, variables = tf.constant(batches), model.trainable_variables

    @tf.function(autograph=False)
    def steps(num_steps: Any) -> Any:
        def one(step: Any) -> Any:
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(model(x[step % len(batches)], training=True) - 1.0))
            optimizer.apply(tape.gradient(loss, variables), variables)
            return step + 1

        return tf.while_loop(lambda step: step < num_steps, one, [0])

    return lambda num_steps: steps(tf.constant(num_steps))
