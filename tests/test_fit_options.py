"""What a training can be told besides: ensembles, label smoothing, averages, precision, penalties."""

from __future__ import annotations

import math
import re
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from pipeline.data.input_pipeline import make_eval, make_train
from pipeline.data.store import Store
from pipeline.errors import ConfigError, TrainingError
from pipeline.models import convnet
from pipeline.models.outputs import answer_losses, check_output, example_losses, scores
from pipeline.models.regularization import KINDS, ProximalL1L2, kernel
from pipeline.spec import Spec
from pipeline.training import fit
from pipeline.training.optimizers import SGD, Adam
from pipeline.training.proximal import soft_threshold
from tests.fitting import ROWS, SPEC, new_model, table, train

__all__ = ["train"]  # a fixture

TASKS = [Spec("binary", 2), Spec("multiclass", 4), Spec("regression", 1)]
NUMBERS = st.floats(-8, 8, width=32)


def labels_of(spec: Spec, rows: int, mixed: bool = False) -> tf.Tensor:
    generator = np.random.default_rng(rows)
    if spec.task == "regression":
        return tf.constant(generator.normal(size=rows), tf.float32)
    if mixed:
        return tf.constant(generator.dirichlet(np.ones(spec.num_classes), rows), tf.float32)
    return tf.constant(generator.integers(0, spec.num_classes, rows), tf.int32)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("spec", TASKS, ids=lambda spec: spec.task)
