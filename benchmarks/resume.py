"""What it costs to be able to go on: throughput with checkpoints beside none, and a restart beside a cold start.

Throughput is that of `training.fit` on a 20-64-64-1 MLP in batches of 256, in one process, with checkpoints and without
by turns, so that a slow minute of the machine meets both; the rest of the work (graphs made, validation) is left out. A
start is a process of its own, from its beginning to its first step in the graph: cold, and going on from a checkpoint
in the middle.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Result, note, report, timed

COLUMNS, BATCH_SIZE = 20, 256
_INTERVALS = {"none": None, "every 30 s": 30.0, "every 1 s": 1.0}


def write_store(folder: Path, num_rows: int) -> None:
    """Noise of which the first column is the label, as a store of prepared rows."""
    from pipeline.data.store import StoreWriter
    from pipeline.spec import Spec

    random = np.random.default_rng(0)
    x = random.normal(size=(num_rows, COLUMNS)).astype(np.float32)
    forms = {"numeric": ("float32", (COLUMNS,)), "label": ("int32", ())}
    spec = Spec("binary", 2, num_numeric=COLUMNS, num_train=num_rows)
    writer = StoreWriter(folder, num_rows, forms, spec=spec)
    writer.append({"numeric": x, "label": x[:, 0] > 0})
    writer.close()


class Stopped(Exception):
    """Ends a training from its callback."""


def train(
    store: Any, epochs: int, checkpoint: Any, on_epoch: Callable[[Any], None] | None = None, validation: Any = None
) -> None:
    """One training, always the same."""
    import keras

    from pipeline import training
    from pipeline.data.input_pipeline import make_eval, make_train
    from pipeline.models import mlp

    keras.utils.set_random_seed(0)
    model = mlp(store.spec, width=64, depth=2, dropout=0.0)
    batches = make_train(store, batch_size=BATCH_SIZE, seed=0, epochs=epochs)
    optimizer = training.Adam(1e-3)
    training.fit(
        model,
        batches,
        make_eval(validation or store),
        optimizer=optimizer,
        epochs=epochs,
        on_epoch=on_epoch,
        checkpoint=checkpoint,
    )


def steps_per_second(store: Any, small: Any, seconds: float, checkpoint: Any) -> float:
    """Steps a second from the end of the second epoch on."""
    steps = -(-len(store) // BATCH_SIZE)
    started = found = 0.0

    def on_epoch(history: Any) -> None:
        nonlocal started, found
        now, done = time.perf_counter(), len(history.loss) - 2
        if done == 0:
            started = now
        elif done > 0 and now - started >= seconds:
            found = done * steps / (now - started)
            raise Stopped

    try:
        train(store, 1_000_000, checkpoint, on_epoch, small)
    except Stopped:
        return found
    raise RuntimeError("the training ended before it was measured")


def throughput(folder: Path, num_rows: int, seconds: float, turns: int) -> list[Result]:
    """Steps a second by the interval between checkpoints."""
    from pipeline.data.store import Store
    from pipeline.training import Checkpoints

    for name, rows in (("large", num_rows), ("small", BATCH_SIZE)):
        write_store(folder / name, rows)
    large, small = Store(folder / "large"), Store(folder / "small")
    found: dict[str, list[float]] = {name: [] for name in _INTERVALS}
    for turn in range(turns):
        for name in list(_INTERVALS)[:: 1 if turn % 2 == 0 else -1]:
            interval = _INTERVALS[name]
            checkpoint = None if interval is None else Checkpoints(folder / "checkpoints", every_seconds=interval)
            if checkpoint:
                checkpoint.clear()
            found[name].append(steps_per_second(large, small, seconds, checkpoint))
            note(f"checkpoints {name}: {found[name][-1]:.0f} steps/s")
    medians = {name: statistics.median(speeds) for name, speeds in found.items()}
    # Turn by turn, so that what the machine does besides meets both sides of a ratio.
    losses = {
        name: statistics.median(1 - own / none for own, none in zip(found[name], found["none"], strict=True))
        for name in found
    }
    return [
        Result("without checkpoints", medians["none"], "steps/s"),
        Result("checkpoints every 30 s", medians["every 30 s"], "steps/s"),
        Result("lost by checkpoints every 30 s", 100 * losses["every 30 s"], "%", "<= 2"),
        Result("lost by checkpoints every 1 s", 100 * losses["every 1 s"], "%"),
    ]


def first_step(folder: Path) -> None:
    """A process: begins, or goes on, and ends after its first call into the graph, which is one step."""
    from pipeline.data.store import Store
    from pipeline.tensorflow_import import import_tensorflow

    import_tensorflow()
    from pipeline.training import Checkpoints
    from pipeline.training.steps import Pace

    def took(self: Pace, num_steps: int) -> None:
        raise Stopped

    Pace.took = took  # type: ignore[method-assign]
    try:
        train(Store(folder / "store"), 10, Checkpoints(folder / "checkpoints", every_seconds=None))
    except Stopped:
        print("stepped")


def starts(folder: Path, num_rows: int, times: int) -> list[Result]:
    """Seconds from a process' start to its first step: cold, and going on."""
    from pipeline.data.store import Store
    from pipeline.training import Checkpoints

    write_store(folder / "store", num_rows)
    middle = 5 * -(-num_rows // BATCH_SIZE) - 7
    command = [sys.executable, "-m", "benchmarks.resume", "--first-step", folder]
    checkpoints = Checkpoints(folder / "checkpoints", every_seconds=None, every_steps=middle)

    def stop(history: Any) -> None:
        if len(history.loss) == 5:
            raise Stopped

    found: dict[str, list[float]] = {"cold": [], "going on": []}
    for _ in range(times):
        checkpoints.clear()
        found["cold"].append(_seconds(command))
        try:
            train(Store(folder / "store"), 10, checkpoints, stop)
        except Stopped:
            found["going on"].append(_seconds(command))
    note(f"seconds to the first step: {found}")
    cold, resumed = (statistics.median(seconds) for seconds in found.values())
    ratio = statistics.median(own / other for own, other in zip(found["going on"], found["cold"], strict=True))
    return [
        Result("cold start to first step", cold, "s"),
        Result("restart to first step", resumed, "s"),
        Result("restart / cold start", ratio, "ratio", "<= 1.2"),
    ]


def _seconds(command: list[Any]) -> float:
    seconds, _, said = timed(command, Path.cwd())
    if "stepped" not in said:
        raise RuntimeError("the process did not come to its first step")
    return seconds


def killed(folder: Path, kills: int) -> list[Result]:
    """A training killed at random instants, as tests/test_resume.py does it."""
    command = [sys.executable, "-m", "tests.resuming", str(folder), str(kills), "1"]
    import json

    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    same = set(found["found"]) == {found["expected"]}
    return [Result(f"bits equal after {len(found['steps'])} kills", float(same), "1 = yes", ">= 1")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="seconds instead of minutes; says little of 30 s")
    parser.add_argument("--first-step", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.first_step:
        first_step(args.first_step)
        return
    rows, seconds, turns, times = (50_000, 4.0, 1, 1) if args.short else (200_000, 65.0, 5, 5)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        started = starts(folder / "starts", rows, times)
        found = throughput(folder, rows, seconds, turns)
        (folder / "killed").mkdir()
        bits = killed(folder / "killed", 3 if args.short else 20)
    report("resume", [*found, *started, *bits])


if __name__ == "__main__":
    main()
