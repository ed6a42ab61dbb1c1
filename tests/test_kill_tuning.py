"""`kill -9` of a search at random moments: its trials and its winner are those of one that was never killed."""

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
from typing import Any

import pytest

from tests.helpers import cli, ok

CONFIG = """
source = { name = "ScikitLearn", dataset = "iris" }
model = { name = "mlp", width = 8, depth = 1 }
train = { batch_size = 32 }
resume = { checkpoint_seconds = 0.1 }

[tune]
trials = 4
epochs = 120
patience = 120
finalists = 2

[tune.space]
"train.learning_rate" = { min = 0.001, max = 0.03, log = true }
"model.dropout" = { min = 0.05, max = 0.4 }
"""
COMMAND = ["run", "iris.toml", "--until", "tune", "--quiet"]
KILLS = 3


def start_and_kill(folder: Path, seconds: float) -> None:
    """Kills a search so long after its journal was opened."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", *COMMAND], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + 60
    while not list(folder.glob("runs/iris/.checkpoints/tune-*/journal.jsonl")):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)
    time.sleep(seconds)
    running = process.poll() is None
    if running:
        os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert running, "the search was over before it could be killed"


def found_in(folder: Path) -> dict[str, Any]:
    """What a finished search wrote, but for times."""
    [directory] = folder.glob("runs/iris/tune/*")
    files = {name: json.loads((directory / f"{name}.json").read_text()) for name in ("trials", "best", "tuning")}
    return {"best": files["best"], "winner": files["tuning"]["winner"], "trials": files["trials"]}


def test_three_kills_at_random_moments_change_no_trial_and_no_winner(tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    killed.mkdir()
    (killed / "iris.toml").write_text(CONFIG)
    ok(cli(killed, "run", "iris.toml", "--until", "prepare", "--quiet"))
    shutil.copytree(killed, whole)
    started = time.monotonic()
    ok(cli(whole, *COMMAND))
    duration, moments = time.monotonic() - started, random.Random(20261124)

    for _ in range(KILLS):
        start_and_kill(killed, moments.uniform(0.0, 0.2 * duration))
    ok(cli(killed, *COMMAND))

    found, expected = found_in(killed), found_in(whole)
    assert len(found["trials"]) == 4
    for trial, other in zip(found["trials"], expected["trials"], strict=True):
        assert trial["overrides"] == other["overrides"]
        # Those that ended before a kill are not trained beside the others again: products round otherwise.
        assert trial["history"] == pytest.approx(other["history"], rel=1e-3)
    assert (found["best"], found["winner"]) == (expected["best"], expected["winner"])
    assert not list(killed.glob("runs/iris/.checkpoints/*"))
