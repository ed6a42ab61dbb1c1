"""The same small network trained by `training.fit`, by `Model.fit`, and by a loop over a PyTorch DataLoader."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.feed_tables import BATCH, idiom, rows, write_store
from benchmarks.report import Result, timed
from benchmarks.rounds import Way, compare

_EPOCHS, _WIDTH, _RATE = 3, 64, 1e-3
_TORCH_ROWS = 200_000


def of_training(folder: Path, num_rows: int, times: int, torch_python: str | None) -> list[Result]:
    """A 20-64-64-1 network with ReLU and Adam, batches of 256."""
    store, columns = write_store(folder / "training", num_rows, 20), rows(num_rows, 20)
    x, y = columns["numeric"], columns["label"]
    slices = idiom(x, y)
    others = [
        Way("Model.fit, arrays", lambda: _speed(num_rows, lambda done: _keras(done, x=x, y=y, batch_size=BATCH)), 3.0),
        Way("Model.fit, tf.data", lambda: _speed(num_rows, lambda done: _keras(done, x=slices, shuffle=False)), 3.0),
    ]
    if torch_python:
        torch_rows = min(num_rows, _TORCH_ROWS)
        others += [
            Way(f"PyTorch, {workers} workers", functools.partial(_torch, torch_python, torch_rows, workers))
            for workers in (0, 2)
        ]
    ours = Way("training.fit", lambda: _speed(num_rows, lambda done: _fit(store, done)))
    return compare("training", "rows/s", ours, others, times)


def _speed(num_rows: int, train: Callable[[Callable[[], None]], None]) -> float:
    """Rows a second of every epoch but the first, in which graphs are traced."""
    ends: list[float] = []
    train(lambda: ends.append(time.perf_counter()))
    return num_rows * (len(ends) - 1) / (ends[-1] - ends[0])


def _fit(store: Any, done: Callable[[], None]) -> None:
    from pipeline import data, models, training

    train = data.make_train(store, batch_size=BATCH, seed=7, epochs=_EPOCHS)
    validation = data.make_eval(store).take(1)
    model = models.mlp(store.spec, width=_WIDTH, depth=2, dropout=0.0)
    training.fit(
        model, train, validation, spec=store.spec, optimizer=training.Adam(_RATE), epochs=_EPOCHS,
        on_epoch=lambda history: done(),
    )  # fmt: skip


def _keras(done: Callable[[], None], **arguments: Any) -> None:
    import keras

    layers = [keras.layers.Dense(_WIDTH, "relu"), keras.layers.Dense(_WIDTH, "relu"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((20,)), *layers])
    model.compile(keras.optimizers.Adam(_RATE), keras.losses.BinaryCrossentropy(from_logits=True))
    on_end = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: done())
    model.fit(**arguments, epochs=_EPOCHS, verbose=0, callbacks=[on_end])


def _torch(python: str, num_rows: int, workers: int) -> float:
    script = Path(__file__).with_name("feed_torch.py")
    _, _, said = timed([python, script, "training", str(num_rows), str(BATCH), str(workers)], script.parent)
    return float(json.loads(said.splitlines()[-1])["speed"])
