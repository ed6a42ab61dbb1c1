"""Folds: every row that is not test is validation once, nothing is learnt from it then, and test rows are nowhere."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config import Config, load_config
from pipeline.context import Context
from pipeline.data.sides import NO_SIDE, TEST, TRAIN, VALIDATION
from pipeline.data.store import Store
from pipeline.errors import ConfigError
from pipeline.model_steps import spec_of, train_once
from pipeline.progress import silent
from pipeline.runner import places, run
from pipeline.runs import read_json
from pipeline.training.search import Asked
from pipeline.tuning.folds import sides_of
from pipeline.tuning.jobs import Job
from pipeline.tuning.prepared import Prepared
from pipeline.tuning.trainer import Trainer
from tests.helpers import with_time_enough, write_csv

NUM_ROWS, FOLDS = 240, 3
SPLITS = {
    "Random": "{ name = 'Random' }",
    "Stratified": "{ name = 'Stratified' }",
    "auto": "{ name = 'auto' }",
    "Group": "{ name = 'Group', column = 'who' }",
    "StratifiedGroup": "{ name = 'StratifiedGroup', column = 'who' }",
    "Key": "{ name = 'Key', column = 'who' }",
    "Time": "{ name = 'Time', column = 'day' }",
    "Given": "{ name = 'Given', column = 'part' }",
}
CONFIG = """
source = {{ path = "rows.csv" }}
label = "y"
split = {split}
features = {{ drop = [{drop}] }}
model = {{ name = "mlp", width = 8, depth = 1 }}

[train]
batch_size = 32

[tune]
trials = 3
epochs = 2
finalists = 1
folds = 3

