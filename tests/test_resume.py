"""A training that was interrupted, anywhere and however often, ends with the bits of one that never was."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.errors import ConfigError
from pipeline.models import mlp
from pipeline.runs import Run
from pipeline.training import SGD, Adagrad, Adam, Checkpoints, History, fit
from tests.helpers import cli, last_json, ok, sets
from tests.resuming import TABLE, Job, newest_step
from tests.test_checkpoint import full_disk

ROOT = Path(__file__).parents[1]
KILLS = 20


class Interrupted(Exception):
    """Stands for a kill, inside one process."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stores")


@cache
def uninterrupted(job: Job) -> str:
    return job.run()


def every(folder: Path, steps: int, said: list[str] | None = None) -> Checkpoints:
    said = [] if said is None else said
    return Checkpoints(folder, every_seconds=None, every_steps=steps, note=said.append, warn=said.append)


def interrupted(job: Job, checkpoints: Checkpoints, *epochs: int) -> None:
    """Begins, or goes on, as often as epochs are given, and is interrupted at the end of each of them."""
    for epoch in epochs:

        def on_epoch(history: History, epoch: int = epoch) -> None:
            if len(history.loss) == epoch:
                raise Interrupted

        with pytest.raises(Interrupted):
            job.run(checkpoints, on_epoch)


