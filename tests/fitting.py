"""Two classes that a line divides, and a small model of them: what tests of `fit` are given."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from pipeline.data.store import Store, StoreWriter
from pipeline.models import mlp
from pipeline.spec import Spec
from pipeline.training import History

ROWS = 64
SPEC = Spec("binary", 2, num_numeric=2, num_train=ROWS)


def store_of(columns: dict[str, np.ndarray], folder: Path, spec: Spec | None = None) -> Store:
    forms = {name: (str(v.dtype), v.shape[1:]) for name, v in columns.items()}
    writer = StoreWriter(folder, len(columns["label"]), forms, spec=spec)
    writer.append(columns)
    writer.close()
    return Store(folder)


def table(seed: int = 0) -> dict[str, np.ndarray]:
    """Two classes that a line divides."""
    x = np.random.default_rng(seed).normal(size=(ROWS, 2)).astype(np.float32)
    return {"numeric": x, "label": (x[:, 0] + x[:, 1] > 0).astype(np.int32)}


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return store_of(table(0), tmp_path_factory.mktemp("train"))


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Train rows' features with the classes exchanged: what is learnt from train can only make it worse."""
    columns = table(0)
    return store_of({**columns, "label": 1 - columns["label"]}, tmp_path_factory.mktemp("noise"))


def assert_same_training(found: tuple[History, list[np.ndarray]], expected: tuple[History, list[np.ndarray]]) -> None:
    assert found[0] == expected[0]
    assert all(np.array_equal(one, other) for one, other in zip(found[1], expected[1], strict=True))


@keras.saving.register_keras_serializable("tests")
class ReLU(keras.layers.Layer):
    """Makes 0 of a NaN on every processor: the kernels of Keras' own do so on some only."""

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return keras.ops.where(x > 0, x, 0.0)


def hides_nan(spec: Spec, *, dropout: float = 0.0) -> keras.Model:
    """A model that answers with numbers where a feature is NaN; what it learns from that is NaN."""
    inputs = {"numeric": keras.Input((spec.num_numeric,), name="numeric")}
    hidden = ReLU()(keras.layers.Dense(4)(inputs["numeric"]))
    hidden = keras.layers.Dropout(dropout)(hidden) if dropout else hidden
    return keras.Model(inputs, keras.layers.Dense(spec.num_outputs)(hidden))


def new_model(width: int = 8) -> keras.Model:
    keras.utils.set_random_seed(1)
    return mlp(SPEC, width=width, depth=1, dropout=0.0)
