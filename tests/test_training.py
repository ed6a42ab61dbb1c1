"""Training learns, stops where it should, and repeats itself bit for bit."""

from __future__ import annotations

import hashlib
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
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.augment import Crop
from pipeline.data.input_pipeline import make_eval, make_train
from pipeline.data.store import Store
from pipeline.errors import ConfigError, TrainingError
from pipeline.models import convnet, mlp
from pipeline.spec import Spec
from pipeline.training import History, fit, optimizers
from pipeline.training.optimizers import SGD, Adam
from pipeline.training.schedules import Progress
from pipeline.training.steps import Pace
from tests.fitting import ROWS, SPEC, assert_same_training, new_model, noise, store_of, table, train

__all__ = ["noise", "train"]  # fixtures

ROOT = Path(__file__).parents[1]
IMAGES = Spec("multiclass", 3, image_shape=(8, 8, 1), num_train=ROWS)
# The range in which each optimizer works on so small a problem.
RATES = {"SGD": 0.1, "Adam": 0.02, "AdamW": 0.02, "Adagrad": 0.1}


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
    code = "from tests.test_training import trained_digest; print(trained_digest())"
    elsewhere = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    here = trained_digest()
    assert elsewhere.stdout.strip() == here == trained_digest()


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