# Five steps an epoch: checkpoints come after every step, in the middle of epochs, at their ends, or at both.
@pytest.mark.parametrize("steps", [1, 3, 5, 7])
def test_a_table_with_dropout_augmentation_and_a_schedule(folder: Path, tmp_path: Path, steps: int) -> None:
    job, said = Job(folder), []
    checkpoints = every(tmp_path, steps, said)
    interrupted(job, checkpoints, 2, 4)
    assert job.run(checkpoints) == uninterrupted(job)
    # The epoch's end comes before its checkpoint, so that one is not there yet.
    done = [(5 * epoch - 1) // steps * steps for epoch in (2, 4)]
    assert said == [f"goes on at step {step} of 30" for step in done]


def test_the_best_weights_and_the_epochs_since_survive_in_early_stopping(folder: Path, tmp_path: Path) -> None:
    job = Job(folder, patience=2, optimizer=Adam(0.05), epochs=20)
    history: list[History] = []
    expected = job.run(on_epoch=history.append)
    best, ended = history[-1].best_epoch, len(history[-1].loss)
    assert ended == best + 3 < 20  # it stops early, and its best weights are not its last
    interrupted(job, every(tmp_path, 4), best + 2)
    assert newest_step(tmp_path) > 5 * (best + 1)  # the best epoch is behind it
    assert job.run(every(tmp_path, 4)) == expected


def test_a_training_that_had_ended_ends_again_with_the_same(folder: Path, tmp_path: Path) -> None:
    job, said = Job(folder), []
    assert job.run(every(tmp_path, 5)) == uninterrupted(job)
    assert newest_step(tmp_path) == job.num_steps
    assert job.run(every(tmp_path, 5, said)) == uninterrupted(job)
    assert said == ["goes on at step 30 of 30"]


@pytest.mark.parametrize("optimizer", [SGD(0.05, "cosine"), Adagrad(0.1), Adam(0.01)], ids=lambda o: type(o).__name__)
def test_the_state_of_every_optimizer(folder: Path, tmp_path: Path, optimizer: Any) -> None:
    job = Job(folder, optimizer=optimizer, epochs=3)
    interrupted(job, every(tmp_path, 4), 2)
    assert job.run(every(tmp_path, 4)) == uninterrupted(job)


def test_averaged_weights(folder: Path, tmp_path: Path) -> None:
    job = Job(folder, ema=0.9)
    interrupted(job, every(tmp_path, 4), 2, 4)
    assert job.run(every(tmp_path, 4)) == uninterrupted(job) != uninterrupted(Job(folder))


def test_a_rate_that_was_reduced_on_a_plateau_stays_reduced(folder: Path, tmp_path: Path) -> None:
    reducing = Adam(0.05, "reduce_on_plateau", plateau_factor=0.1, plateau_patience=1)
    # With a patience the validation labels are the contrary ones: no epoch is better than the first few.
    job = Job(folder, optimizer=reducing, patience=99, epochs=8)
    constant = Job(folder, optimizer=Adam(0.05), patience=99, epochs=8)
    interrupted(job, every(tmp_path, 4), 4, 6)
    assert job.run(every(tmp_path, 4)) == uninterrupted(job) != uninterrupted(constant)


def test_images_with_batch_normalization(folder: Path, tmp_path: Path) -> None:
    job = Job(folder, images=True, epochs=4)
    interrupted(job, every(tmp_path, 3), 1, 3)
    assert job.run(every(tmp_path, 3)) == uninterrupted(job)


def test_how_many_steps_a_call_takes_changes_no_bit(folder: Path) -> None:
    job = Job(folder)
    assert job.run(steps_per_call=1) == job.run(steps_per_call=4) == uninterrupted(job)


def test_what_comes_of_it_depends_on_what_is_saved(folder: Path, tmp_path: Path) -> None:
    """The hash that these tests compare sees another seed, another optimizer and one more epoch."""
    jobs = [Job(folder), Job(folder, seed=6), Job(folder, optimizer=SGD(0.01)), Job(folder, epochs=7)]
    assert len({uninterrupted(job) for job in jobs}) == 4


@pytest.fixture(scope="module")
def begun(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of a training that has not ended."""
    checkpoints = tmp_path_factory.mktemp("begun")
    interrupted(Job(folder), every(checkpoints, 5), 2)
    return checkpoints


@pytest.mark.parametrize("key", ["seed", "optimizer", "epochs", "batch_size", "patience"])
def test_a_checkpoint_of_another_training_is_not_used(folder: Path, begun: Path, tmp_path: Path, key: str) -> None:
    other = {"seed": 6, "optimizer": Adam(0.02, "cosine"), "epochs": 7, "batch_size": 15, "patience": 3}
    own, said = shutil.copytree(begun, tmp_path / "own"), []
    replace(Job(folder), **{key: other[key]}).run(every(own, 5, said))
    assert len(said) == 1  # and not that it goes on
    assert "another training" in said[0]
    assert all((own / path.name).read_bytes() == path.read_bytes() for path in begun.iterdir())


def test_the_callers_fingerprint_tells_trainings_apart(folder: Path, tmp_path: Path) -> None:
    said: list[str] = []
    interrupted(Job(folder), replace(every(tmp_path, 5), fingerprint="these data"), 2)
    Job(folder).run(replace(every(tmp_path, 5, said), fingerprint="other data"))
    assert len(said) == 1
    assert "another training" in said[0]


@pytest.mark.parametrize("damaged", [1, 2])
def test_damaged_checkpoints_cost_time_but_no_bit(folder: Path, tmp_path: Path, damaged: int) -> None:
    job, said = Job(folder), []
    interrupted(job, every(tmp_path, 3), 2)
    newest = sorted(tmp_path.iterdir())[-damaged:]
    assert len(newest) == damaged
    for path in newest:
        path.write_bytes(path.read_bytes()[:-40])
    assert job.run(every(tmp_path, 3, said)) == uninterrupted(job)
    assert ["cannot be used" in line for line in said] == [True] * damaged + [False] * (damaged == 1)


def test_a_full_disk_does_not_stop_a_training(folder: Path, tmp_path: Path) -> None:
    job, said = Job(folder), []
    interrupted(job, every(tmp_path, 3), 2)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with full_disk(500):
        found = job.run(every(tmp_path, 3, said))
    assert found == uninterrupted(job)
    assert said[0] == "goes on at step 9 of 30"
    assert len(said) == 2
    assert "could not be written" in said[1]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_batches_of_a_dataset_of_ones_own_are_skipped(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(40, 3)).astype(np.float32)
    rows = tf.data.Dataset.from_tensor_slices(({"numeric": x}, (x[:, 0] > 0).astype(np.int32))).batch(8)

    def run(checkpoint: Checkpoints | None = None, end: int = 99) -> list[np.ndarray]:
        def on_epoch(history: History) -> None:
            if len(history.loss) == end:
                raise Interrupted

        tf.keras.utils.set_random_seed(1)
        model = mlp(TABLE, width=4, depth=1)
        fit(
            model,
            rows.repeat(4),
            rows,
            spec=TABLE,
            optimizer=Adam(0.01),
            epochs=4,
            on_epoch=on_epoch,
            checkpoint=checkpoint,
        )
        return model.get_weights()

    with pytest.raises(Interrupted):
        run(every(tmp_path, 3), end=2)
    said: list[str] = []
    found, expected = run(every(tmp_path, 3, said)), run()
    assert said == ["goes on at step 9 of 20"]
    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


def test_a_dataset_that_says_nothing_of_the_task_needs_a_spec() -> None:
    rows = tf.data.Dataset.from_tensors(({"numeric": np.eye(3, dtype=np.float32)}, np.array([0, 1, 0])))
    with pytest.raises(ConfigError, match="spec is None"):
        fit(mlp(TABLE, width=4), rows, rows, optimizer=SGD(), epochs=1)


def test_twenty_kills_at_random_instants_of_one_training_change_no_bit(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.resuming", str(tmp_path), str(KILLS), "20261123"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found["steps"]) == KILLS
    assert len(set(found["steps"])) > KILLS / 2  # it did come forward between two kills
    assert set(found["found"]) == {found["expected"]}
    assert not list((tmp_path / "checkpoints").iterdir())


# the stage

CONFIG = """
source = "rows.csv"
label = "kind"
[model]
name = "mlp"
width = 8
dropout = 0.2
[train]
epochs = 400
patience = 400
batch_size = 16
[tune]
trials = 0
"""


def test_checkpoints_outlive_a_failed_stage_and_go_when_its_artifact_is_whole(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    own, other = run.checkpoints("train", "aa"), run.checkpoints("train", "bb")
    for folder in (own, other):
        folder.mkdir(parents=True)
        (folder / "file").write_text("state")
    with run.lock():
        with pytest.raises(Interrupted), run.write("train", "aa"):
            raise Interrupted
        assert own.exists()
        with run.write("train", "aa"):
            pass
        assert not own.exists()
        assert other.exists()


def test_checkpoints_of_a_process_that_died_before_it_removed_them_go_with_the_next_lock(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    with run.lock(), run.write("train", "aa"):
        pass
    run.checkpoints("train", "aa").mkdir(parents=True)
    with run.lock():
        assert not (run.directory / ".checkpoints").exists()


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    folder = tmp_path / "experiment"
    folder.mkdir()
    random = np.random.default_rng(0)
    values = random.normal(size=(200, 2))
    lines = [f"{a:.4f},{b:.4f},{'yes' if a + b > 0 else 'no'}" for a, b in values]
    (folder / "rows.csv").write_text("a,b,kind\n" + "\n".join(lines) + "\n")
    (folder / "tiny.toml").write_text(CONFIG)
    return folder


def run_and_stop(folder: Path, sign: signal.Signals) -> int:
    """Begins or goes on, stops it after its next checkpoint, and gives that one's step."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "run", "tiny.toml", "--quiet", *sets("resume.checkpoint_seconds=0.05")],
        cwd=folder,
        start_new_session=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    before = step_of(folder)
    while step_of(folder) == before:
        assert process.poll() is None, "it ended before it could be stopped"
        time.sleep(0.005)
    os.killpg(process.pid, sign)
    assert process.wait() == -sign
    return step_of(folder)


def step_of(folder: Path) -> int:
    return max((newest_step(path) for path in folder.glob("runs/tiny/.checkpoints/train-*")), default=0)


def saved_weights(result: dict[str, Any]) -> dict[str, bytes]:
    variables = Path(result["saved_model"]) / "variables"
    return {path.name: path.read_bytes() for path in variables.iterdir()}


def test_a_run_stopped_in_training_goes_on_and_publishes_the_same_weights(experiment: Path, tmp_path: Path) -> None:
    whole = shutil.copytree(experiment, tmp_path / "whole")
    expected = last_json(cli(whole, "run", "tiny.toml", "--json"))
    first = run_and_stop(experiment, signal.SIGTERM)
    second = run_and_stop(experiment, signal.SIGKILL)
    assert 0 < first < second
    done = ok(cli(experiment, "run", "tiny.toml", "--json"))
    found = last_json(done)
    assert f"goes on at step {second} of" in done.stderr
    assert saved_weights(found) == saved_weights(expected)
    assert len(saved_weights(found)) > 1
    assert found["metrics"] == expected["metrics"]
    histories = [next(path.glob("runs/tiny/train/*/history.json")).read_text() for path in (experiment, whole)]
    assert histories[0] == histories[1]
    assert not (experiment / "runs" / "tiny" / ".checkpoints").exists()


def test_without_checkpoints_nothing_is_written_and_nothing_else_changes(experiment: Path) -> None:
    quick = sets("train.epochs=2", "train.patience=2")
    ok(cli(experiment, "run", "tiny.toml", "--until", "train", *quick, *sets("resume.checkpoint_seconds=0")))
    again = last_json(cli(experiment, "run", "tiny.toml", "--until", "train", "--json", *quick))
    assert all(stage["skipped"] for stage in again["stages"])  # the key is in no fingerprint
