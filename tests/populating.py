"""Rows of every kind, trials of every kind, and their losses in a population and by `fit`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pipeline import models
from pipeline.data.augment import MixUp
from pipeline.data.input_pipeline import make_eval, make_train
from pipeline.data.store import Store
from pipeline.spec import Bag, Spec
from pipeline.training import SGD, Adagrad, Adam, AdamW, Candidate, Population, fit
from pipeline.training.population import Lane
from tests.fitting import store_of

EPOCHS = 3
# Relative, of a validation loss in float32. What is seen is 1e-7 to 1e-6: the rounding of matrix products.
TOLERANCE = 1e-5
_ROWS, _CLASSES = {"train": 100, "validation": 40}, 3


@dataclass(frozen=True)
class Trial:
    """A training, as far as it may differ from those beside it; `model` is what the model is made with."""

    optimizer: Any = field(default_factory=lambda: AdamW(3e-3))
    model: tuple[tuple[str, Any], ...] = (("dropout", 0.2),)
    label_smoothing: float = 0.0
    ema: float | None = None
    precision: Any = "float32"
    seed: int = 0
    mix_up: float | None = None
    class_weight: Any = None


def of(optimizer: Any, label_smoothing: float = 0.0, seed: int = 0, **model: Any) -> Trial:
    """A trial whose model has some dropout."""
    given = tuple({"dropout": 0.2, **model}.items())
    return Trial(optimizer, given, label_smoothing=label_smoothing, seed=seed)


# Every optimizer and every schedule.
SMOOTHED = of(AdamW(3e-3, "cosine", weight_decay=0.1), 0.1, dropout=0.1, l1=1e-3)
TRIALS = [
    of(SGD(0.03, "warm_up", momentum=0.5, nesterov=False), dropout=0.3, l2=1e-3),
    of(Adam(1e-2, "reduce_on_plateau", plateau_patience=1, clip_norm=0.1), l1=1e-4, l2=1e-2),
    of(Adagrad(0.1, "one_cycle"), dropout=0.4),
    of(SGD(0.03, momentum=0.0)),
]


@dataclass(frozen=True)
class Task:
    """Rows of both sides, and the model that learns them."""

    spec: Spec
    train: Store
    validation: Store
    build: Callable[..., keras.Model]

    def model(self, trial: Trial) -> keras.Model:
        keras.backend.clear_session()
        keras.utils.set_random_seed(trial.seed)
        return self.build(self.spec, **dict(trial.model))

    def batches(self, trial: Trial, epochs: int = EPOCHS) -> Any:
        augment = [] if trial.mix_up is None else [MixUp(trial.mix_up)]
        own = {"seed": trial.seed, "augment": augment, "class_weight": trial.class_weight}
        return make_train(self.train, batch_size=32, epochs=epochs, **own)

    def options(self, trial: Trial) -> dict[str, Any]:
        return {"label_smoothing": trial.label_smoothing, "ema": trial.ema, "precision": trial.precision}

    def candidate(self, trial: Trial, epochs: int = EPOCHS) -> Candidate:
        batches = self.batches(trial, epochs)
        return Candidate.of(self.model(trial), trial.optimizer, batches, **self.options(trial))

    def population(self, trials: Sequence[Trial], *, epochs: int = EPOCHS, **options: Any) -> Population:
        candidates = [self.candidate(trial, epochs) for trial in trials]
        return Population(candidates, self.spec, make_eval(self.validation), epochs=epochs, **options)

    def run(self, trials: Sequence[Trial], **options: Any) -> list[Lane]:
        return self.population(trials, **options).run()

    def losses_by_fit(self, trial: Trial, **options: Any) -> list[float]:
        given = {"optimizer": trial.optimizer, "epochs": EPOCHS, **self.options(trial), **options}
        validation = make_eval(self.validation)
        batches = self.batches(trial, given["epochs"])
        return fit(self.model(trial), batches, validation, spec=self.spec, **given).val_loss


def assert_equal_losses(found: Sequence[float], expected: Sequence[float], tolerance: float = TOLERANCE) -> None:
    """The losses of all epochs, and as many of them."""
    assert len(found) == len(expected) > 0
    np.testing.assert_allclose(found, expected, rtol=tolerance)


class Tasks:
    """Makes stores once, whatever the model that learns them.

    Args:
      folder: for the stores.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._stores = folder, dict[str, Store]()

    def table(self, build: Callable[..., keras.Model] = models.mlp, task: Any = "multiclass") -> Task:
        """Numbers with edges and categories."""
        edges = (tuple(np.linspace(-2, 2, 5)),) * 2
        return self._task(build, task, num_numeric=3, edges=edges, vocabulary_sizes=(6, 4))

    def images(self, build: Callable[..., keras.Model] = models.convnet) -> Task:
        """8x8 pixels, brighter from class to class."""
        return self._task(build, "multiclass", image_shape=(8, 8, 1))

    def texts(self, build: Callable[..., keras.Model] = models.text_conv) -> Task:
        """Six words a row."""
        return self._task(build, "multiclass", bags=(Bag(size=30, slots=6, ordered=True),))

    def _task(self, build: Callable[..., keras.Model], task: Any, **parts: Any) -> Task:
        classes = {"binary": 2, "multiclass": _CLASSES, "regression": 1}[task]
        spec = Spec(task, classes, num_train=_ROWS["train"], **parts)
        return Task(spec, *(self._store(side, spec) for side in _ROWS), build)

    def _store(self, side: str, spec: Spec) -> Store:
        name = f"{side}-{spec.task}-{len(spec.bags)}-{spec.image_shape is not None}"
        if name not in self._stores:
            self._stores[name] = store_of(_columns(_ROWS[side], spec, side), self._folder / name, spec)
        return self._stores[name]


def _columns(rows: int, spec: Spec, side: str) -> dict[str, np.ndarray]:
    """What a model can learn, with enough noise that it is never sure."""
    random = np.random.default_rng(len(side))
    signal = random.normal(size=rows)
    found: dict[str, np.ndarray] = {}
    if spec.num_numeric:
        noise = random.normal(size=(rows, spec.num_numeric - 1))
        found["numeric"] = np.column_stack([signal, noise]).astype(np.float32)
        found["categorical"] = np.column_stack([random.integers(0, size, rows) for size in spec.vocabulary_sizes])
        found["categorical"] = found["categorical"].astype(np.int32)
        signal = signal + 0.3 * found["categorical"][:, 0]
    if spec.image_shape:
        noise = random.integers(0, 100, (rows, *spec.image_shape))
        found["image"] = (100 + 25 * signal[:, None, None, None] + noise).clip(0, 255).astype(np.uint8)
    if spec.bags:
        words = random.integers(0, spec.bags[0].size, (rows, spec.bags[0].slots))
        found["bags"] = np.where(signal[:, None] > 0, words, words // 3).astype(np.int32)
    target = signal + random.normal(scale=0.5, size=rows)
    if spec.task == "regression":
        return {**found, "label": target.astype(np.float32)}
    cuts = np.quantile(target, np.linspace(0, 1, spec.num_classes + 1)[1:-1])
    return {**found, "label": np.digitize(target, cuts).astype(np.int32)}
