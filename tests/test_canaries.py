"""Canaries: when every test row is corrupted, nothing that was learnt may change, not by a bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.config import load_config
from pipeline.progress import silent
from pipeline.runner import run
from pipeline.starter import write_config as init
from tests.helpers import SMALL, SMALL_TABLE, image_folder, mixed_rows, write_csv

LEARNT = ("schema.json", "transforms.json", "spec.json", "best.json", "trials.json", "history.json")


def learn(config: Path, *overrides: str, small: list[str] = SMALL_TABLE) -> dict[str, Any]:
    """Everything a run learnt: schema, statistics, vocabularies, hyperparameters, weights."""
    result = run(load_config(config, [*small, *overrides]), silent(), until="train")
    found: dict[str, Any] = {}
    for done in result.stages:
        for path in done.directory.iterdir():
            if path.name in LEARNT:
                found[path.name] = json.loads(path.read_text())
            elif path.name == "model.weights.h5":
                found["weights"] = weights(path)
            elif path.name in ("train", "validation"):
                found[path.name] = {file.name: file.read_bytes() for file in path.iterdir()}
    for trial in found["trials.json"]:
        del trial["seconds"]  # two runs that are equal differ in it
    assert {*LEARNT, "weights", "train", "validation"} == set(found)
    return found


def weights(path: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: found.update({name: item[()].tobytes()}) if isinstance(item, h5py.Dataset) else None
        )
    assert found
    return found


def corrupt(row: dict[str, str], number: int) -> dict[str, str]:
    """Another number everywhere, unseen categories, a label that train never showed."""
    return {
        "hours-per-week": str(-1e9 * number),
        "2nd job": "1e30",
        "constant": str(number),
        "stamp": "",
        "colour": f"poison {number}",
        "größe": "poison",
        "income": "poison",
        "split": row["split"],
    }


def write_config(folder: Path, name: str, text: str) -> Path:
    """A config whose run directory is below `folder`."""
    path = folder / f"{name}.toml"
    path.write_text(f'runs = "{folder}/runs"\n' + text)
    return path


@pytest.mark.parametrize("schema", [False, True], ids=["inferred", "schema-file"])
def test_corrupting_all_test_rows_of_a_table_changes_nothing_learnt(tmp_path: Path, schema: bool) -> None:
    rows = mixed_rows()
    poisoned = [corrupt(row, number) if row["split"] == "test" else row for number, row in enumerate(rows)]
    for row in poisoned[9:60:5]:  # test rows, which will be set aside
        assert row["split"] == "test"
        row["stamp"] = "poison"
    text = 'label = "income"\n'
    write_csv(tmp_path / "clean.csv", rows)
    if schema:
        init(tmp_path / "clean.csv", label="income", output=tmp_path / "made.toml")
        text += 'schema_file = "made.schema.toml"\n'
    learnt = []
    for name, table in (("clean", rows), ("poisoned", poisoned)):
        write_csv(tmp_path / f"{name}.csv", table)
        learnt.append(learn(write_config(tmp_path, name, f'source = "{name}.csv"\n{text}')))
    assert learnt[0] == learnt[1]
    (aside,) = (tmp_path / "runs" / "poisoned" / "ingest").glob("*/quarantine.parquet")
    assert set(pq.read_table(aside)["value"].to_pylist()) == {"poison"}
    anomalies = json.loads((aside.parent / "anomalies.json").read_text())
    assert bool(anomalies) == schema


def test_the_canary_is_alive_a_poisoned_train_row_does_change_what_is_learnt(tmp_path: Path) -> None:
    rows = mixed_rows()
    poisoned = [{**rows[0], "2nd job": "2000"}, *rows[1:]]
    learnt = []
    for name, table in (("clean", rows), ("poisoned", poisoned)):
        write_csv(tmp_path / f"{name}.csv", table)
        config = write_config(tmp_path, name, f'source = "{name}.csv"\nlabel = "income"\n')
        learnt.append(learn(config, "tune.trials=0", "train.epochs=1"))
    assert learnt[0]["transforms.json"] != learnt[1]["transforms.json"]
    assert learnt[0]["weights"] != learnt[1]["weights"]


def test_corrupting_the_features_of_test_rows_of_a_random_split_changes_nothing_learnt(tmp_path: Path) -> None:
    rows = [{key: value for key, value in row.items() if key != "split"} for row in mixed_rows()]
    config = 'source = "{}.csv"\nlabel = "income"\nsplit = "Stratified"\n'
    write_csv(tmp_path / "clean.csv", rows)
    path = write_config(tmp_path, "clean", config.format("clean"))
    clean = learn(path)
    split = run(load_config(path, SMALL_TABLE), silent(), until="split").stages[-1].directory
    test = np.load(split / "sides.npy") == 2
    poisoned = [
        {**corrupt({"split": ""}, number), "income": row["income"]} if test[number] else row
        for number, row in enumerate(rows)
    ]
    poisoned = [{key: value for key, value in row.items() if key != "split"} for row in poisoned]
    write_csv(tmp_path / "poisoned.csv", poisoned)
    assert learn(write_config(tmp_path, "poisoned", config.format("poisoned"))) == clean


def test_corrupting_all_test_images_changes_nothing_learnt(tmp_path: Path) -> None:
    text = 'source = "images"\n[train]\naugment = ["Flip", "Shift", "Crop"]\n'
    image_folder(tmp_path / "clean" / "images", splits=True)
    image_folder(tmp_path / "poisoned" / "images", splits=True)
    noise = np.random.default_rng(9)
    for path in (tmp_path / "poisoned" / "images" / "test").rglob("*.*"):
        Image.fromarray(noise.integers(0, 256, (90, 130), np.uint8)).save(path)  # grey, and far larger
    learnt = [learn(write_config(tmp_path / name, name, text), small=SMALL) for name in ("clean", "poisoned")]
    assert learnt[0] == learnt[1]
