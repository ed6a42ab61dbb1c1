"""A training that ends by the clock ends in time, its schedule ends with it, and it goes on where it was killed."""

from __future__ import annotations

import itertools
import math
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import Config, parse
from pipeline.config_sections import seconds_of
from pipeline.errors import ConfigError
from pipeline.models import mlp
from pipeline.spec import Spec
from pipeline.training import SGD, Checkpoints, History, fit
from pipeline.training.budget import Budget
from pipeline.training.schedules import Progress
from tests.helpers import undisturbed
from tests.resuming import Job, make_eval, make_train

SPEC = Spec("binary", 2, num_numeric=3, num_train=70)


@dataclass(frozen=True)
class Watched(SGD):
    """Remembers the progress that it is built with."""

    seen: list[Progress] = field(default_factory=list)

    def build(self, progress: Progress, ema: float | None = None) -> keras.optimizers.Optimizer:
        self.seen.append(progress)
        return super().build(progress, ema)


def train_for(folder: Path, budget: float, **arguments: Any) -> tuple[History, float, Watched]:
    """Trains a small table for so long; and the seconds that it took, and what was built."""
    keras.utils.set_random_seed(1)
    optimizer = arguments.pop("optimizer", Watched(0.05, "cosine"))
    model, store = mlp(SPEC, width=16, depth=1, dropout=0.0), Job(folder).store()
    train = arguments.pop("train", None) or make_train(store, batch_size=16, seed=1)
    validation = arguments.pop("validation", None) or make_eval(store)
    history = fit(model, train, validation, optimizer=optimizer, budget=budget, spec=SPEC, **arguments)
    return history, history.seconds, optimizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the stores; and TensorFlow has made its first graphs."""
    found = tmp_path_factory.mktemp("stores")
    train_for(found, 1e-3)
    return found


def slow(dataset: tf.data.Dataset, seconds: float) -> tf.data.Dataset:
    """Each batch of it takes so long."""

    def wait(*batch: Any) -> Any:
        def sleep() -> np.float32:
            time.sleep(seconds)
            return np.float32(0)

        zero = tf.numpy_function(sleep, [], tf.float32)
        with tf.control_dependencies([zero]):
            return tf.nest.map_structure(tf.identity, batch)

    return dataset.map(wait)


def test_a_training_ends_within_5_percent_of_its_budget_and_the_schedule_with_it(folder: Path) -> None:
    def run() -> None:
        history, seconds, optimizer = train_for(folder, 3.0)
        assert seconds == pytest.approx(3.0, rel=0.05)
        assert history.epochs == history.steps / 5 > 20
        assert len(history.loss) == len(history.val_loss) > 20
        progress = float(optimizer.seen[0](history.steps))
        assert progress == pytest.approx(1.0, abs=0.03)
        assert history.best_val_loss < 0.5 * history.loss[0]

    undisturbed(run)


@pytest.mark.parametrize("num_steps", [5, 1000])
def test_slow_steps_and_epochs_that_are_longer_than_the_budget(folder: Path, num_steps: int) -> None:
    def run() -> None:
        store = Job(folder).store()
        train = slow(make_train(store, batch_size=16, seed=1, epochs=num_steps // 5), 0.02)
        history, seconds, optimizer = train_for(folder, 3.0, train=train)
        assert seconds == pytest.approx(3.0, rel=0.05)
        if num_steps == 1000:
            assert history.epochs < 1  # and yet it is validated, at the end
            assert len(history.val_loss) == 1
        assert float(optimizer.seen[0](history.steps)) == pytest.approx(1.0, abs=0.1)

    undisturbed(run)


def test_the_last_validation_is_foreseen(folder: Path) -> None:
    def run() -> None:
        store = Job(folder).store()
        validation = make_eval(store, batch_size=7)  # ten batches

        class Slow(keras.layers.Layer):
            """An inference that takes 50 ms a batch."""

            def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
                if training or isinstance(x, keras.KerasTensor):
                    return x

                def sleep(value: np.ndarray) -> np.ndarray:
                    time.sleep(0.05)
                    return value

                return tf.ensure_shape(tf.numpy_function(sleep, [x], tf.float32), x.shape)

        inputs = {"numeric": keras.Input((3,), name="numeric")}
        model = keras.Model(inputs, keras.layers.Dense(1)(Slow()(inputs["numeric"])))
        train = make_train(store, batch_size=16, seed=1, epochs=10_000)
        history = fit(model, train, validation, optimizer=SGD(0.05), spec=SPEC, budget=4.0)
        assert history.seconds == pytest.approx(4.0, rel=0.05)
        assert len(history.val_loss) >= 2

    undisturbed(run)


def test_epochs_are_a_limit_beside_the_budget_and_the_schedule_ends_with_whatever_comes_first(folder: Path) -> None:
    history, seconds, optimizer = train_for(folder, 60.0, epochs=3)
    assert history.steps == 15
    assert len(history.loss) == 3
    assert seconds < 30
    assert float(optimizer.seen[0](15)) == pytest.approx(1.0, abs=0.3)


def test_patience_ends_a_training_before_its_budget(folder: Path) -> None:
    contrary = make_eval(Job(folder).store(contrary=True))
    history, seconds, _ = train_for(folder, 60.0, validation=contrary, patience=2)
    assert len(history.loss) == history.best_epoch + 3
    assert seconds < 30


def test_a_budget_of_no_time_at_all_still_gives_a_model(folder: Path) -> None:
    history, _, _ = train_for(folder, 1e-3)
    assert history.steps == 1
    assert len(history.val_loss) == 1


def test_a_dataset_of_ones_own_is_one_epoch(folder: Path) -> None:
    def run() -> None:
        rows = make_eval(Job(folder).store(), batch_size=10)
        foreign = tf.data.Dataset.from_generator(lambda: iter(rows), output_signature=rows.element_spec)
        train = foreign.apply(tf.data.experimental.assert_cardinality(7))
        history, seconds, _ = train_for(folder, 2.0, train=train)
        assert history.epochs == history.steps / 7 > 1
        assert seconds == pytest.approx(2.0, rel=0.05)

    undisturbed(run)


class Interrupted(Exception):
    """Stands for a kill."""


def test_what_was_spent_before_a_kill_counts(folder: Path, tmp_path: Path) -> None:
    def run() -> None:
        said: list[str] = []
        checkpoints = Checkpoints(tempfile.mkdtemp(dir=tmp_path), every_seconds=0.05, note=said.append)

        def stop(history: History) -> None:
            if history.seconds > 1.5:
                raise Interrupted

        with pytest.raises(Interrupted):
            train_for(folder, 4.0, checkpoint=checkpoints, on_epoch=stop)
        started = time.perf_counter()
        history, seconds, optimizer = train_for(folder, 4.0, checkpoint=checkpoints)
        assert time.perf_counter() - started < 3.5
        assert seconds == pytest.approx(4.0, rel=0.05)
        assert len(said) == 1
        assert "of 4 s, of which " in said[0]
        assert float(optimizer.seen[0](history.steps)) == pytest.approx(1.0, abs=0.03)

    undisturbed(run)


# the parts


@given(number=st.integers(1, 10_000), unit=st.sampled_from("smh"))
def test_a_duration_is_a_number_and_a_unit(number: int, unit: str) -> None:
    assert seconds_of(f"{number}{unit}") == number * {"s": 1, "m": 60, "h": 3600}[unit]


@pytest.mark.parametrize(
    "text", ["", "5", "m", "5 m", "5d", "-5m", "0s", "1e3s", "5m30s", "nan", "٥m", 300, True, "5M"]
)
def test_anything_else_is_refused_by_the_config(text: Any) -> None:
    with pytest.raises(ConfigError, match=r"train\.budget"):
        parse({"name": "a", "source": "a.csv", "train": {"budget": text}}, origin="a.toml")


def test_the_config_says_what_ends_a_training() -> None:
    def train(**keys: Any) -> Any:
        config: Config = parse({"name": "a", "source": "a.csv", "train": keys}, origin="a.toml")
        return config.train.max_epochs, config.train.budget_seconds

    assert train() == (100, None)
    assert train(budget="5m") == (None, 300.0)
    assert train(budget="90s", epochs=7) == (7, 90.0)
    assert train(epochs=7) == (7, None)


@settings(deadline=None, max_examples=25)
@given(
    speeds=st.lists(st.floats(1e-4, 1e-1), min_size=1, max_size=10),
    counts=st.lists(st.integers(1, 50), min_size=10, max_size=10),
    left=st.floats(1, 1e5),
)
def test_progress_never_jumps_nor_goes_back_whatever_the_speeds(
    speeds: list[float], counts: list[int], left: float
) -> None:
    budget, progress, step = Budget(10.0, 100), Progress(), 0
    for place, (speed, count) in enumerate(zip(speeds, counts, strict=False)):
        before = float(progress(step)) if place else 0.0
        budget.tell(progress, step, left * speed, measured=place > 0)
        assert float(progress(step)) == pytest.approx(before, abs=1e-9)
        values = [float(progress(step + offset)) for offset in range(count + 1)]
        assert all(first <= second for first, second in itertools.pairwise(values))
        assert values[-1] <= 1
        step += count


def test_without_a_limit_the_clock_only_counts() -> None:
    clock = Budget(math.inf, 10)
    assert clock.elapsed == 0
    clock.start()
    assert not clock.is_limited
    assert clock.has_time_for_another_validation()
    assert clock.elapsed >= 0


def test_what_was_spent_before_the_first_step_counts(folder: Path) -> None:
    started = time.perf_counter()
    history, seconds, _ = train_for(folder, 60.0, spent=59.0)
    assert seconds >= 59.0
    assert history.steps >= 1
    assert time.perf_counter() - started < 30
