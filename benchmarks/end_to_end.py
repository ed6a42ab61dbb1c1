"""The whole way from image files to a SavedModel: `pipeline run` beside the script a good Keras user writes.

Both sides get the same files and the same split, the same search space, trials, epochs and patience, the same
small convnet and augmentation, and are processes of their own, timed from start to SavedModel. They take turns;
each repetition has a seed of its own, the same for both.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from benchmarks.report import Result, note, report, timed


@dataclass(frozen=True)
class Effort:
    """How much both sides train."""

    repetitions: int
    trials: int
    trial_epochs: int
    trial_patience: int
    epochs: int
    patience: int


FULL = Effort(repetitions=3, trials=10, trial_epochs=8, trial_patience=5, epochs=30, patience=10)
SHORT = Effort(repetitions=1, trials=2, trial_epochs=2, trial_patience=2, epochs=4, patience=4)

# The space, the architecture and the schedule stand in plain Keras in end_to_end_script.py.
_CONFIG = """
source = {{ name = "ImageFolder", path = {path} }}

[model]
name = "convnet"
width = 32
depth = 2
dropout = 0.1

[train]
optimizer = "Adam"
learning_rate = 0.003
schedule = "cosine"
batch_size = 64
epochs = {effort.epochs}
patience = {effort.patience}
augment = [{{ name = "Shift", fraction = 0.1 }}]

[tune]
algorithm = "random"
trials = {effort.trials}
epochs = {effort.trial_epochs}
patience = {effort.trial_patience}

[tune.space]
"train.optimizer" = ["Adam", "SGD", "Adagrad"]
"train.learning_rate" = {{ min = 1e-3, max = 1e-2, log = true }}
"train.batch_size" = [32, 64, 128]
"model.l1" = {{ min = 1e-8, max = 1e-5, log = true }}
"model.l2" = {{ min = 1e-7, max = 1e-4, log = true }}
"model.dropout" = {{ min = 0.0, max = 0.3, step = 0.1 }}
"model.width" = [16, 32]
"model.depth" = [1, 2]
"""


@dataclass(frozen=True)
class Measured:
    """One whole run of one side."""

    seconds: float
    cpu_seconds: float
    accuracy: float


def write_images(folder: Path) -> int:
    """The digits as SIDE/CLASS/ROW.png, 70, 15 and 15 %, stratified; returns the number of test images."""
    digits = load_digits()
    pixels = np.round(digits.images * (255 / 16)).astype(np.uint8)
    rows = np.arange(len(pixels))
    train, rest = train_test_split(rows, test_size=0.3, stratify=digits.target, random_state=0)
    validation, test = train_test_split(rest, test_size=0.5, stratify=digits.target[rest], random_state=0)
    for side, members in (("train", train), ("validation", validation), ("test", test)):
        for row in members:
            path = folder / side / str(digits.target[row]) / f"{row}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[row]).save(path)
    return len(test)


def ours(data: Path, folder: Path, effort: Effort, seed: int) -> Measured:
    """`pipeline run`, in an empty folder."""
    config = folder / "digits.toml"
    config.write_text(_CONFIG.format(path=json.dumps(str(data)), effort=effort), encoding="utf-8")
    command = [sys.executable, "-m", "pipeline", "run", config, "--set", f"seed={seed}", "--quiet", "--json"]
    seconds, cpu_seconds, output = timed(command, folder)
    result = json.loads(output)
    _check_saved(Path(result["saved_model"]))
    return Measured(seconds, cpu_seconds, result["metrics"]["test"]["accuracy"])


def script(data: Path, folder: Path, effort: Effort, seed: int) -> Measured:
    """The Keras script, in an empty folder."""
    given = ("trials", "trial_epochs", "trial_patience", "epochs", "patience")
    options = [part for name in given for part in (f"--{name.replace('_', '-')}", str(getattr(effort, name)))]
    saved = folder / "saved_model"
    command = [sys.executable, "-m", "benchmarks.end_to_end_script", data, saved, *options, "--seed", str(seed)]
    seconds, cpu_seconds, output = timed(command, folder)
    _check_saved(saved)
    return Measured(seconds, cpu_seconds, json.loads(output.splitlines()[-1])["accuracy"])


SIDES = {"ours": ours, "Keras script": script}


def _check_saved(saved_model: Path) -> None:
    if not (saved_model / "saved_model.pb").is_file():
        raise RuntimeError(f"{saved_model} holds no SavedModel")


def measure(effort: Effort, folder: Path) -> list[Result]:
    """Both sides in turns, each repetition beginning with the other one."""
    num_test = write_images(folder / "images")
    measured: dict[str, list[Measured]] = {name: [] for name in SIDES}
    names = list(SIDES)
    for seed in range(effort.repetitions):
        first = seed % len(names)
        for name in names[first:] + names[:first]:
            own = folder / f"{name}-{seed}"
            own.mkdir()
            found = SIDES[name](folder / "images", own, effort, seed)
            measured[name].append(found)
            taken = f"{found.seconds:.1f} s, {found.cpu_seconds:.1f} s of CPU"
            note(f"{name}, seed {seed}: {taken}; test accuracy {found.accuracy:.4f} of {num_test} rows")
    return results(measured)


def results(measured: dict[str, list[Measured]]) -> list[Result]:
    """Medians, and how the sides compare."""
    own, other = (_medians(measured[name]) for name in SIDES)
    # The script's accuracy is a float32; below a millionth there is no difference.
    difference = round(own.accuracy - other.accuracy, 6)
    return [
        Result("wall time, ours", own.seconds, "s"),
        Result("wall time, Keras script", other.seconds, "s"),
        Result("wall time, script / ours", other.seconds / own.seconds, "ratio", ">= 1"),
        Result("CPU time, ours", own.cpu_seconds, "s"),
        Result("CPU time, Keras script", other.cpu_seconds, "s"),
        Result("test accuracy, ours", own.accuracy, "fraction"),
        Result("test accuracy, Keras script", other.accuracy, "fraction"),
        Result("test accuracy, ours - script", difference, "fraction", ">= 0"),
    ]


def _medians(found: list[Measured]) -> Measured:
    return Measured(*(statistics.median(getattr(one, field.name) for one in found) for field in fields(Measured)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="one repetition with little training: under a minute")
    parser.add_argument("--repetitions", type=int, help=f"default: {FULL.repetitions}, with --short 1")
    args = parser.parse_args()
    effort = SHORT if args.short else FULL
    if args.repetitions:
        effort = Effort(**{**vars(effort), "repetitions": args.repetitions})
    with tempfile.TemporaryDirectory() as folder:
        found = measure(effort, Path(folder))
    report("end_to_end", found)


if __name__ == "__main__":
    main()
