"""Rows and classes that count more than others: what is learnt, what is measured, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn import metrics as reference

from pipeline import data, evaluation, models, training
from pipeline.config import load_config
from pipeline.data.infer import Wanted, infer_schema
from pipeline.data.ingest import Ingested, ingest
from pipeline.data.label_info import LabelInfo
from pipeline.data.quarantine import Budget
from pipeline.data.row_weights import Weights
from pipeline.data.rows import ROW_KEY, stored_column
from pipeline.data.sources import ArrowTable, Csv
from pipeline.data.store import Store, StoreWriter
from pipeline.errors import ConfigError, DataError
from pipeline.export.predict import predict
from pipeline.progress import silent
from pipeline.runner import run
from pipeline.spec import Spec
from tests.helpers import SMALL, SMALL_TABLE, write_csv

LARGE = Budget(max_fraction=1.0, max_class_fraction=1.0)


def rows(num_rows: int = 600, seed: int = 0) -> dict[str, Any]:
    """One row in ten is rare, and what tells it is noisy; weights between 0 and 4, sides given."""
    random = np.random.default_rng(seed)
    rare = np.arange(num_rows) % 10 == 3
    return {
        "x": random.normal(size=num_rows) + 1.2 * rare,
        "z": random.normal(size=num_rows),
        "count": random.integers(0, 5, num_rows).astype(float),
        "y": np.where(rare, "rare", "common").tolist(),
        "split": [["train", "train", "validation", "test"][row // 10 % 4] for row in range(num_rows)],
    }


def prepared(columns: dict[str, Any], directory: Path | None = None, **options: Any) -> data.Splits:
    return data.prepare(ArrowTable(pa.table(columns), label="y"), directory=directory, **options)


# What a weight may be.


def read(folder: Path, weights: list[str], **wanted: Any) -> Ingested:
    """Rows with these weights, in a CSV file."""
    out = folder / "out"
    out.mkdir()
    table = [{"x": str(row), "count": weight, "y": "ab"[row % 2]} for row, weight in enumerate(weights)]
    source = Csv(str(write_csv(folder / "rows.csv", table)), label="y")
    return ingest(source, out, Wanted("y", weight="count", **wanted), budget=LARGE)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "a missing or infinite weight"),
        ("?", "a missing or infinite weight"),
        ("NaN", "a missing or infinite weight"),
        ("inf", "a missing or infinite weight"),
        ("-0.5", "a negative weight"),
        ("1e+39", "a weight that is too large for float32"),
        ("heavy", "not a number"),
    ],
)
def test_a_bad_weight_is_set_aside_with_its_place_and_reason(tmp_path: Path, value: str, reason: str) -> None:
    shown = "" if value in ("?", "NaN") else value  # missing values are missing from the source on
    found = read(tmp_path, ["1", "0", value, "2.5", "1e-30"])
    assert found.num_rows == 4
    assert found.quarantine == {"rows": 1, "reasons": {reason: 1}}
    (entry,) = pq.read_table(tmp_path / "out" / "quarantine.parquet").to_pylist()
    assert (entry["line"], entry["column"], entry["value"], entry["reason"]) == (4, "count", shown, reason)
    assert stored_column(tmp_path / "out" / "rows.arrow", "count").to_pylist() == [1.0, 0.0, 2.5, 1e-30]


@pytest.mark.parametrize("kind", [pa.float64(), pa.float32(), pa.int64()])
def test_typed_weights_are_checked_too(tmp_path: Path, kind: pa.DataType) -> None:
    table = pa.table({"x": [1.0, 2.0, 3.0, 4.0], "count": pa.array([1, None, -1, 0], kind), "y": list("abab")})
    found = ingest(ArrowTable(table, label="y"), tmp_path, Wanted("y", weight="count"), budget=LARGE)
    assert found.quarantine["reasons"] == {"a missing or infinite weight": 1, "a negative weight": 1}


def test_a_weight_is_no_feature_and_no_part_of_what_makes_a_row_known(tmp_path: Path) -> None:
    columns = rows(40)
    for name, factor in (("a", 1.0), ("b", 3.0)):
        (tmp_path / name).mkdir()
        table = pa.table({**columns, "count": columns["count"] * factor + 1})
        schema = ingest(ArrowTable(table, label="y"), tmp_path / name, Wanted("y", weight="count")).schema
        assert [feature.name for feature in schema.features] == ["x", "z"]
        assert schema.weight == "count"
        assert type(schema).from_json(json.loads(json.dumps(schema.to_json()))) == schema
    one, other = (stored_column(tmp_path / name / "rows.arrow", ROW_KEY) for name in "ab")
    assert one.equals(other)


@pytest.mark.parametrize(
    ("wanted", "use"),
    [
        ({"label": "count"}, "the label"),
        ({"drop": ["count"]}, "in features.drop"),
        ({"kinds": {"count": "categorical"}}, "declared as categorical"),
        ({"split": "count"}, "the split's column"),
        ({"others": {"count": "categorical"}}, "the split's column"),
    ],
)
def test_a_weight_that_is_something_else_as_well_is_refused(wanted: dict[str, Any], use: str) -> None:
    table = pa.table({"x": [1.0, 2.0], "count": [1.0, 2.0], "y": ["a", "b"]})
    with pytest.raises(DataError, match=f'"features.weight": the column "count" is {use}'):
        infer_schema(table, Wanted(**{"label": "y", "weight": "count", **wanted}))


def test_a_weight_that_does_not_exist_is_refused_with_the_nearest() -> None:
    table = pa.table({"x": [1.0, 2.0], "count": [1.0, 2.0], "y": ["a", "b"]})
    with pytest.raises(DataError, match='"features.weight": there is no column "cuont"') as caught:
        infer_schema(table, Wanted("y", weight="cuont"))
    assert 'Did you mean "count"?' in str(caught.value)


@pytest.mark.parametrize("section", ['drop = ["w"]', 'categorical = ["w"]'])
def test_a_config_that_gives_the_weight_two_uses_is_refused(tmp_path: Path, section: str) -> None:
    (tmp_path / "c.toml").write_text(f'source = "rows.csv"\n[features]\nweight = "w"\n{section}\n')
    with pytest.raises(ConfigError, match="features"):
        load_config(tmp_path / "c.toml")


# What becomes of it.


def test_weights_are_those_of_the_data_in_units_of_the_mean_of_train(tmp_path: Path) -> None:
    columns = rows()
    splits = prepared(columns, tmp_path, weight="count")
    side, count = np.asarray(columns["split"]), columns["count"]
    mean = count[side == "train"].mean()
    for name in ("train", "validation", "test"):
        found = np.asarray(getattr(splits, name).columns["sample_weight"])
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, count[side == name] / mean, rtol=1e-6)
    assert splits.spec.num_numeric == 2
    features, label, weight = next(iter(data.make_eval(splits.validation, batch_size=7)))
    assert (features["numeric"].shape, label.shape, weight.shape) == ((7, 2), (7,), (7,))


def test_the_baseline_counts_rows_by_their_weights(tmp_path: Path) -> None:
    columns = rows()
    info = LabelInfo.of(prepared(columns, tmp_path, weight="count").train)
    train = np.asarray(columns["split"]) == "train"
    rare = np.asarray(columns["y"])[train] == "rare"
    assert (info.name, info.classes, info.weight) == ("y", ("common", "rare"), "count")
    assert info.constant[1] == pytest.approx(np.average(rare, weights=columns["count"][train]), rel=1e-6)


def test_corrupting_the_weights_of_test_rows_changes_nothing_learnt(tmp_path: Path) -> None:
    columns = rows()
    is_test = np.asarray(columns["split"]) == "test"
    found = []
    for name, factor in (("clean", 1.0), ("poisoned", 1e6)):
        changed = {**columns, "count": np.where(is_test, columns["count"] * factor + (factor > 1), columns["count"])}
        prepared(changed, tmp_path / name, weight="count")
        learnt = [path for part in ("train", "validation") for path in sorted((tmp_path / name / part).iterdir())]
        found.append([path.read_bytes() for path in (*learnt, tmp_path / name / "label.json")])
        found[-1].append(Store(tmp_path / name / "test").columns["sample_weight"].mean())
    assert found[0][:-1] == found[1][:-1]
    assert found[1][-1] > 1e5 * found[0][-1]


@pytest.mark.parametrize("side", ["train", "validation", "test"])
def test_a_side_on_which_no_row_counts_is_refused(tmp_path: Path, side: str) -> None:
    columns = rows(80)
    weights = np.where(np.asarray(columns["split"]) == side, 0.0, 1.0)
    with pytest.raises(DataError, match=f'"count" is 0 in every row of {side}'):
        prepared({**columns, "count": weights}, tmp_path, weight="count")


def test_a_weight_that_float32_cannot_hold_beside_train_s_is_refused() -> None:
    with pytest.raises(DataError, match="one order of magnitude"):
        Weights("count", mean=1e-30)(pa.record_batch({"count": [1e20]}))


def store_of(folder: Path, repeats: np.ndarray | None, weights: np.ndarray | None) -> Store:
    """Six rows of two classes, repeated or weighed."""
    random = np.random.default_rng(5)
    columns = {"numeric": random.normal(size=(6, 3)).astype(np.float32), "label": np.asarray([0, 1, 1, 0, 1, 0])}
    forms = {"numeric": ("float32", (3,)), "label": ("int32", ())}
    if repeats is not None:
        columns = {name: np.repeat(column, repeats, axis=0) for name, column in columns.items()}
    if weights is not None:
        columns["sample_weight"] = weights / weights.mean()
        forms["sample_weight"] = ("float32", ())
    writer = StoreWriter(folder, len(columns["label"]), forms, Spec("binary", 2, num_numeric=3))
    writer.append(columns)
    writer.close()
    return Store(folder)


def test_a_row_of_weight_two_moves_the_model_as_the_row_twice(tmp_path: Path) -> None:
    counts, found = np.asarray([2, 1, 3, 0, 1, 1]), {}
    stores = {
        "weighed": store_of(tmp_path / "weighed", None, counts.astype(float)),
        "repeated": store_of(tmp_path / "repeated", counts, None),
        "plain": store_of(tmp_path / "plain", None, None),
    }
    for name, store in stores.items():
        keras.utils.set_random_seed(1)
        model = models.mlp(Spec("binary", 2, num_numeric=3), units=(5,), dropout=0.0, l2=1e-3)
        before = model.get_weights()
        train = data.make_train(store, batch_size=len(store), seed=0, epochs=3)
        history = training.fit(model, train, data.make_eval(store), optimizer=training.SGD(0.1, momentum=0.0), epochs=3)
        moved = np.concatenate([(new - old).ravel() for new, old in zip(model.get_weights(), before, strict=True)])
        found[name] = np.append(moved, history.val_loss)
    np.testing.assert_allclose(found["weighed"], found["repeated"], rtol=1e-4, atol=1e-6)
    assert np.abs(found["weighed"] - found["plain"]).max() > 1e-3


# What is learnt.


@pytest.fixture(scope="module")
def imbalanced(tmp_path_factory: pytest.TempPathFactory) -> data.Splits:
    columns = rows(2000)
    columns["count"] = np.where(np.asarray(columns["y"]) == "rare", 9.0, 1.0)
    return prepared(columns, tmp_path_factory.mktemp("imbalanced"), weight="count")


def recalls(splits: data.Splits, *, weighed: bool = False, **options: Any) -> tuple[float, float]:
    """Of the common and of the rare class, on test."""
    train = splits.train if weighed else _without_weights(splits.train)
    keras.utils.set_random_seed(1)
    model = models.mlp(splits.spec, units=(), dropout=0.0)
    batches = data.make_train(train, batch_size=64, seed=1, epochs=15, **options)
    training.fit(model, batches, data.make_eval(splits.validation), optimizer=training.Adam(0.02), epochs=15)
    (common, missed), (wrong, rare) = evaluation.evaluate(model, data.make_eval(splits.test)).confusion
    return common / (common + missed), rare / (wrong + rare)


def _without_weights(store: Store) -> Store:
    folder = store.directory.parent / "plain"
    if not folder.exists():
        columns = {name: column for name, column in store.columns.items() if name != "sample_weight"}
        forms = {name: (str(column.dtype), column.shape[1:]) for name, column in columns.items()}
        writer = StoreWriter(folder, len(store), forms, store.spec, store.target)
        writer.append(columns)
        writer.close()
    return Store(folder)


@pytest.mark.parametrize(
    "options",
    [
        {"class_weight": "balanced"},
        {"class_weight": {1: 9.0}},
        {"resample": "balanced"},
        {"resample": {0: 0.5, 1: 0.5}},
        {"weighed": True},
    ],
    ids=["class-weight", "class-weight-given", "resample", "resample-given", "row-weights"],
)
def test_what_counts_more_is_found_more_often(imbalanced: data.Splits, options: dict[str, Any]) -> None:
    plain, found = recalls(imbalanced), recalls(imbalanced, **options)
    assert plain[1] < 0.3
    assert found[1] > plain[1] + 0.3
    assert found[0] < plain[0]


def test_weights_and_shares_of_the_same_size_are_no_change(imbalanced: data.Splits) -> None:
    assert recalls(imbalanced, class_weight={0: 1.0, 1: 1.0}) == recalls(imbalanced)


# Classes by their names.


def test_names_of_classes_become_their_indices() -> None:
    info = LabelInfo("y", ("common", "rare"), (0.9, 0.1))
    assert info.by_index("none", "k") == "none"
    assert info.by_index("balanced", "k") == "balanced"
    assert info.by_index({"rare": 5, "common": 0.5}, "k") == {1: 5.0, 0: 0.5}


def test_a_class_that_does_not_exist_is_refused_with_the_nearest() -> None:
    info = LabelInfo("y", ("common", "rare"), (0.9, 0.1))
    with pytest.raises(ConfigError, match='"train.resample": the label "y" has no class "rair" in train') as caught:
        info.by_index({"rair": 0.5}, "train.resample")
    assert 'Did you mean "rare"?' in str(caught.value)
    assert "common, rare" in str(caught.value)


def test_a_quantity_has_no_classes_to_weigh() -> None:
    with pytest.raises(ConfigError, match="is a quantity and has no classes") as caught:
        LabelInfo("y", (), (1.5,)).by_index("balanced", "train.class_weight")
    assert "features.weight" in str(caught.value)


@pytest.mark.parametrize("value", ['"balance"', "{ rare = -1.0 }", '{ rare = "x" }', "3", "{ rare = inf }", "true"])
@pytest.mark.parametrize("key", ["class_weight", "resample"])
def test_what_is_no_weight_of_classes_is_refused(tmp_path: Path, key: str, value: str) -> None:
    (tmp_path / "c.toml").write_text(f'source = "rows.csv"\n[train]\n{key} = {value}\n')
    with pytest.raises(ConfigError, match=rf'c\.toml:3: "train\.{key}" is') as caught:
        load_config(tmp_path / "c.toml")
    assert "none, balanced, or a table of class = number" in str(caught.value)


def config_of(folder: Path, text: str) -> Path:
    columns = rows(400)
    table = [dict(zip(columns, map(str, values), strict=True)) for values in zip(*columns.values(), strict=True)]
    write_csv(folder / "rows.csv", table)
    path = folder / "rare.toml"
    path.write_text(
        f'source = "rows.csv"\nlabel = "y"\nruns = "{folder}/runs"\nexport.directory = "{folder}/saved_models"\n{text}'
    )
    return path


def test_a_regression_with_weights_of_classes_is_refused_before_anything_runs(tmp_path: Path) -> None:
    path = config_of(tmp_path, 'task = "regression"\ntrain.resample = "balanced"\n')
    with pytest.raises(ConfigError, match="\"train.resample\" is 'balanced', but the task is regression"):
        run(load_config(path), silent())
    assert not list(tmp_path.glob("runs/*/ingest/*"))


@pytest.mark.parametrize(
    "text",
    [
        "train.class_weight = { rair = 5.0 }\ntune.trials = 0\n",
        'tune.space = { "train.class_weight" = ["none", { rair = 5.0 }] }\n',
    ],
)
def test_a_misspelt_class_is_refused_before_anything_is_trained(tmp_path: Path, text: str) -> None:
    path = config_of(tmp_path, text)
    with pytest.raises(ConfigError, match='"train.class_weight": the label "y" has no class "rair"'):
        run(load_config(path, SMALL[3:]), silent())
    assert not list(tmp_path.glob("runs/*/train/*/model.weights.h5"))


def test_a_run_weighs_rows_and_classes_and_its_model_asks_for_neither(tmp_path: Path) -> None:
    text = (
        'features.weight = "count"\ntrain.class_weight = { rare = 4.0 }\n'
        '[tune.space]\n"train.class_weight" = ["balanced", { rare = 4.0 }]\n'
        '"train.resample" = ["none", "balanced"]\n'
    )
    result = run(load_config(config_of(tmp_path, text), SMALL_TABLE), silent())
    folders = {done.stage: done.directory for done in result.stages}
    trials = json.loads((folders["tune"] / "trials.json").read_text())
    assert len(trials) == 2
    assert all(trial["error"] is None for trial in trials)
    assert trials[0]["overrides"] == {"train.class_weight": {"rare": 4.0}, "train.resample": "none"}  # the config's own
    found = json.loads((folders["evaluate"] / "evaluation.json").read_text())
    columns = rows(400)
    test = np.asarray(columns["split"]) == "test"
    asked = [dict(zip("xz", map(str, values), strict=True)) for values in zip(columns["x"], columns["z"], strict=True)]
    write_csv(tmp_path / "asked.csv", [row for row, there in zip(asked, test, strict=True) if there])
    answered = predict(tmp_path / "saved_models/rare", tmp_path / "asked.csv", None, silent()).to_pydict()
    expected = reference.accuracy_score(
        np.asarray(columns["y"])[test], answered["label"], sample_weight=columns["count"][test]
    )
    assert found["weighted_by"] == "count"
    assert found["metrics"]["accuracy"] == pytest.approx(expected)
    assert found["num_rows"] == test.sum() == np.sum(found["confusion"])
