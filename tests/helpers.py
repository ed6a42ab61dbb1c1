"""What several end-to-end tests need: tables with everything in them, image folders, the command line as a process."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.errors import TuningError

# Quick enough for a test, and still every stage at work.
SMALL = [
    "tune.trials=2",
    "tune.epochs=2",
    "train.epochs=8",
    "train.batch_size=32",
    "train.learning_rate=0.01",
    "model.width=16",
    "model.depth=1",
]
# The same of a table, whose default model is an ensemble.
SMALL_TABLE = [*SMALL, "model.members=2"]


def sets(*overrides: str) -> list[str]:
    """`--set` options."""
    return [part for override in overrides for part in ("--set", override)]


def cli(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`pipeline ARGUMENTS` in a folder, as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "COLUMNS": "200", **environment},
    )


def ok(done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    """The same, if it succeeded."""
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def last_json(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What `--json` printed."""
    found: dict[str, Any] = json.loads(ok(done).stdout.splitlines()[-1])
    return found


def mixed_rows(num_rows: int = 300, seed: int = 0) -> list[dict[str, str]]:
    """Rows with names no argument can have, gaps of every spelling, rare categories and a split column."""
    random = np.random.default_rng(seed)
    rows = []
    for row in range(num_rows):
        hours, colour = random.normal(40, 10), random.choice(["red", "green", "blue"])
        rich = hours + 12 * (colour == "red") + random.normal(0, 4) > 44
        rows.append(
            {
                "hours-per-week": ["", "?", "NaN"][row % 3] if row % 11 == 0 else f"{hours:.3f}",
                "2nd job": str(random.integers(0, 3)),
                "constant": "7",
                "stamp": str(1_700_000_000 + int(random.integers(0, 100_000))),
                "colour": "?" if row % 17 == 0 else f" {colour} ",
                "größe": f"size {row % 40}",
                "income": ">50K" if rich else "<=50K",
                "split": ["train", "train", "train", "validation", "test"][row % 5],
            }
        )
    return rows


def write_csv(path: Path, rows: list[dict[str, str]]) -> Path:
    """Writes rows with a header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def image_folder(folder: Path, per_class: int = 20, *, splits: bool = False, seed: int = 0) -> Path:
    """Colour images of two classes that differ in brightness, as PNG and JPEG, in several sizes."""
    random = np.random.default_rng(seed)
    parts = ("train", "validation", "test") if splits else ("",)
    for part in parts:
        for place, name in enumerate(("dark", "light")):
            (folder / part / name).mkdir(parents=True, exist_ok=True)
            for number in range(per_class):
                size = (int(random.integers(12, 20)), 16, 3)
                pixels = random.integers(0, 120, size) + 110 * place
                ending = "png" if number % 2 else "jpg"
                Image.fromarray(pixels.astype(np.uint8)).save(folder / part / name / f"{number:03d}.{ending}")
    return folder


def undisturbed(run: Callable[[], Any]) -> Any:
    """Again, up to three times: a clock is also that of whatever else this machine does."""
    for attempt in range(3):
        try:
            return run()
        except (AssertionError, ValueError):  # the latter of a list that has not the one entry it should
            if attempt == 2:
                raise


def with_time_enough(train: Callable[[int], Any], seconds: int) -> tuple[Any, int]:
    """What a search with a budget of so many seconds gives, and the budget.

    Twice, four and eight times as many where not even one epoch was trained: a slow machine, or one with other work,
    takes so long to make the first graphs.
    """
    try:
        return train(seconds), seconds
    except TuningError as error:
        if seconds >= 60 or "not even time for one epoch" not in error.message:
            raise
    return with_time_enough(train, 2 * seconds)


def wait_until(holds: Callable[[], Any], seconds: float = 60.0) -> Any:
    until = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < until
        time.sleep(0.02)
    return found
