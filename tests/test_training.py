"""Training learns, stops where it should, repeats itself bit for bit; a search never hides a failure."""

from __future__ import annotations

import hashlib
import math
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from pipeline.config import Train
from pipeline.data.augment import Crop
from pipeline.data.input_pipeline import make_eval, make_train
from pipeline.data.store import Store, StoreWriter
from pipeline.errors import ConfigError, TrainingError, TuningError
from pipeline.models import convnet, mlp
from pipeline.models.outputs import answer_losses, check_output, example_losses, scores
from pipeline.models.regularization import KINDS, ProximalL1L2, kernel
from pipeline.spec import Spec
from pipeline.training import History, Trial, best, default_space, fit, optimizers, to_hyperparameters, tune
from pipeline.training.optimizers import SGD, Adam
from pipeline.training.proximal import soft_threshold
from pipeline.training.schedules import Progress
from pipeline.training.space import overrides
from pipeline.training.steps import Pace

ROOT = Path(__file__).parents[1]
ROWS = 64
SPEC = Spec("binary", 2, num_numeric=2, num_train=ROWS)
IMAGES = Spec("multiclass", 3, image_shape=(8, 8, 1), num_train=ROWS)
# The range in which each optimizer works on so small a problem.
RATES = {"SGD": 0.1, "Adam": 0.02, "AdamW": 0.02, "Adagrad": 0.1}


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


def new_model(width: int = 8) -> keras.Model:
    keras.utils.set_random_seed(1)
    return mlp(SPEC, width=width, depth=1, dropout=0.0)