@settings(deadline=None, max_examples=30)
@given(data=st.data(), members=st.integers(1, 5))
def test_an_ensembles_loss_is_the_mean_of_its_members_and_its_answer_is_no_worse(
    spec: Spec, mixed: bool, data: st.DataObject, members: int
) -> None:
    logits = tf.constant(data.draw(arrays_of.arrays("float32", (3, members, spec.num_outputs), elements=NUMBERS)))
    label = labels_of(spec, 3, mixed)
    own = np.mean([example_losses(spec, label, logits[:, member], 0.1) for member in range(members)], axis=0)
    np.testing.assert_allclose(example_losses(spec, label, logits, 0.1), own, rtol=1e-4, atol=1e-5)
    answer = answer_losses(spec, label, logits).numpy()
    assert (answer <= example_losses(spec, label, logits).numpy() + 1e-4).all()
    averaged = np.mean([scores(spec, logits[:, member]) for member in range(members)], axis=0)
    np.testing.assert_allclose(scores(spec, logits), averaged, rtol=1e-4, atol=1e-6)
    if spec.task == "regression":
        np.testing.assert_allclose(answer, (averaged - label) ** 2, rtol=1e-3, atol=1e-4)
    elif not mixed:
        np.testing.assert_allclose(answer, -np.log(averaged[range(3), label.numpy()]), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("spec", TASKS[:2], ids=lambda spec: spec.task)
def test_label_smoothing_is_the_loss_of_the_smoothed_label_and_0_changes_nothing(spec: Spec) -> None:
    logits, label = tf.random.stateless_normal((6, spec.num_outputs), (1, 2)), labels_of(spec, 6)
    mixed = 0.8 * np.eye(spec.num_classes)[label.numpy()] + 0.2 / spec.num_classes
    smoothed, plain = example_losses(spec, label, logits, 0.2), example_losses(spec, label, logits)
    np.testing.assert_allclose(smoothed, example_losses(spec, tf.constant(mixed, tf.float32), logits), rtol=1e-5)
    np.testing.assert_array_equal(example_losses(spec, label, logits, 0.0), plain)
    assert not np.allclose(smoothed, plain)


def test_label_smoothing_keeps_a_model_from_being_too_sure(train: Store) -> None:
    def surest(smoothing: float) -> float:
        model, batches = new_model(), make_train(train, batch_size=16, seed=0, epochs=60)
        arguments = {"spec": SPEC, "optimizer": Adam(0.05), "epochs": 60, "label_smoothing": smoothing}
        fit(model, batches, make_eval(train), **arguments)
        return float(np.abs(model({"numeric": table(0)["numeric"]}).numpy()).max())

    assert surest(0.2) < 0.7 * surest(0.0)


@pytest.mark.parametrize(
    ("shape", "spec", "fits"),
    [
        ((3,), Spec("multiclass", 3), True),
        ((5, 3), Spec("multiclass", 3), True),
        ((1,), Spec("binary", 2), True),
        ((8, 1), Spec("regression", 1), True),
        ((4,), Spec("multiclass", 3), False),
        ((3, 5), Spec("multiclass", 3), False),
        ((2,), Spec("binary", 2), False),
        ((2, 2, 3), Spec("multiclass", 3), False),
        ((None, 3), Spec("multiclass", 3), False),
    ],
)
def test_an_output_fits_or_is_refused_with_what_came_and_what_was_expected(
    shape: tuple[int, ...], spec: Spec, fits: bool
) -> None:
    inputs = keras.Input(shape)
    model = keras.Model(inputs, keras.layers.Activation("linear")(inputs))
    if fits:
        check_output(model, spec)
        return
    with pytest.raises(ConfigError, match=re.escape(str((None, *shape)))) as caught:
        check_output(model, spec, error=ConfigError)
    assert f"(None, {spec.num_outputs}) for a" in str(caught.value)
    if shape == (4,):
        assert "4 classes, but the label has 3" in str(caught.value)


def test_a_model_of_several_outputs_is_refused() -> None:
    inputs = keras.Input((2,))
    model = keras.Model(inputs, {"a": inputs, "b": inputs})
    with pytest.raises(TrainingError, match="several parts"):
        check_output(model, SPEC)


def test_an_ensemble_is_trained_and_validated_by_its_answer(train: Store) -> None:
    keras.utils.set_random_seed(3)
    inputs = {"numeric": keras.Input((2,), name="numeric")}
    outputs = keras.layers.Reshape((3, 1))(keras.layers.Dense(3)(inputs["numeric"]))
    model, batches = keras.Model(inputs, outputs), make_train(train, batch_size=16, seed=0, epochs=10)
    history = fit(model, batches, make_eval(train), spec=SPEC, optimizer=Adam(0.05), epochs=10)
    assert history.val_loss[-1] < 0.6 * history.loss[0]
    columns = table(0)
    expected = answer_losses(SPEC, tf.constant(columns["label"]), model({"numeric": columns["numeric"]}))
    assert history.best_val_loss == pytest.approx(float(tf.reduce_mean(expected)), rel=1e-5)


def test_the_averaged_weights_are_those_that_are_validated_and_kept(train: Store) -> None:
    model, steps, decay, batches = new_model(), [], 0.5, make_train(train, batch_size=ROWS, seed=0, epochs=3)
    history = fit(model, batches, make_eval(train), spec=SPEC, optimizer=SGD(0.5), epochs=3, ema=decay)
    for epochs in (1, 2, 3):  # the weights themselves after one, two and three steps
        own, few = new_model(), make_train(train, batch_size=ROWS, seed=0, epochs=epochs)
        fit(own, few, make_eval(train), spec=SPEC, optimizer=SGD(0.5), epochs=epochs)
        steps.append(own.get_weights())
    assert history.best_epoch == 2
    for found, first, second, third in zip(model.get_weights(), *steps, strict=True):
        average = first
        for step, weights in enumerate((second, third), start=1):
            momentum = min(decay, step / (step + 9))  # it forgets its beginning faster at first
            average = momentum * average + (1 - momentum) * weights
        np.testing.assert_allclose(found, average, rtol=1e-4, atol=1e-6)


def test_bfloat16_trains_and_leaves_a_model_that_computes_in_float32() -> None:
    columns = table(0)
    images = {"image": (columns["numeric"][:, :1, None, None] * np.full((1, 8, 8, 1), 60) + 128).clip(0, 255)}
    rows = tf.data.Dataset.from_tensors(({"image": images["image"].astype(np.uint8)}, columns["label"]))
    spec, losses = Spec("binary", 2, image_shape=(8, 8, 1), num_train=ROWS), []
    for precision in ("float32", "bfloat16"):
        keras.utils.set_random_seed(2)
        model = convnet(spec, width=4, dropout=0.0)
        policies = [layer.dtype_policy.name for layer in model.layers]
        history = fit(model, rows.repeat(12), rows, spec=spec, optimizer=Adam(0.01), epochs=12, precision=precision)
        losses.append(history.loss)
        assert history.loss[-1] < 0.9 * history.loss[0]
        assert [layer.dtype_policy.name for layer in model.layers] == policies
        assert {variable.dtype for variable in model.weights if "seed" not in variable.path} == {"float32"}
        logits = model({"image": images["image"].astype(np.uint8)}, training=False)
        assert logits.dtype == tf.float32
        found = float(tf.reduce_mean(answer_losses(spec, tf.constant(columns["label"]), logits)))
        assert found == pytest.approx(history.best_val_loss, rel=1e-5)
    assert losses[0] != losses[1]  # it did compute otherwise
    assert losses[0] == pytest.approx(losses[1], rel=0.2)


@settings(deadline=None)
@given(arrays_of.arrays("float32", 6, elements=NUMBERS), st.floats(0, 4, width=32))
def test_the_soft_threshold_minimizes_distance_and_l1(weights: np.ndarray, threshold: float) -> None:
    found = soft_threshold(tf.constant(weights), threshold).numpy()

    def cost(x: np.ndarray) -> np.ndarray:
        return 0.5 * (x - weights) ** 2 + threshold * np.abs(x)

    tried = np.linspace(-9, 9, 181)[:, None]
    assert (cost(found) <= cost(tried).min(axis=0) + 1e-4).all()
    assert (found[np.abs(weights) <= threshold] == 0).all()


@pytest.mark.parametrize("proximal", [False, True])
def test_proximal_l1_makes_exact_zeros_and_the_plain_penalty_makes_none(train: Store, proximal: bool) -> None:
    keras.utils.set_random_seed(1)
    inputs = {"numeric": keras.Input((2,), name="numeric")}
    hidden = keras.layers.Dense(32, "relu", kernel_regularizer=kernel(0.02, 1e-4, proximal=proximal))
    model = keras.Model(inputs, keras.layers.Dense(1)(hidden(inputs["numeric"])))
    batches = make_train(train, batch_size=16, seed=0, epochs=40)
    history = fit(model, batches, make_eval(train), spec=SPEC, optimizer=SGD(0.1), epochs=40)
    zeros = float((hidden.kernel.numpy() == 0).mean())
    assert zeros > 0.2 if proximal else zeros == 0
    assert history.best_val_loss < 0.3


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_of_penalties_concerns_the_kinds_that_it_names(kind: Any) -> None:
    weights = keras.ops.array([1.0, -2.0])
    assert float(kernel({kind: 1.0}, {kind: 0.5}, kind)(weights)) == 3.0 + 2.5
    assert all(kernel({kind: 1.0}, 0.0, other) is None for other in KINDS if other != kind)
    assert kernel(1.0, 0.0, kind) is not None
    copied = ProximalL1L2.from_config(kernel(1.0, 0.5, kind, True).get_config())
    assert (copied.l1, copied.l2, float(copied(weights))) == (1.0, 0.5, 2.5)


@pytest.mark.parametrize("penalty", [-1.0, {"hidden": -1.0}, {"hiden": 1.0}, math.nan])
def test_a_penalty_that_is_none_is_refused(penalty: Any) -> None:
    with pytest.raises(ConfigError, match="model.l1"):
        kernel(penalty, 0.0)


@pytest.mark.parametrize(
    "arguments",
    [{"label_smoothing": 1.0}, {"ema": 1.0}, {"ema": 0.0}, {"budget": 0.0}, {"epochs": 0}, {"epochs": None}],
)
def test_a_number_out_of_its_range_is_refused(train: Store, arguments: dict[str, Any]) -> None:
    given = {"epochs": 1, "spec": SPEC, "optimizer": SGD(), **arguments}
    with pytest.raises(ConfigError, match="epochs" if "epochs" in arguments else next(iter(arguments))):
        fit(new_model(), make_train(train, batch_size=16, seed=0), make_eval(train), **given)