[tune.space]
"train.learning_rate" = {{ min = 0.001, max = 0.03, log = true }}
"""


def rows(seed: int = 0) -> dict[str, list[Any]]:
    random = np.random.default_rng(seed)
    x = random.normal(size=NUM_ROWS)
    return {
        "x": x.round(6).tolist(),
        "colour": random.choice(["red", "green", "blue"], NUM_ROWS).tolist(),
        "who": [f"person {number}" for number in random.integers(0, 40, NUM_ROWS)],
        "day": [f"2026-{1 + day // 28:02d}-{1 + day % 28:02d}" for day in range(NUM_ROWS)],
        "part": random.choice(["train", "train", "train", "validation", "test"], NUM_ROWS).tolist(),
        "y": np.where(x + random.normal(size=NUM_ROWS) > 0, "yes", "no").tolist(),
    }


def config_in(folder: Path, split: str = "Stratified", *overrides: str, table: Any = None) -> Config:
    columns = table or rows()
    lines = zip(*columns.values(), strict=True)
    write_csv(folder / "rows.csv", [dict(zip(columns, line, strict=True)) for line in lines])
    column = {"Group": "who", "StratifiedGroup": "who", "Key": "who", "Time": "day", "Given": "part"}.get(split)
    drop = ", ".join(f'"{name}"' for name in ("who", "day", "part") if name != column)
    (folder / "rows.toml").write_text(CONFIG.format(split=SPLITS[split], drop=drop))
    return load_config(folder / "rows.toml", [f'runs="{folder / "runs"}"', *overrides])


def context_of(config: Config) -> Context:
    """That of the stage `tune`, whose data are prepared."""
    run(config, silent(), until="prepare")
    found, fingerprints = places(config)
    inputs = {"prepare": found.artifact("prepare", fingerprints["prepare"])}
    return Context(config, inputs, Path(), fingerprints["tune"], silent(), found.directory)


def own_sides(context: Context) -> np.ndarray:
    inputs = read_json(context.inputs["prepare"] / "manifest.json")["inputs"]
    return np.load(context.run_directory / "split" / inputs["split"] / "sides.npy")


@pytest.mark.parametrize("split", SPLITS)
def test_every_row_that_is_not_test_is_validation_once(split: str, tmp_path: Path) -> None:
    table = rows()
    table["x"][50:60], table["y"][50:60] = table["x"][40:50], table["y"][40:50]  # twins
    table["colour"][50:60] = table["colour"][40:50]
    context = context_of(config_in(tmp_path, split, "twins.near=false", "twins.keep_together=true", table=table))
    own = own_sides(context)
    folds = np.stack([sides_of(context, fold) for fold in range(FOLDS)])
    assert (folds[:, own == TEST] == NO_SIDE).all()
    assert not (folds == TEST).any()
    times = (folds == VALIDATION).sum(axis=0)
    if split == "Time":  # the window grows: what lies before the first fold is train only, and no row comes twice
        assert times.max() == 1
        for sides in folds:
            assert np.flatnonzero(sides == TRAIN).max() < np.flatnonzero(sides == VALIDATION).min()
        return
    known = np.isin(own, (TRAIN, VALIDATION))  # of given sides, a row may be on none because its twin is on a later one
    assert (times[known] == 1).all()
    assert ((folds == TRAIN).sum(axis=0) == times * (FOLDS - 1)).all()
    if split in ("Group", "StratifiedGroup", "Key"):
        people = np.asarray(table["who"])
        for sides in folds:
            assert not set(people[sides == TRAIN]) & set(people[sides == VALIDATION])
    if split in ("Random", "Stratified", "auto"):  # twins are together
        assert (folds[:, 40:50] == folds[:, 50:60]).all()


def test_what_is_learnt_is_learnt_from_the_train_rows_of_the_fold(tmp_path: Path) -> None:
    table = rows()
    context = context_of(config_in(tmp_path, table=table))
    x = np.asarray(table["x"])
    for fold, found in enumerate(Prepared(context).folds):
        sides = sides_of(context, fold)
        for name, side in (("train", TRAIN), ("validation", VALIDATION)):
            store = Store(found.inputs["prepare"] / name)
            assert len(store) == (sides == side).sum()
            mean, deviation = x[sides == TRAIN].mean(), x[sides == TRAIN].std()
            stored = store[np.arange(len(store))]["numeric"][:, 0]
            np.testing.assert_allclose(stored, (x[sides == side] - mean) / deviation, atol=1e-5)
        assert len(Store(found.inputs["prepare"] / "test")) == 0


def test_weights_of_rows_are_in_units_of_the_fold(tmp_path: Path) -> None:
    table = rows()
    table["count"] = np.random.default_rng(1).integers(1, 9, NUM_ROWS).tolist()
    config = config_in(tmp_path, "Stratified", 'features.weight="count"', table=table)
    context = context_of(config)
    for fold, found in enumerate(Prepared(context).folds):
        train = sides_of(context, fold) == TRAIN
        store, counts = Store(found.inputs["prepare"] / "train"), np.asarray(table["count"])[train]
        stored = store[np.arange(len(store))]["sample_weight"]
        np.testing.assert_allclose(stored, counts / counts.mean(), rtol=1e-6)


def test_a_score_is_the_mean_of_the_folds(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    context = context_of(config)
    found = run(config, silent(), until="tune").stages[-1].directory
    trials = json.loads((found / "trials.json").read_text())
    about = json.loads((found / "tuning.json").read_text())
    assert not (context.run_directory / ".checkpoints").exists() or not list(
        (context.run_directory / ".checkpoints").glob("tune-*")
    )
    folds = Prepared(context).folds  # once more: those of the search are gone with it

    def by_fit(trial: dict[str, Any], seed: int) -> float:
        job = Job(Asked(0, trial["overrides"], 2), seed)
        return float(np.mean([min(train_once(one, job.config(config), spec_of(one))[1].val_loss) for one in folds]))

    for trial in trials:
        [seed] = trial["seeds"]
        assert trial["score"] == pytest.approx(by_fit(trial, seed), abs=1e-5)
    [finalist] = about["finalists"]
    wanted = [by_fit(trials[finalist["number"]], seed) for seed in finalist["seeds"]]
    assert finalist["scores"] == pytest.approx(wanted, abs=1e-5)


def test_other_test_rows_change_no_score(tmp_path: Path) -> None:
    scores = []
    table = rows()
    for name in ("a", "b"):
        config = config_in(tmp_path / name, "Given", table=table)
        found = run(config, silent(), until="tune").stages[-1].directory
        trials = json.loads((found / "trials.json").read_text())
        scores.append([trial["history"] for trial in trials])
        for row, part in enumerate(table["part"]):
            if part == "test":
                table["x"][row], table["colour"][row] = 1e6 + row, "violet"
                table["y"][row] = "no" if table["y"][row] == "yes" else "yes"
    assert scores[0] == scores[1]


def test_folds_that_were_trained_before_a_kill_are_not_trained_again(tmp_path: Path) -> None:
    context = context_of(config_in(tmp_path))
    prepared, work = Prepared(context), tmp_path / "work"
    work.mkdir()
    asked = [Asked(number, {"train.learning_rate": 0.01 * (number + 1)}, 2) for number in range(2)]
    jobs = [Job(one, 0, fold) for one in asked for fold in range(FOLDS)]
    whole = {job.name: outcome for job, outcome in Trainer(context, prepared, None).train(jobs)}
    training = Trainer(context, prepared, work).train(jobs)
    before = {job.name: outcome for job, outcome in itertools.islice(training, 4)}  # both trials, on two folds
    training.close()
    (work / "population.state").write_text("how far the third fold had come")
    training = Trainer(context, prepared, work).train(jobs)
    after = {job.name: outcome for job, outcome in itertools.islice(training, 4)}
    assert (work / "population.state").exists()  # to be gone on with
    after |= {job.name: outcome for job, outcome in training}
    assert not (work / "population.state").exists()
    assert set(after) == set(whole)
    for name, outcome in after.items():
        assert outcome.history == pytest.approx(whole[name].history, abs=1e-6)
        assert name not in before or outcome.seconds == before[name].seconds
    assert not (work / "parts.json").exists()


def test_workers_give_what_one_process_gives(tmp_path: Path) -> None:
    found = []
    for workers in (1, 2):
        config = config_in(tmp_path / str(workers), "Stratified", f"tune.workers={workers}", "tune.trials=2")
        directory = run(config, silent(), until="tune").stages[-1].directory
        found.append([trial["history"] for trial in json.loads((directory / "trials.json").read_text())])
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


def test_folds_of_a_fold_are_refused_before_anything_runs(tmp_path: Path) -> None:
    config = config_in(tmp_path, "Stratified", "split.folds=5", "split.fold=2")
    with pytest.raises(ConfigError, match=r'"tune.folds" is 3, and the split is fold 2 of 5 already'):
        run(config, silent())
    assert not list(tmp_path.glob("runs/*/ingest/*"))


def test_in_limited_time_trials_are_ended_on_all_folds(tmp_path: Path) -> None:
    given = ["tune.trials=500", "tune.epochs=20", "tune.finalists=0"]

    def train(seconds: int) -> Path:
        config = config_in(tmp_path / str(seconds), "Stratified", *given, f"tune.budget={seconds}s")
        return run(config, silent(), until="tune").stages[-1].directory

    found, seconds = with_time_enough(train, 6)
    about = json.loads((found / "tuning.json").read_text())
    assert 0 < about["trials"] < 500
    assert about["cut_short"] == f"the budget of {seconds}s"
