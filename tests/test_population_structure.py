"""Which models can be trained in one program, and what a population leaves behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import pytest
import tensorflow as tf

from pipeline import models
from pipeline.spec import Bag, Spec
from pipeline.training import SGD, Adam, Candidate
from pipeline.training.population import group_key
from pipeline.training.population.structure import numbers_of, structure_of
from tests.populating import Tasks, Trial

ROOT = Path(__file__).parents[1]
EDGES = ((-1.0, 0.0, 1.0),) * 2
TABLE = Spec("multiclass", 3, num_numeric=2, edges=EDGES, vocabulary_sizes=(5,), num_train=100)
IMAGES = Spec("multiclass", 3, image_shape=(8, 8, 1), num_train=100)
TEXTS = Spec("binary", 2, bags=(Bag(size=30, slots=6, ordered=True),), num_train=100)
SMALL: dict[str, tuple[Spec, dict[str, Any]]] = {
    "backbone": (Spec("multiclass", 3, image_shape=(32, 32, 3)), {}),
    "convnet": (IMAGES, {"width": 4, "depth": 1}),
    "mlp": (TABLE, {"width": 4}),
    "residual_mlp": (TABLE, {"width": 4}),
    "tabm": (TABLE, {"width": 4, "members": 2}),
    "text_bag": (TEXTS, {"width": 4}),
    "text_conv": (TEXTS, {"width": 4}),
}


def structure(name: str, **changed: Any) -> str | None:
    spec, given = SMALL[name]
    keras.backend.clear_session(free_memory=False)
    return structure_of(getattr(models, name)(spec, **{**given, "dropout": 0.1, **changed}))


def layers_alone(*layers: Callable[[], keras.layers.Layer], last: Callable[..., Any] = keras.layers.Dense) -> Any:
    """A model of some layers, and one of a unit behind them."""
    keras.backend.clear_session(free_memory=False)
    inputs = x = keras.Input((3,))
    for layer in layers:
        x = layer()(x)
    return keras.Model(inputs, last(1)(x))


def test_this_table_has_every_model_of_the_room() -> None:
    assert set(SMALL) == set(models.__all__)


@pytest.mark.parametrize("name", sorted({*SMALL} - {"text_bag", "text_conv", "backbone"}))
def test_models_that_differ_in_numbers_have_one_structure_and_others_do_not(name: str) -> None:
    first = structure(name)
    assert first is not None
    for same in ({}, {"dropout": 0.3}, {"l1": 1e-3}, {"l2": 1e-3}, {"l1": 1e-3, "proximal": True}):
        assert structure(name, **same) == first
    other = [{"width": 8}, {"depth": 2 if name != "mlp" else 3}, {"dropout": 0.0}]
    other += [{"numbers": "periodic"}] if name not in ("convnet",) else []
    found = [structure(name, **one) for one in other]
    assert None not in found
    assert len({first, *found}) == len(other) + 1


@pytest.mark.parametrize("name", ["text_bag", "text_conv"])
def test_models_with_large_tables_of_words_are_trained_alone(name: str) -> None:
    assert structure(name) is None


@keras.saving.register_keras_serializable("tests")
class OwnLoss(keras.layers.Layer):
    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        if training:
            self.add_loss(tf.reduce_mean(inputs))
        return inputs


@keras.saving.register_keras_serializable("tests")
class HiddenLoss(keras.layers.Layer):
    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        if training:
            getattr(self, "add_" + "loss")(tf.reduce_mean(inputs))
        return inputs


@keras.saving.register_keras_serializable("tests")
class Halving(keras.layers.Dropout):
    """Derived from a dropout, and none."""

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        return inputs * self.rate


@keras.saving.register_keras_serializable("tests")
class Dropout(keras.layers.Layer):
    """Has the name of one of Keras, and is none."""

    def __init__(self, rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = rate

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs * self.rate


class Undescribed(keras.Model):
    """Takes an argument that Keras cannot describe."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return self.layer(inputs)

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError


class Penalty(keras.regularizers.Regularizer):
    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(x**4)

    def get_config(self) -> dict[str, Any]:
        return {}


def scaled(factor: float) -> Callable[[], keras.layers.Layer]:
    """A layer whose class has its surroundings: Keras knows them all by one name."""

    class Scale(keras.layers.Layer):
        def call(self, inputs: tf.Tensor) -> tf.Tensor:
            return inputs * factor

    return Scale


def activated(factor: float) -> Callable[[], keras.layers.Layer]:
    def activation(x: tf.Tensor) -> tf.Tensor:
        return x * factor

    return lambda: keras.layers.Dense(3, activation=activation)


