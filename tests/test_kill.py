"""`kill -9` at random moments: the run goes on where it died, ends with the same numbers, and leaves no litter."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers import cli, last_json, sets

ROOT = Path(__file__).parents[1]
KILLS = 10
# Of the main job, only shorter and smaller: every stage, with tuning, augmentation and export.
SHORT = ["tune.trials=2", "tune.epochs=2", "train.epochs=3", "model.width=4"]
SHORT += ['tune.space={"model.dropout" = [0.1, 0.2]}']


def command(*extra: str) -> list[str]:
    return ["run", "configs/digits.toml", *sets(*SHORT), *extra]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "configs").mkdir()
    shutil.copy(ROOT / "configs" / "digits.toml", tmp_path / "configs")
    return tmp_path


def start_and_kill(folder: Path, seconds: float) -> bool:
    """Whether the process was still running when it was killed, with all its children."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", *command("--quiet")],
        cwd=folder,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(seconds)
    running = process.poll() is None
    if running:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return running


def files(folder: Path) -> set[str]:
    """Every file of the run and of the models, by relative path."""
    found = (path for root in ("runs", "saved_models") for path in (folder / root).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)) for path in found}


def test_ten_kills_at_random_moments_change_nothing(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    whole = tmp_path_factory.mktemp("whole")
    shutil.copytree(folder / "configs", whole / "configs")
    started = time.monotonic()
    expected = last_json(cli(whole, *command("--json")))
    duration = time.monotonic() - started

    moments = random.Random(20261123)
    killed = rounds = 0
    while killed < KILLS:
        rounds += 1
        assert rounds <= 3 * KILLS, "the run ends before it can be killed"
        if not start_and_kill(folder, moments.uniform(0.3, 0.7 * duration)):
            # It was done: begin again, so that every kill meets a run at work.
            shutil.rmtree(folder / "runs")
            shutil.rmtree(folder / "saved_models")
            continue
        killed += 1
    found = last_json(cli(folder, *command("--json")))

    assert found["metrics"] == expected["metrics"]
    assert found["baseline"] == expected["baseline"]
    assert files(folder) == files(whole)
    assert not list(folder.rglob(".tmp-*"))
    assert [path.name for path in (folder / "saved_models" / "digits").iterdir()] == ["1"]


def test_a_second_process_on_the_same_run_is_refused(folder: Path) -> None:
    first = subprocess.Popen(
        [sys.executable, "-m", "pipeline", *command("--quiet", "--until", "tune")],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        lock = folder / "runs" / "digits" / ".lock"
        while not (lock.exists() and lock.read_text() == str(first.pid)):
            assert first.poll() is None
            time.sleep(0.02)
        second = cli(folder, "run", "configs/digits.toml", "--until", "ingest", *sets("seed=1", 'source.label="other"'))
        assert second.returncode == 7
        assert f"in use by another process (pid {first.pid})" in second.stderr
    finally:
        first.kill()
        first.wait()


def test_a_run_killed_after_publishing_does_not_publish_twice(folder: Path) -> None:
    result = last_json(cli(folder, *command("--json")))
    export = Path(next(stage for stage in result["stages"] if stage["stage"] == "export")["directory"])
    shutil.rmtree(export)  # as if the process had died between the publication and the manifest
    again = last_json(cli(folder, *command("--json")))
    assert again["saved_model"] == result["saved_model"]
    assert json.loads((export / "export.json").read_text())["saved_model"] == result["saved_model"]
    assert [path.name for path in (folder / "saved_models" / "digits").iterdir()] == ["1"]
