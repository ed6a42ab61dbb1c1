"""`pipeline init`: what it finds in the data, and that the config it writes is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import load_config
from pipeline.data.schema_file import load_schema_file
from pipeline.starter import write_config
from tests.helpers import image_folder, mixed_rows, write_csv


def test_a_table_with_a_published_split_and_a_label(tmp_path: Path) -> None:
    write_csv(tmp_path / "rows.csv", mixed_rows())
    written = write_config(tmp_path / "rows.csv", label="income", output=tmp_path / "c.toml")
    config = load_config(written.path)
    assert (config.label, config.task, config.split.name) == ("income", "binary", "Given")
    assert config.source.arguments["path"] == str(tmp_path / "rows.csv")
    assert "300 rows; features: 4 numeric, 2 categorical; label: income (binary)" in written.findings


@pytest.mark.parametrize(
    ("labels", "task"),
    [
        (["a", "b", ""], "binary"),
        (["a", "b", "c", "?"], "multiclass"),
        (["0", "1"], "binary"),
        (["1", "2", "3", "NaN"], "multiclass"),
        ([f"{i}.5" for i in range(60)], "regression"),
        ([str(i) for i in range(60)], "regression"),
    ],
)
def test_the_task_is_told_by_the_labels_that_are_there(tmp_path: Path, labels: list[str], task: str) -> None:
    write_csv(tmp_path / "rows.csv", [{"x": str(i), "target": labels[i % len(labels)]} for i in range(120)])
    written = write_config(tmp_path / "rows.csv", output=tmp_path / "c.toml")  # the label is guessed by its name
    assert (load_config(written.path).label, load_config(written.path).task) == ("target", task)


def test_columns_that_only_number_the_rows_are_left_out_and_said(tmp_path: Path) -> None:
    rows = [{"id": str(i), "name": f"name {i}", "x": str(i % 7), "y": "ab"[i % 2]} for i in range(100)]
    write_csv(tmp_path / "rows.csv", rows)
    written = write_config(tmp_path / "rows.csv", output=tmp_path / "c.toml")
    assert load_config(written.path).features.drop == ("id", "name")
    assert any('"id"' in line for line in written.findings)


def test_a_folder_of_photos_is_augmented_and_resized(tmp_path: Path) -> None:
    image_folder(tmp_path / "photos", 6)
    config = load_config(write_config(tmp_path / "photos", output=tmp_path / "c.toml").path)
    assert config.model.name == "convnet"
    assert config.prepare.image_size == (64, 64)
    assert [component.name for component in config.train.augment] == ["Flip", "Crop", "Shift"]


@pytest.mark.parametrize("bad", ["1,5", "-", ".", "e", "n/a"])
def test_a_label_with_a_few_bad_values_is_still_a_number(tmp_path: Path, bad: str) -> None:
    rows = [{"x": str(i % 7), "y": bad if i % 50 == 49 else f"{i}.5"} for i in range(100)]
    written = write_config(write_csv(tmp_path / "rows.csv", rows), label="y", output=tmp_path / "c.toml")
    assert load_config(written.path).task == "regression"
    assert any(line.startswith("2 rows hold a value") for line in written.findings)


def test_signs_that_toml_forbids_are_no_trouble(tmp_path: Path) -> None:
    names = ["a\nb", "tab\t\x7f", 'quote"', "party \U0001f389", "größe"]
    rows = [{**dict.fromkeys(names, f"{'uv'[i % 2]}🎉\x7f"), "the\nlabel": "ab"[i % 2]} for i in range(60)]
    written = write_config(write_csv(tmp_path / "rows.csv", rows), label="the\nlabel", output=tmp_path / "c.toml")
    config = load_config(written.path)
    assert config.label == "the\nlabel"
    assert config.schema_file is not None
    columns = load_schema_file(Path(config.schema_file)).columns
    assert list(columns) == [*names, "the\nlabel"]
    assert columns["a\nb"].values == ("u\U0001f389\x7f", "v\U0001f389\x7f")


def test_a_column_with_few_values_there_is_not_taken_for_one_that_never_repeats(tmp_path: Path) -> None:
    rows = [{"x": str(i) if i < 3 else "", "code": str(i), "z": str(i % 5), "y": "ab"[i % 2]} for i in range(100)]
    written = write_config(write_csv(tmp_path / "rows.csv", rows), label="y", output=tmp_path / "c.toml")
    columns = load_schema_file(written.path.with_suffix(".schema.toml")).columns
    assert [name for name, column in columns.items() if column.unique] == ["code"]