@pytest.mark.parametrize(
    "layer",
    [
        OwnLoss,
        lambda: keras.layers.Dense(3, activity_regularizer="l2"),
        lambda: keras.layers.Dense(3, kernel_regularizer=Penalty()),
        lambda: keras.layers.Dense(3, kernel_regularizer="orthogonal_regularizer"),
        lambda: keras.layers.Dense(3, kernel_constraint="non_neg"),
        scaled(2.0),
        activated(2.0),
    ],
    ids=["loss", "activity", "own penalty", "orthogonal", "constraint", "local class", "local function"],
)
def test_a_layer_that_a_program_would_not_train_alike_is_trained_alone(layer: Any) -> None:
    assert structure_of(layers_alone(layer)) is None


def test_a_model_that_keras_cannot_describe_is_trained_alone() -> None:
    model = Undescribed(keras.layers.Dense(1))
    model(tf.zeros((1, 3)))
    assert structure_of(model) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (partial(keras.layers.Dense, 3), partial(keras.layers.Dense, 4)),
        (partial(keras.layers.Dense, 3, "relu"), partial(keras.layers.Dense, 3, "tanh")),
        (keras.layers.BatchNormalization, keras.layers.LayerNormalization),
        (partial(keras.layers.GaussianNoise, 0.1), partial(keras.layers.GaussianNoise, 0.2)),
        (partial(keras.layers.AlphaDropout, 0.1), partial(keras.layers.AlphaDropout, 0.2)),
        (partial(keras.layers.GaussianDropout, 0.1), partial(keras.layers.GaussianDropout, 0.2)),
        (partial(Halving, 0.1), partial(Halving, 0.2)),
        (partial(Dropout, 0.1), partial(Dropout, 0.2)),
    ],
)
def test_what_a_program_has_no_number_for_is_part_of_the_structure(one: Any, other: Any) -> None:
    first, second = layers_alone(one), layers_alone(other)
    assert structure_of(first) is not None
    assert structure_of(first) == structure_of(layers_alone(one))
    assert structure_of(first) != structure_of(second)
    assert numbers_of(first).rates == ()


def test_a_loss_that_nobody_could_see_before_stops_the_program(tmp_path: Path) -> None:
    def build(spec: Spec, *, dropout: float) -> keras.Model:
        inputs = {"numeric": keras.Input((3,), name="numeric"), "categorical": keras.Input((2,), name="categorical")}
        return keras.Model(inputs, keras.layers.Dense(3)(HiddenLoss()(inputs["numeric"])))

    task = Tasks(tmp_path).table(build)
    with pytest.raises(ValueError, match="losses of its own"):
        task.run([Trial(SGD(0.01)), Trial(Adam(0.01))], together=True)


def test_the_group_is_that_of_structure_batches_and_precision(tmp_path: Path) -> None:
    task = Tasks(tmp_path).table(partial(models.mlp, width=4, depth=1))

    def key(**changed: Any) -> str | None:
        return group_key(task.candidate(Trial(**changed)))

    first = key()
    assert first == key(optimizer=SGD(0.1), seed=3) == key(label_smoothing=0.1) != key(mix_up=0.1)
    assert key(mix_up=0.1) == key(mix_up=0.5)
    assert len({first, key(precision="bfloat16"), key(ema=0.9), key(class_weight="balanced")}) == 4

    plain = keras.optimizers.SGD(0.1)  # not one of ours
    model = task.model(Trial())
    assert group_key(Candidate.of(model, plain, task.batches(Trial()))) is None
    anything = task.batches(Trial()).map(lambda *batch: batch)  # no feed that begins anywhere
    assert group_key(Candidate.of(model, SGD(0.1), anything)) is None


MEMORY = """
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from pipeline import models
from pipeline.data.input_pipeline import make_eval
from pipeline.training import SGD, Adam, Population
from tests.populating import Tasks, Trial

def held():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

task, programs = Tasks(Path(sys.argv[1])).table(partial(models.mlp, width=4, depth=1)), {}
validation = make_eval(task.validation)
for number in range(60):
    first = task.candidate(Trial(SGD(0.01)), 1)
    found = [first, replace(first, optimizer=Adam(0.01))]
    lanes = Population(found, task.spec, validation, epochs=1, together=True, programs=programs).run()
    assert all(len(lane.history) == 1 for lane in lanes)
    del first, found, lanes
    if number == 19:
        before = held()
print(held() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory from /proc")
def test_populations_leave_nothing_behind_in_memory(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MEMORY, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.splitlines()[-1]) < 25  # MiB, of 40 populations
