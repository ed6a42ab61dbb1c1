"""Both sides of a case of `benchmarks.tuning`, in turns."""

from __future__ import annotations

import gc
import importlib
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomlkit

from benchmarks.report import note
from benchmarks.tuning_cases import Case
from benchmarks.tuning_rows import Rows
from pipeline import runner
from pipeline.config import Config, load_config
from pipeline.progress import silent
from pipeline.runs import read_json

# In equal time the time is the limit, not the number of trials.
_MANY = 50


@dataclass(frozen=True)
class Tuned:
    """One search of one side.

    Attributes:
      seconds: that it took.
      trials: that ended with a score.
      loss: the lowest one on validation, without penalties.
      accuracy: on validation, of the winner; None for a number. Ours is trained once more for it, outside the clock.
      cpu_seconds: that this process used meanwhile: what neighbors on the machine change less.
    """

    seconds: float
    trials: int
    loss: float
    accuracy: float | None
    cpu_seconds: float = 0.0


@dataclass
class Rounds:
    """What all rounds of a case gave."""

    case: Case
    ours: list[Tuned] = field(default_factory=list)
    script: list[Tuned] = field(default_factory=list)
    in_equal_time: list[Tuned] = field(default_factory=list)


def run(case: Case, data: Path, folder: Path, rounds: int) -> Rounds:
    """So many rounds, each with a seed of its own; who begins changes from round to round."""
    found = Rounds(case)
    source = case.source(data, folder)
    for seed in range(rounds):
        config = config_of(case, source, folder / str(seed), seed)
        prepared = runner.run(config, silent(), until="prepare").stages[-1].directory
        rows = Rows.of(prepared)
        if seed == 0:
            _warm_up()
            _check_weights(case, config, rows)
        for side in ("ours", "script") if seed % 2 == 0 else ("script", "ours"):
            if side == "ours":
                found.ours.append(ours(config, rows))
            else:
                found.script.append(script(case, rows, seed))
        if case.in_equal_time:
            limits = {"tune.budget": f"{found.script[-1].seconds:.2f}s", "tune.trials": _MANY * case.trials}
            found.in_equal_time.append(ours(config.override(limits), rows))
        note(f"{case.name}, round {seed + 1} of {rounds}: ours {found.ours[-1]}, the script {found.script[-1]}")
    return found


def ours(config: Config, rows: Rows) -> Tuned:
    """The stage `tune`, from whole artifacts of those before it to its own."""
    _clean()
    started, cpu_started = time.perf_counter(), time.process_time()
    tuned = runner.run_stage(config, silent(), "tune").stages[-1].directory
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    scores = [trial["score"] for trial in read_json(tuned / "trials.json") if trial["score"] is not None]
    return Tuned(seconds, len(scores), min(scores), rows.accuracy(_winner(config, rows)), cpu_seconds)


def script(case: Case, rows: Rows, seed: int) -> Tuned:
    """KerasTuner's search, from arrays in memory to its last trial."""
    import keras

    from benchmarks import tuning_script as plain

    _clean()
    keras.utils.set_random_seed(seed)
    with tempfile.TemporaryDirectory() as folder:
        started, cpu_started = time.perf_counter(), time.process_time()
        tuner = plain.tuner(plain.Plain(rows.spec, case.model, case.space), case.trials, seed, folder)
        plain.search(tuner, rows, case.epochs, case.batch_size)
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
        scores = [float(trial.score) for trial in tuner.oracle.trials.values() if trial.score is not None]
        return Tuned(seconds, len(scores), min(scores), rows.accuracy(plain.best(tuner)), cpu_seconds)


def config_of(case: Case, source: dict[str, Any], folder: Path, seed: int) -> Config:
    """Of ours, written to the folder, where its runs will be, too."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{case.name}.toml"
    path.write_text(tomlkit.dumps(case.config(source, folder / "runs", seed)), encoding="utf-8")
    return load_config(path)


def _winner(config: Config, rows: Rows) -> Any:
    """The model of the stage `train`, which has as many epochs as a trial."""
    from pipeline.model_steps import build_model

    trained = runner.run_stage(config, silent(), "train").stages[-1].directory
    model = build_model(config.override({"model": read_json(trained / "config.json")["model"]}), rows.spec)
    model.load_weights(trained / "model.weights.h5")
    return model


def _check_weights(case: Case, config: Config, rows: Rows) -> None:
    from benchmarks.tuning_script import network
    from pipeline.model_steps import build_model

    mine = build_model(config, rows.spec).count_params()
    its = network(rows.spec, case.model, dropout=0.1, l1=0.0, l2=0.0).count_params()
    if mine != its:
        raise RuntimeError(f"{case.name}: ours has {mine:,} weights, the script's model {its:,}")
    note(f"{case.name}: {mine:,} weights, {len(rows.train[1]):,} rows of train, {len(rows.validation[1]):,} others")


def _warm_up() -> None:
    """Imports, and TensorFlow's own start: nobody's time."""
    from pipeline.tensorflow_import import import_tensorflow

    import_tensorflow()
    import keras
    import numpy as np

    for module in ("benchmarks.tuning_script", "pipeline.stages", "pipeline.training"):
        importlib.import_module(module)

    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(np.zeros((8, 2)), np.zeros(8), verbose=0)


def _clean() -> None:
    """Neither side pays for what the other one left."""
    import keras

    keras.backend.clear_session()
    gc.collect()
