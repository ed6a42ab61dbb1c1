"""Keys of `prepare`, and how long a trial trains, are searched as all others are; what wins is what train is given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config import Config, load_config
from pipeline.context import Context
from pipeline.data.store import Store
from pipeline.errors import ConfigError
from pipeline.model_steps import spec_of, train_once
from pipeline.progress import silent
from pipeline.runner import places, run, run_stage
from pipeline.runs import read_json
from pipeline.training.search import Asked
from pipeline.tuning.jobs import Job
from pipeline.tuning.prepared import Prepared
from tests.helpers import write_csv

NUM_ROWS = 240
CONFIG = """
source = { path = "rows.csv" }
label = "y"
split = { name = "Given", column = "part" }
model = { name = "mlp", width = 8, depth = 1, dropout = 0.0, numbers = "piecewise" }

[train]
batch_size = 32
epochs = 3
learning_rate = 0.01
optimizer = "Adam"

[tune]
algorithm = "grid"
trials = 16
epochs = 2
finalists = 0

[tune.space]
"prepare.num_bins" = [4, 8]
"prepare.transforms.x" = ["Standardize", "QuantileScale"]
"train.epochs" = [1, 3]
"""


def rows(seed: int = 0) -> dict[str, list[Any]]:
    random = np.random.default_rng(seed)
    x = np.exp(random.normal(size=NUM_ROWS))
    return {
        "x": x.round(6).tolist(),
        "part": random.choice(["train", "train", "train", "validation", "test"], NUM_ROWS).tolist(),
        "y": np.where(np.sin(3 * x) + random.normal(size=NUM_ROWS) / 5 > 0, "yes", "no").tolist(),
    }


def config_in(folder: Path, *overrides: str, table: Any = None) -> Config:
    columns = table or rows()
    lines = zip(*columns.values(), strict=True)
    write_csv(folder / "rows.csv", [dict(zip(columns, line, strict=True)) for line in lines])
    (folder / "rows.toml").write_text(CONFIG)
    return load_config(folder / "rows.toml", [f'runs="{folder / "runs"}"', *overrides])


def trials_of(result: Any) -> list[dict[str, Any]]:
    found = {done.stage: done.directory for done in result.stages}
    return json.loads((found["tune"] / "trials.json").read_text())


def test_each_trial_has_the_losses_of_its_own_data_and_epochs(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    result = run(config, silent(), until="train")
    trials = trials_of(result)
    assert len(trials) == 8
    assert len({trial["score"] for trial in trials}) == 8
    found, fingerprints = places(config)
    inputs = {"prepare": found.artifact("prepare", fingerprints["prepare"])}
    context = Context(config, inputs, Path(), fingerprints["tune"], silent(), found.directory)
    prepared = Prepared(context)  # once more: those of the search are gone with it
    assert not list(found.directory.glob(".checkpoints/tune-*"))
    for trial in trials:
        epochs = trial["overrides"]["train.epochs"]
        own = Job(Asked(0, trial["overrides"], epochs), trial["seeds"][0]).config(config)
        data = prepared.of(own, 0)
        assert len(Store(data.inputs["prepare"] / "test")) == 0
        losses = train_once(data, own, spec_of(data))[1].val_loss
        assert trial["history"] == pytest.approx(losses, rel=1e-4)
        assert len(losses) == epochs == trial["epochs"]

    best = min(trials, key=lambda trial: trial["score"])["overrides"]
    trained = result.stages[-1].directory
    assert len(read_json(trained / "history.json")["val_loss"]) == best["train.epochs"]
    chosen = read_json(trained / "manifest.json")["inputs"]["prepare"]
    own = read_json(found.artifact("prepare", chosen) / "manifest.json")["config"]["prepare"]
    assert own["num_bins"] == best["prepare.num_bins"]
    assert [one["name"] for one in own["transforms"]["x"]] == [best["prepare.transforms.x"]]


def test_train_evaluate_and_export_open_the_data_that_won(tmp_path: Path) -> None:
    space = "tune.space={ 'prepare.transforms.x' = ['QuantileScale'] }".replace("'", '"')
    config = config_in(tmp_path, space, "tune.trials=1", f'export.directory="{tmp_path / "saved"}"')
    run(config, silent(), until="tune")
    found, fingerprints = places(config)
    for name in ("train", "evaluate", "export"):  # one by one, as an orchestrator does
        run_stage(config, silent(), name)
    manifests = [found.manifest(name, fingerprints[name]) for name in ("train", "evaluate", "export")]
    [chosen] = {manifest["inputs"]["prepare"] for manifest in manifests if manifest}
    assert chosen != fingerprints["prepare"]
    before = sorted(found.fingerprints("prepare"))
    assert all(done.skipped for done in run(config, silent()).stages)
    assert sorted(found.fingerprints("prepare")) == before


def test_other_test_rows_change_no_score(tmp_path: Path) -> None:
    table, scores = rows(), []
    for name in ("a", "b"):
        trials = trials_of(run(config_in(tmp_path / name, table=table), silent(), until="tune"))
        scores.append([trial["history"] for trial in trials])
        for row, part in enumerate(table["part"]):
            if part == "test":
                table["x"][row], table["y"][row] = 1e6 + row, "no" if table["y"][row] == "yes" else "yes"
    assert scores[0] == scores[1]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["tune.algorithm=hyperband"], "cannot be tuned by hyperband, which says itself how long"),
        (['tune.space={ "prepare.transforms.x" = ["Standardise"] }'], 'there is no "Standardise"|Standardise'),
        (['tune.space={ "prepare.transforms.z" = ["Standardize"] }'], '"prepare.transforms'),
        (['tune.space={ "prepare.num_bin" = [4, 8] }'], 'there is no key "prepare.num_bin"'),
        (['tune.space={ "prepare.num_bins" = [1, 8] }'], '"tune.space.prepare.num_bins": 1 does not fit'),
    ],
)
def test_what_cannot_be_prepared_is_refused_before_the_first_trial(
    tmp_path: Path, overrides: list[str], said: str
) -> None:
    config = config_in(tmp_path, *overrides)
    with pytest.raises(ConfigError, match=said):
        run(config, silent(), until="tune")
    assert not list(tmp_path.glob("runs/*/.checkpoints/tune-*/journal.jsonl"))