def trained_digest() -> str:
    """The weights of a training with shuffling, augmentation, dropout and BatchNorm; called in another process, too."""
    generator = np.random.default_rng(0)
    label = generator.integers(0, 3, ROWS).astype(np.int32)
    columns = {"image": generator.integers(0, 256, (ROWS, 8, 8, 1)).astype(np.uint8), "label": label}
    with tempfile.TemporaryDirectory() as folder:
        store = store_of(columns, Path(folder))
        keras.utils.set_random_seed(5)
        model = convnet(IMAGES, width=4, depth=1, dropout=0.3, l2=1e-4)
        batches = make_train(store, batch_size=20, seed=5, epochs=3, augment=[Crop()])
        history = fit(model, batches, make_eval(store), spec=IMAGES, optimizer=Adam(0.01, "cosine"), epochs=3)
    digest = hashlib.blake2b(repr(history).encode())
    for weight in model.get_weights():
        digest.update(weight.tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.parametrize("name", optimizers.__all__)
def test_every_optimizer_lowers_the_loss(train: Store, name: str, schedule: Any) -> None:
    optimizer = getattr(optimizers, name)(learning_rate=RATES[name], schedule=schedule)
    batches = make_train(train, batch_size=16, seed=0, epochs=10)
    history = fit(new_model(), batches, make_eval(train), spec=SPEC, optimizer=optimizer, epochs=10)
    assert len(history.loss) == len(history.val_loss) == 10
    assert history.val_loss[-1] < 0.6 * history.loss[0]


def test_early_stopping_leaves_the_weights_of_the_best_epoch(train: Store, noise: Store) -> None:
    epochs, patience, seen = 30, 3, []
    model = new_model()
    history = fit(
        model,
        make_train(train, batch_size=16, seed=0, epochs=epochs),
        make_eval(noise),
        spec=SPEC,
        optimizer=Adam(0.02),
        epochs=epochs,
        patience=patience,
        on_epoch=lambda history: seen.append(model.get_weights()),
    )
    assert len(history.loss) == history.best_epoch + 1 + patience < epochs
    assert history.best_val_loss == min(history.val_loss) < history.val_loss[-1]
    for found, expected, last in zip(model.get_weights(), seen[history.best_epoch], seen[-1], strict=True):
        assert np.array_equal(found, expected)
        assert not np.array_equal(found, last)


def test_without_patience_every_epoch_runs_and_the_best_weights_are_kept(train: Store, noise: Store) -> None:
    model, batches = new_model(), make_train(train, batch_size=16, seed=0, epochs=6)
    history = fit(model, batches, make_eval(noise), spec=SPEC, optimizer=Adam(0.02), epochs=6)
    assert len(history.loss) == 6
    again = fit(
        model, make_train(train, batch_size=ROWS, seed=0), make_eval(noise), spec=SPEC, optimizer=SGD(1e-30), epochs=1
    )
    assert again.val_loss[0] == pytest.approx(history.best_val_loss, rel=1e-6)


def test_the_validation_loss_is_the_mean_over_rows_whatever_the_batches(train: Store) -> None:
    losses = [
        fit(
            new_model(),
            make_train(train, batch_size=ROWS, seed=0),
            make_eval(train, batch_size=size),
            spec=SPEC,
            optimizer=SGD(),
            epochs=1,
        ).val_loss[0]
        for size in (ROWS, 7)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_penalties_count_in_the_loss_of_train_but_not_of_validation(train: Store) -> None:
    def first_losses(l2: float) -> History:
        keras.utils.set_random_seed(1)
        model, batches = mlp(SPEC, width=8, depth=1, dropout=0.0, l2=l2), make_train(train, batch_size=ROWS, seed=0)
        return fit(model, batches, make_eval(train), spec=SPEC, optimizer=SGD(1e-30), epochs=1)

    plain, penalized = first_losses(0.0), first_losses(1.0)
    assert penalized.loss[0] > plain.loss[0] + 1
    assert penalized.val_loss[0] == pytest.approx(plain.val_loss[0], rel=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_a_loss_that_is_not_finite_names_epoch_optimizer_and_learning_rate(train: Store) -> None:
    batches = make_train(train, batch_size=16, seed=0, epochs=5)
    with pytest.raises(TrainingError) as caught:
        fit(new_model(), batches, make_eval(train), spec=SPEC, optimizer=SGD(1e30), epochs=5)
    text = str(caught.value)
    assert re.search(r"The loss became (nan|inf) .* in epoch 1 with SGD at a learning rate of 1e\+30", text)
    assert "train.learning_rate=1e+29" in text


def test_an_output_that_does_not_fit_the_task_is_refused(train: Store) -> None:
    model = mlp(Spec("multiclass", 3, num_numeric=2), width=4)
    batches = make_train(train, batch_size=16, seed=0)
    with pytest.raises(TrainingError, match=r"shape \(None, 3\)") as caught:
        fit(model, batches, make_eval(train), spec=SPEC, optimizer=SGD(), epochs=1)
    assert "(None, 1) for a binary task" in str(caught.value)


@pytest.mark.parametrize("epochs", [3, 5])
def test_batches_that_make_no_equal_epochs_are_refused(train: Store, epochs: int) -> None:
    batches = make_train(train, batch_size=16, seed=0, epochs=2)
    with pytest.raises(ConfigError, match="8 batches"):
        fit(new_model(), batches, make_eval(train), spec=SPEC, optimizer=SGD(), epochs=epochs)


def test_batches_that_begin_within_an_epoch_are_refused(train: Store) -> None:
    batches = make_train(train, batch_size=16, seed=0, epochs=2, first_step=2)
    with pytest.raises(ConfigError, match="6 batches, and an epoch has 4"):
        fit(new_model(), batches, make_eval(train), spec=SPEC, optimizer=SGD(), epochs=2)


def test_a_feed_of_one_epoch_gives_as_many_as_are_wanted(train: Store) -> None:
    def run(epochs: int) -> tuple[History, list[np.ndarray]]:
        model, batches = new_model(), make_train(train, batch_size=16, seed=0, epochs=epochs)
        return fit(model, batches, make_eval(train), spec=SPEC, optimizer=SGD(), epochs=3), model.get_weights()

    assert_same_training(run(1), run(3))


def test_the_task_is_that_of_the_store(tmp_path: Path) -> None:
    columns, spec = table(0), Spec("regression", 1, num_numeric=2, num_train=ROWS)
    columns["label"] = columns["numeric"][:, 0]
    store = store_of(columns, tmp_path, spec)

    def run(spec: Spec | None) -> tuple[History, list[np.ndarray]]:
        model, batches = new_model(), make_train(store, batch_size=16, seed=0)
        return fit(model, batches, make_eval(store), spec=spec, optimizer=SGD(), epochs=2), model.get_weights()

    assert_same_training(run(None), run(spec))


def test_sample_weights_move_the_weights_as_in_keras(train: Store) -> None:
    columns = table(0)
    x, y, weight = {"numeric": columns["numeric"]}, columns["label"], np.linspace(0, 3, ROWS).astype(np.float32)
    batches = tf.data.Dataset.from_tensor_slices((x, y, weight)).batch(16)
    ours, theirs = new_model(), new_model()
    fit(ours, batches.repeat(2), batches, spec=SPEC, optimizer=SGD(0.1, momentum=0.5), epochs=2)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    theirs.compile(keras.optimizers.SGD(0.1, momentum=0.5, nesterov=True), loss)
    theirs.fit(batches, epochs=2, verbose=0, shuffle=False)
    for found, expected in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_the_validation_loss_is_the_mean_weighted_by_the_rows(train: Store) -> None:
    columns, weight = table(0), np.linspace(0, 3, ROWS).astype(np.float32)
    rows = tf.data.Dataset.from_tensor_slices(({"numeric": columns["numeric"]}, columns["label"], weight)).batch(10)
    model = new_model()
    batches = make_train(train, batch_size=ROWS, seed=0)
    found = fit(model, batches, rows, spec=SPEC, optimizer=SGD(1e-30), epochs=1).val_loss[0]
    logits, label = model({"numeric": columns["numeric"]}).numpy()[:, 0].astype(float), columns["label"]
    losses = np.log1p(np.exp(np.where(label == 1, -logits, logits)))
    assert found == pytest.approx(np.average(losses, weights=weight), rel=1e-5)
    assert found != pytest.approx(losses.mean(), rel=1e-3)


def test_validation_rows_that_all_count_nothing_are_refused(train: Store) -> None:
    rows = make_eval(train).map(lambda features, label: (features, label, tf.zeros(tf.shape(label))))
    with pytest.raises(TrainingError, match="add up to 0"):
        fit(new_model(), make_train(train, batch_size=ROWS, seed=0), rows, spec=SPEC, optimizer=SGD(), epochs=1)


@given(
    epochs=st.integers(1, 4),
    steps=st.integers(1, 50),
    every=st.none() | st.integers(1, 60),
    fixed=st.none() | st.integers(1, 60),
)
def test_calls_into_the_graph_end_where_epochs_and_checkpoints_do(
    epochs: int, steps: int, every: int | None, fixed: int | None
) -> None:
    pace, ends = Pace(every, fixed), [0]
    while ends[-1] < epochs * steps:
        count = pace.steps(ends[-1], (ends[-1] // steps + 1) * steps)
        assert 1 <= count <= (fixed or count)
        pace.took(count)
        ends.append(ends[-1] + count)
    assert set(range(0, epochs * steps + 1, steps)) <= set(ends)
    assert every is None or set(range(0, epochs * steps + 1, every)) <= set(ends)


def test_calls_become_long_when_steps_are_quick_and_stay_short_when_they_are_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr("pipeline.training.steps.time.perf_counter", lambda: now)

    def counts(seconds_a_step: float) -> list[int]:
        nonlocal now
        pace, found = Pace(), []
        for call in range(8):
            found.append(pace.steps(0, 10**9))
            now += 3.0 * (call == 0) + seconds_a_step * found[-1]  # the first call also makes the graph
            pace.took(found[-1])
        return found

    quick, slow = counts(0.001), counts(2.0)
    assert quick[:2] == [1, 1]
    assert quick == sorted(quick)
    assert 400 <= quick[-1] <= 600
    assert slow == [1] * 8


def test_a_dataset_of_unknown_length_is_refused(train: Store) -> None:
    endless = make_train(train, batch_size=16, seed=0).repeat()
    with pytest.raises(ConfigError, match="batches"):
        fit(new_model(), endless, make_eval(train), spec=SPEC, optimizer=SGD(), epochs=1)


def test_the_same_training_in_two_processes_gives_the_same_weights_bit_for_bit() -> None:
    code = "import sys; sys.path.insert(0, 'tests'); import test_training as t; print(t.trained_digest())"
    elsewhere = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    here = trained_digest()
    assert elsewhere.stdout.strip() == here == trained_digest()


# ensembles, label smoothing, averages, precision, proximal L1

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


# the search

SPACE = {
    "train.optimizer": ["Adam", "SGD"],
    "train.learning_rate": {"min": 1e-4, "max": 1e-1, "log": True},
    "model.width": {"min": 8, "max": 64},
    "model.depth": [1, 2, 3],
}
START = {"train.optimizer": "SGD", "train.learning_rate": 3e-3, "model.width": 32, "model.depth": 2}


def bowl(chosen: dict[str, Any]) -> float:
    return math.log10(chosen["train.learning_rate"] / 1e-2) ** 2 + chosen["model.depth"]


def search(
    tmp_path: Path, objective: Any = bowl, space: Any = SPACE, start: Any = START, **arguments: Any
) -> list[Trial]:
    settings = {"trials": 6, "seed": 0, "directory": tmp_path / str(len(list(tmp_path.iterdir()))), **arguments}
    return tune(objective, to_hyperparameters(space, start), **settings)


@pytest.mark.parametrize("algorithm", ["random", "bayesian"])
def test_the_first_trial_is_the_config_itself(tmp_path: Path, algorithm: str) -> None:
    trials = search(tmp_path, algorithm=algorithm)
    assert trials[0] == Trial(START, bowl(START))
    assert len(trials) == 6
    assert len({repr(trial.overrides) for trial in trials}) == 6


@pytest.mark.parametrize("algorithm", ["random", "bayesian"])
@pytest.mark.parametrize("seed", [0, 7])
def test_the_same_seed_gives_the_same_trials(tmp_path: Path, algorithm: str, seed: int) -> None:
    first, same, other = (search(tmp_path, algorithm=algorithm, seed=number) for number in (seed, seed, seed + 1))
    assert first == same
    assert first != other


@pytest.mark.parametrize("algorithm", ["random", "bayesian"])
def test_every_value_is_one_that_the_space_admits(tmp_path: Path, algorithm: str) -> None:
    for trial in search(tmp_path, algorithm=algorithm, trials=12):
        assert trial.overrides.keys() == SPACE.keys()
        assert trial.overrides["train.optimizer"] in ("Adam", "SGD")
        assert 1e-4 <= trial.overrides["train.learning_rate"] <= 1e-1
        assert 8 <= trial.overrides["model.width"] <= 64
        assert trial.overrides["model.depth"] in (1, 2, 3)
        assert type(trial.overrides["model.width"]) is type(trial.overrides["model.depth"]) is int


def test_a_grid_is_gone_through_once_and_then_ends(tmp_path: Path) -> None:
    space = {"model.width": [8, 16], "model.depth": [1, 2, 3]}
    trials = search(tmp_path, lambda chosen: chosen["model.width"], space, {}, algorithm="grid", trials=100)
    tried = sorted((trial.overrides["model.width"], trial.overrides["model.depth"]) for trial in trials)
    assert tried == [(width, depth) for width in (8, 16) for depth in (1, 2, 3)]


def test_a_small_space_ends_a_random_search(tmp_path: Path) -> None:
    trials = search(
        tmp_path, lambda chosen: chosen["model.depth"], {"model.depth": [1, 2, 3]}, {"model.depth": 2}, trials=10
    )
    assert sorted(trial.overrides["model.depth"] for trial in trials) == [1, 2, 3]


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_a_failed_trial_keeps_its_error_and_is_never_the_best(tmp_path: Path, failing: int) -> None:
    def objective(chosen: dict[str, Any]) -> float:
        if chosen["model.depth"] == failing:
            raise TrainingError(f"depth {failing} is no good")
        return float(chosen["model.depth"])

    trials = search(tmp_path, objective, {"model.depth": [1, 2, 3]}, {"model.depth": 1}, algorithm="grid", trials=3)
    (failed,) = (trial for trial in trials if trial.error)
    assert failed == Trial({"model.depth": failing}, None, f"TrainingError: depth {failing} is no good")
    assert best(trials).overrides["model.depth"] == (2 if failing == 1 else 1)


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_a_failure(tmp_path: Path, score: float) -> None:
    def objective(chosen: dict[str, Any]) -> float:
        return score if chosen["model.depth"] == 1 else 5.0

    trials = search(tmp_path, objective, {"model.depth": [1, 2]}, {"model.depth": 1})
    assert [trial.score for trial in sorted(trials, key=lambda trial: trial.overrides["model.depth"])] == [None, 5.0]
    assert best(trials).score == 5.0


@pytest.mark.parametrize("algorithm", ["random", "bayesian", "grid"])
def test_a_search_in_which_all_fail_raises_the_first_error(tmp_path: Path, algorithm: str) -> None:
    seen: list[Trial] = []

    def objective(chosen: dict[str, Any]) -> float:
        raise ValueError(f"failure {len(seen) + 1}")

    with pytest.raises(TuningError, match="All 5 trials failed. The first one: ValueError: failure 1"):
        search(tmp_path, objective, algorithm=algorithm, trials=5, on_trial=seen.append)
    assert [trial.error for trial in seen] == [f"ValueError: failure {number}" for number in range(1, 6)]


def test_a_keyboard_interrupt_ends_the_search(tmp_path: Path) -> None:
    def objective(chosen: dict[str, Any]) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, objective)


def test_the_best_of_no_trials_is_an_error() -> None:
    with pytest.raises(TuningError, match="no configuration"):
        best([])


def test_choices_of_all_kinds_come_back_as_they_were() -> None:
    tables = [{"name": "SGD", "momentum": 0.5}, "Adam"]
    space = {
        "train.optimizer": tables,
        "model.depth": [1, 2],
        "model.dropout": [0.0, 0.5],
        "model.proximal": [True, False],
    }
    chosen = overrides(to_hyperparameters(space, {"train.optimizer": "Adam", "model.proximal": False}))
    assert chosen == {"train.optimizer": "Adam", "model.depth": 1, "model.dropout": 0.0, "model.proximal": False}
    assert overrides(to_hyperparameters(space, {}))["train.optimizer"] == tables[0]


def test_a_start_outside_the_space_is_not_its_default() -> None:
    chosen = overrides(to_hyperparameters(SPACE, {"train.learning_rate": 5.0, "model.width": 1000, "model.depth": 9}))
    assert (chosen["train.learning_rate"], chosen["model.width"], chosen["model.depth"]) == (1e-4, 8, 1)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "is empty"),
        ({"model.width": []}, "lists no choice"),
        ({"model.width": 8}, '"tune.space.model.width" is 8'),
        ({"model.width": {"min": 8}}, "model.width"),
        ({"model.width": {"min": 8, "max": 8}}, "min is 8 and max is 8"),
        ({"model.width": {"min": 9, "max": 8}}, "min is 9 and max is 8"),
        ({"model.width": {"min": "a", "max": "b"}}, "model.width"),
        ({"model.width": {"min": True, "max": 8}}, "model.width"),
        ({"model.width": {"min": 1, "max": 8, "stride": 2}}, "model.width"),
        ({"model.l2": {"min": 0.0, "max": 1.0, "log": True}}, "logarithmic"),
        ({"split.train": [0.5, 0.6]}, '"split.train" cannot be tuned'),
        ({"seed": [0, 1]}, '"seed" cannot be tuned'),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(space: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        to_hyperparameters(space, {})


@pytest.mark.parametrize(
    "bounds",
    [
        {"min": 0.1, "max": 1.0, "log": True, "step": 0.5},
        {"min": 0.0, "max": 1.0, "step": -1},
        {"min": 0.0, "max": 1.0, "step": "a"},
        {"min": 1, "max": 8, "step": 0.5},
        {"min": 1, "max": 8, "step": 0},
    ],
)
def test_a_step_that_contradicts_its_range_is_refused(bounds: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="step"):
        to_hyperparameters({"model.l2": bounds}, {})


@pytest.mark.parametrize("spec", [SPEC, IMAGES], ids=["table", "images"])
def test_the_default_space_names_keys_that_exist_and_can_be_searched(spec: Spec) -> None:
    space = default_space(spec)
    chosen = overrides(to_hyperparameters(space, {}))
    model = convnet if spec.image_shape else mlp
    assert model(spec, **{key[6:]: value for key, value in chosen.items() if key.startswith("model.")})
    assert {key[6:] for key in space if key.startswith("train.")} <= set(Train.model_fields)
    assert set(space["train.optimizer"]) <= set(optimizers.__all__)


def test_tensorflow_sees_no_step_in_python(train: Store) -> None:
    """An epoch is one call into the graph: the optimizer's own counter agrees with the number of batches."""
    built: list[keras.optimizers.Optimizer] = []

    class Remembered(SGD):
        def build(self, progress: Progress, ema: float | None = None) -> keras.optimizers.Optimizer:
            built.append(super().build(progress, ema))
            return built[-1]

    batches = make_train(train, batch_size=10, seed=0, epochs=3)
    fit(new_model(), batches, make_eval(train), spec=SPEC, optimizer=Remembered(), epochs=3)
    assert int(tf.convert_to_tensor(built[0].iterations)) == 3 * 7
