"""A table through all stages by the command line: what it leaves, what it answers, what a second run does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from pipeline.plan import PLAN
from tests.helpers import SMALL_TABLE, cli, last_json, mixed_rows, ok, sets, write_csv

STAGES = [stage.name for stage in PLAN]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where `mixed.csv` was initialized and run."""
    folder = tmp_path_factory.mktemp("table")
    write_csv(folder / "mixed.csv", mixed_rows())
    ok(cli(folder, "init", "mixed.csv", "--label", "income"))
    done = cli(folder, "run", "configs/mixed.toml", "--json", *sets(*SMALL_TABLE))
    (folder / "first.json").write_text(json.dumps(last_json(done)))
    return folder


@pytest.fixture(scope="module")
def first(folder: Path) -> dict:
    return json.loads((folder / "first.json").read_text())


def test_the_run_reports_metrics_baseline_model_and_stages(folder: Path, first: dict) -> None:
    assert first["name"] == "mixed"
    assert first["metrics"]["test"]["accuracy"] > first["baseline"]["accuracy"]
    assert [stage["stage"] for stage in first["stages"]] == STAGES
    assert not any(stage["skipped"] for stage in first["stages"])
    assert Path(first["saved_model"]) == folder / "saved_models" / "mixed" / "1"


def test_every_stage_left_what_the_plan_says(first: dict) -> None:
    for stage, done in zip(PLAN, first["stages"], strict=True):
        names = {path.name for path in Path(done["directory"]).iterdir()}
        assert {*stage.makes, "manifest.json"} <= names


