"""A default model trained by `training.fit`, beside its plain form by `Model.fit`: speed, weights and losses."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.models_data import Rows
from benchmarks.report import Result, note
from benchmarks.rounds import Way, compare

_BUFFER = 100_000
_EPOCHS = 3


@dataclass
class Contest:
    """A default model and its plain form, on the same rows.

    Attributes:
      name: of the part.
      rows: to train on.
      folder: for our store.
      ours, plain: make the two models.
      optimizers: ours, and a maker of Keras' own.
      loss: of the plain model.
      batch_size: of both.
      goal: how many times as fast ours is to be, in the precision of a config that names none.
    """

    name: str
    rows: Rows
    folder: Path
    ours: Callable[[], Any]
    plain: Callable[[Any], Any]
    optimizers: tuple[Any, Callable[[], Any]]
    loss: Any
    batch_size: int
    goal: float
    losses: dict[str, float] = field(default_factory=dict)

    def results(self, times: int) -> list[Result]:
        """Both precisions beside plain float32, as most write it, and bfloat16 beside bfloat16."""
        from pipeline.config_sections import Train

        self._check_weights()
        self._store = self.rows.store(self.folder)
        default, found = Train().precision, list[Result]()
        plain = {precision: self._plain_way(precision) for precision in ("float32", "bfloat16")}
        for precision in ("float32", "bfloat16"):
            what = f"{self.name}, {precision}"
            goal = self.goal if precision == default else None
            others = [Way("Model.fit, float32", plain["float32"], goal)]
            others += [Way("Model.fit, bfloat16", plain["bfloat16"])] if precision == "bfloat16" else []
            found += compare(what, "rows/s", Way("training.fit", self._our_way(precision)), others, times)
        return found + self._of_losses()

    def _check_weights(self) -> None:
        model = self.ours()
        counts = [model.count_params(), self.plain(model).count_params()]
        if counts[0] != counts[1]:
            raise RuntimeError(f"{self.name}: ours has {counts[0]:,} weights, the plain model {counts[1]:,}")
        note(f"{self.name}: {counts[0]:,} weights, {len(self.rows.label):,} rows")

    def _of_losses(self) -> list[Result]:
        mine, its = self.losses["ours, float32"], self.losses["plain, float32"]
        return [
            Result(f"{self.name}: loss of epoch {_EPOCHS}, ours", mine, "nats"),
            Result(f"{self.name}: loss of epoch {_EPOCHS}, plain", its, "nats"),
            Result(f"{self.name}: ours / plain", mine / its, "ratio", "<= 1.1"),
        ]

    def _our_way(self, precision: str) -> Callable[[], float]:
        return lambda: self._speed(f"ours, {precision}", lambda done: self._fit(done, precision))

    def _plain_way(self, precision: str) -> Callable[[], float]:
        return lambda: self._speed(f"plain, {precision}", lambda done: self._model_fit(done, precision))

    def _speed(self, name: str, train: Callable[[Callable[[], None]], float]) -> float:
        """Rows a second of every epoch but the first, in which graphs are made."""
        import keras

        keras.backend.clear_session()
        gc.collect()
        keras.utils.set_random_seed(7)
        ends: list[float] = []
        self.losses[name] = train(lambda: ends.append(time.perf_counter()))
        return len(self.rows.label) * (len(ends) - 1) / (ends[-1] - ends[0])

    def _fit(self, done: Callable[[], None], precision: Any) -> float:
        from pipeline import data, training

        train = data.make_train(self._store, batch_size=self.batch_size, seed=7, epochs=_EPOCHS)
        validation = data.make_eval(self._store, batch_size=32).take(1)  # theirs has none
        history = training.fit(
            self.ours(), train, validation, spec=self.rows.spec, optimizer=self.optimizers[0], epochs=_EPOCHS,
            precision=precision, on_epoch=lambda history: done(),
        )  # fmt: skip
        return history.loss[-1]

    def _model_fit(self, done: Callable[[], None], precision: str) -> float:
        import keras
        import tensorflow as tf

        ours = self.ours()
        keras.config.set_dtype_policy("float32" if precision == "float32" else "mixed_bfloat16")
        try:
            model = self.plain(ours)
        finally:
            keras.config.set_dtype_policy("float32")
        model.compile(self.optimizers[1](), self.loss)
        slices = tf.data.Dataset.from_tensor_slices((self.rows.features, self.rows.label)).shuffle(_BUFFER)
        batches = slices.batch(self.batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
        on_end = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: done())
        return float(
            model.fit(batches, epochs=_EPOCHS, shuffle=False, verbose=0, callbacks=[on_end]).history["loss"][-1]
        )