def test_a_second_run_does_nothing_and_loads_no_tensorflow(folder: Path, first: dict) -> None:
    code = (
        "import sys; sys.argv = ['pipeline', *sys.argv[1:]]\n"
        "from pipeline.cli import app\n"
        "app(standalone_mode=False)\n"
        "loaded = {'tensorflow', 'keras', 'sklearn', 'keras_tuner'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    command = [sys.executable, "-c", code, "run", "configs/mixed.toml", "--json", *sets(*SMALL_TABLE)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    again = last_json(done)
    assert all(stage["skipped"] for stage in again["stages"])
    assert again["metrics"] == first["metrics"]
    assert len(list((folder / "saved_models" / "mixed").iterdir())) == 1


def test_help_loads_neither_tensorflow_nor_the_config() -> None:
    code = (
        "import sys; sys.argv = ['pipeline', '--help']\n"
        "from pipeline.cli import app\n"
        "app(standalone_mode=False)\n"
        "loaded = {'tensorflow', 'keras', 'pydantic', 'pyarrow', 'numpy'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    ok(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False))


def test_stage_names_of_the_command_line_are_those_of_the_plan() -> None:
    from pipeline.cli import StageName

    assert [name.value for name in StageName] == STAGES


def test_status_tells_done_stale_and_missing(folder: Path) -> None:
    def states(*overrides: str) -> list[str]:
        found = last_json(cli(folder, "status", "configs/mixed.toml", "--json", *sets(*SMALL_TABLE, *overrides)))
        return [stage["state"] for stage in found["stages"]]

    assert states() == ["done"] * 7
    assert states("train.epochs=5") == ["done"] * 4 + ["stale"] * 3
    assert states("model.width=8") == ["done"] * 3 + ["stale"] * 4
    assert states('name="other"') == ["missing"] * 7


def test_another_key_runs_again_only_what_it_changes(folder: Path) -> None:
    done = cli(
        folder, "run", "configs/mixed.toml", "--json", "--until", "prepare", *sets(*SMALL_TABLE, "prepare.min_count=3")
    )
    assert [stage["skipped"] for stage in last_json(done)["stages"]] == [True, True, False]


def test_a_stage_alone_says_what_it_lacks(folder: Path) -> None:
    done = cli(folder, "stage", "prepare", "configs/mixed.toml", *sets('name="alone"'))
    assert done.returncode == 7
    assert 'needs "ingest"' in done.stderr
    assert "--until ingest" in done.stderr
    ok(cli(folder, "stage", "ingest", "configs/mixed.toml", *sets('name="alone"')))
    ok(cli(folder, "stage", "split", "configs/mixed.toml", *sets('name="alone"')))
    ok(cli(folder, "stage", "prepare", "configs/mixed.toml", *sets('name="alone"')))


def test_a_deleted_saved_model_is_published_again(folder: Path) -> None:
    ok(cli(folder, "run", "configs/mixed.toml", "--quiet", *sets(*SMALL_TABLE, 'export.directory="elsewhere"')))
    (folder / "elsewhere" / "mixed" / "1").rename(folder / "gone")
    done = cli(folder, "run", "configs/mixed.toml", "--json", *sets(*SMALL_TABLE, 'export.directory="elsewhere"'))
    assert [stage["skipped"] for stage in last_json(done)["stages"]] == [True] * 6 + [False]
    assert (folder / "elsewhere" / "mixed" / "1" / "saved_model.pb").exists()


GOLDEN = """
import sys, numpy as np, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
serve = model.signatures["serving_default"]
def ask(rows):
    return serve(hours_per_week=tf.constant([r[0] for r in rows]), column_2nd_job=tf.constant([r[1] for r in rows]),
                 constant=tf.constant([r[2] for r in rows]), stamp=tf.constant([r[3] for r in rows], tf.float64),
                 colour=tf.constant([r[4] for r in rows], tf.string),
                 gr__e=tf.constant([r[5] for r in rows], tf.string))
nan = float("nan")
rows = [(44.0, 1.0, 7.0, 1700000001, "red", "size 1"), (nan, nan, nan, nan, "?", ""),
        (1e30, -1e30, 9.0, 0, "never seen", "x"), (44.0, 1.0, 7.0, 1700000001, "  red ", "size 1")]
both = ask(rows)
probabilities = both["probabilities"].numpy()
assert np.isfinite(probabilities).all() and np.allclose(probabilities.sum(axis=1), 1, atol=1e-6)
assert set(both["label"].numpy()) <= {b">50K", b"<=50K"}
# Each alone: processors round the last rows of a batch in another way than its first.
clean, padded = (ask([row])["probabilities"].numpy() for row in (rows[0], rows[3]))
assert (clean == padded).all(), "white space changes an answer"
for i, row in enumerate(rows):
    alone = ask([row])["probabilities"].numpy()[0]
    assert np.allclose(alone, probabilities[i], atol=1e-6), "alone and in a batch differ"
assert ask(rows[:0])["probabilities"].shape == (0, 2)
assert not [name for name in sys.modules if name.split(".")[0] == "pipeline"]
print("golden")
"""


def test_the_saved_model_answers_where_only_tensorflow_is_imported(folder: Path, first: dict) -> None:
    command = [sys.executable, "-I", "-c", GOLDEN, first["saved_model"]]
    done = ok(subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False))
    assert "golden" in done.stdout


def test_the_saved_model_answers_through_saved_model_cli(first: dict) -> None:
    inputs = "hours_per_week=[44.0];column_2nd_job=[1.0];constant=[7.0];stamp=[1700000001.0]"
    inputs += ";colour=['red'];gr__e=['size 1']"
    command = [str(Path(sys.executable).with_name("saved_model_cli")), "run", "--dir", first["saved_model"]]
    command += ["--tag_set", "serve", "--signature_def", "serving_default", "--input_exprs", inputs]
    done = ok(subprocess.run(command, capture_output=True, text=True, check=False))
    assert "Result for output key probabilities" in done.stdout
    assert "Result for output key label" in done.stdout


def test_predict_takes_csv_and_parquet_and_gives_both(folder: Path) -> None:
    ok(cli(folder, "predict", "saved_models/mixed", "mixed.csv", "-o", "answers.parquet", "--quiet"))
    table = pa.csv.read_csv(folder / "mixed.csv")
    pq.write_table(table.drop_columns(["income", "split"]), folder / "rows.parquet")
    printed = ok(cli(folder, "predict", "saved_models/mixed/1", "rows.parquet", "--quiet")).stdout
    (folder / "answers.csv").write_text(printed)
    from_csv, from_parquet = pq.read_table(folder / "answers.parquet"), pa.csv.read_csv(folder / "answers.csv")
    assert from_csv.num_rows == from_parquet.num_rows == 300
    assert from_csv["label"].to_pylist() == from_parquet["label"].to_pylist()
    np.testing.assert_allclose(from_csv["probability_>50K"], from_parquet["probability_>50K"], atol=1e-6)
    right = np.asarray(from_csv["label"]) == np.asarray(table["income"])
    assert right.mean() > 0.6


def test_predict_names_what_does_not_fit(folder: Path) -> None:
    rows = mixed_rows(5)
    write_csv(
        folder / "renamed.csv",
        [{("color" if key == "colour" else key): value for key, value in row.items()} for row in rows],
    )
    done = cli(folder, "predict", "saved_models/mixed", "renamed.csv")
    assert done.returncode == 3
    assert 'no column "colour"' in done.stderr
    assert '"color"' in done.stderr
    write_csv(folder / "word.csv", [*rows, {**rows[0], "constant": "seven"}])
    done = cli(folder, "predict", "saved_models/mixed", "word.csv")
    assert done.returncode == 3
    assert 'word.csv:7, column "constant": "seven"' in done.stderr
    assert cli(folder, "predict", "saved_models/nothing", "mixed.csv").returncode == 6
    assert cli(folder, "predict", "saved_models/mixed", "mixed.csv", "-o", "answers.xlsx").returncode == 2


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A regression with a model of the user's own, from Parquet, split at random."""
    folder = tmp_path_factory.mktemp("regression")
    random = np.random.default_rng(0)
    x = random.normal(size=(400, 2))
    y = 1000 + 50 * x[:, 0] + random.normal(size=400)
    pq.write_table(pa.table({"a": x[:, 0], "b": x[:, 1], "flag": x[:, 1] > 0, "y": y}), folder / "rows.parquet")
    (folder / "nets.py").write_text(
        "import keras\n\n\ndef line(spec, *, l2: float = 0.0):\n"
        "    features = {'numeric': keras.Input((spec.num_numeric,), name='numeric'),\n"
        "                'categorical': keras.Input((1,), dtype='int32', name='categorical')}\n"
        "    kernel = keras.regularizers.L2(l2)\n"
        "    x = keras.layers.Dense(1, kernel_regularizer=kernel)(features['numeric'])\n"
        "    return keras.Model(features, x)\n"
    )
    (folder / "rows.toml").write_text(
        'source = "rows.parquet"\nlabel = "y"\nsplit = "Random"\nmodel = "nets:line"\n[tune]\ntrials = 2\nepochs = 2\n'
        "[train]\nepochs = 30\nlearning_rate = 0.05\nbatch_size = 32\n"
    )
    return folder


def test_a_regression_with_a_model_of_ones_own(regression: Path) -> None:
    found = last_json(cli(regression, "run", "rows.toml", "--json", PYTHONPATH=str(regression)))
    assert found["metrics"]["test"]["rmse"] < 0.3 * found["baseline"]["rmse"]
    ok(cli(regression, "predict", "saved_models/rows", "rows.parquet", "-o", "out.csv", "--quiet"))
    answers = pa.csv.read_csv(regression / "out.csv")
    error = np.asarray(answers["prediction"]) - np.asarray(answers["y"])
    assert np.sqrt(np.mean(error**2)) < 15


def test_a_model_of_ones_own_in_the_current_folder_needs_no_python_path(regression: Path) -> None:
    command = [str(Path(sys.executable).with_name("pipeline")), "run", "rows.toml", "--quiet", "--json"]
    overrides = sets("tune.trials=0", "train.epochs=1", 'name="found"')
    last_json(subprocess.run([*command, *overrides], cwd=regression, capture_output=True, text=True, check=False))
