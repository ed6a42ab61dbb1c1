"""The kind of a column follows from its values, never from those of test; a person's word comes first."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.infer import Wanted, infer_schema, recognize_split_column
from pipeline.data.schema import Feature, Schema
from pipeline.errors import DataError


def infer(values: Any, **arguments: Any) -> Schema:
    """The schema of one feature "x" beside a label "y"."""
    column = values if isinstance(values, pa.Array) else pa.array(values)
    return infer_schema(pa.table({"x": column, "y": pa.array(["a"] * len(column))}), Wanted("y", **arguments))


def kind(values: Any) -> str:
    return infer(values).features[0].kind


@pytest.mark.parametrize(
    "values",
    [
        ["1", "2.5", "-3e4"],
        ["1", "?", "", "NaN", "nan", " 2 ", " ? "],
        ["word"] + ["1"] * 4,  # a fifth may be mistakes
        [1, 2, None],
        [1.5, float("nan")],
        pa.array([1, 2], pa.int8()),
        pa.array([1, 2], pa.decimal128(5, 2)),
        pa.array(["1", "2"], pa.large_string()),
        pa.array(["1", "2"]).dictionary_encode(),
        pa.array([1, 2]).dictionary_encode(),
    ],
)
def test_numbers_are_numeric(values: Any) -> None:
    assert kind(values) == "numeric"


@pytest.mark.parametrize(
    "values",
    [
        ["a", "b"],
        ["1", "2", "a"],
        ["1", "2", "three", "four"],
        ["1_0", "1_1"],
        ["2024-13-01", "2024-14-01"],
        [True, False],
        pa.array(["a"], pa.large_string()),
        pa.array(["a", "b"]).dictionary_encode(),
        ["one two three"] * 30,  # words, but always the same
        ["a|b", "c|d"],  # parts that do not come again
    ],
)
def test_everything_else_is_categorical(values: Any) -> None:
    assert kind(values) == "categorical"


@pytest.mark.parametrize(
    "values",
    [
        ["2024-01-01"],
        ["2024-01-01T10:00:00", "2024-01-01 10:00", "2024-01-01T10:00:00Z", "2024-01-01T10:00:00+02:00"],
        ["soon"] + ["2024-01-01"] * 4,
        [datetime.date(2024, 1, 1)],
        [datetime.datetime(2024, 1, 1, 10)],
        pa.array([0], pa.timestamp("ns", "UTC")),
    ],
)
def test_times_are_datetime(values: Any) -> None:
    assert kind(values) == "datetime"


@pytest.mark.parametrize("values", [[[1, 2]], [["a"], []], ["a|b", "b|a", "a", "b|a|c"] * 5])
def test_lists_are_tags(values: Any) -> None:
    assert kind(values) == "tags"


def test_sentences_are_text() -> None:
    assert kind([f"this is sentence number {row}" for row in range(20)]) == "text"
    assert kind([f"this is sentence number {row}" for row in range(19)]) == "categorical"  # too few to tell


def test_paths_of_images_that_exist_and_bytes_of_images_are_images(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    table = pa.table({"x": ["a.png", "b.JPG"], "y": ["a", "b"]})
    assert infer_schema(table, Wanted("y"), tmp_path).features == (Feature("x", "image"),)
    assert infer_schema(table, Wanted("y"), tmp_path / "elsewhere").features == (Feature("x", "categorical"),)
    assert kind([b"\x89PNG...", None]) == "image"
    assert kind([{"bytes": b"\xff\xd8\xff", "path": None}]) == "image"


def test_what_a_person_says_comes_first() -> None:
    table = pa.table({"a": ["1", "2"], "b": ["x", "y"], "c": ["1", "2"], "y": ["0", "1"]})
    schema = infer_schema(table, Wanted("y", drop=["b"], kinds={"a": "categorical", "y": "categorical"}))
    assert schema.features == (Feature("a", "categorical"), Feature("c", "numeric"))
    assert schema.label == Feature("y", "categorical")
    assert schema.ignored == (("b", "dropped in the config"),)
    assert schema.dropped == (Feature("b", "categorical"),)


def test_a_declared_number_stays_one_whatever_the_values() -> None:
    assert infer(["a", "b"], kinds={"x": "numeric"}).features == (Feature("x", "numeric"),)


def test_only_what_the_schema_file_knows_is_a_feature() -> None:
    table = pa.table({"x": ["1"], "new": ["2"], "y": ["a"]})
    schema = infer_schema(table, Wanted("y", kinds={"x": "categorical"}, known={"x", "y"}))
    assert schema.features == (Feature("x", "categorical"),)
    assert schema.ignored == (("new", "the schema does not know it"),)


def test_a_column_of_the_schema_file_that_is_gone_is_named() -> None:
    table = pa.table({"x": ["1"], "y": ["a"]})
    with pytest.raises(DataError, match='"schema_file": there is no column "z"'):
        infer_schema(table, Wanted("y", kinds={"x": "numeric", "z": "numeric"}, known={"x", "y", "z"}))


def test_a_column_that_decides_the_split_is_no_feature() -> None:
    table = pa.table({"x": ["1", "2"], "patient": ["7", "8"], "y": ["a", "b"]})
    schema = infer_schema(table, Wanted("y", others={"patient": "categorical"}))
    assert schema.features == (Feature("x", "numeric"),)
    assert schema.others == (Feature("patient", "categorical"),)
    assert schema.kinds == {"x": "numeric", "y": "categorical", "patient": "categorical"}


@pytest.mark.parametrize("values", [["?", "", " "], pa.nulls(3), pa.array([None, None], pa.string())])
def test_a_column_without_values_is_ignored(values: Any) -> None:
    column = values if isinstance(values, pa.Array) else pa.array(values)
    table = pa.table({"x": column, "z": [1.0] * len(column), "y": ["a"] * len(column)})
    schema = infer_schema(table, Wanted("y"))
    assert schema.features == (Feature("z", "numeric"),)
    assert schema.ignored[0][0] == "x"


@pytest.mark.parametrize("name", ["", "  "])
def test_a_column_without_a_name_is_ignored(name: str) -> None:
    schema = infer_schema(pa.table({name: ["0", "1"], "x": ["1", "2"], "y": ["a", "b"]}), Wanted("y"))
    assert [feature.name for feature in schema.features] == ["x"]
    assert schema.ignored[0][0] == name


def test_no_feature_at_all_is_refused() -> None:
    with pytest.raises(DataError, match="No column is left"):
        infer_schema(pa.table({"y": ["a", "b"]}), Wanted("y"))


@pytest.mark.parametrize("values", [[[1.5, 2.5]], [{"a": 1}], [b"bytes"], [datetime.timedelta(1)]])
def test_a_type_that_cannot_be_used_is_refused_with_its_column(values: list[Any]) -> None:
    with pytest.raises(DataError, match='The column "x" is of type') as caught:
        infer(values)
    assert 'features.drop = ["x"]' in str(caught.value)
    table = pa.table({"x": values, "z": [1.0], "y": ["a"]})
    assert infer_schema(table, Wanted("y", drop=["x"])).of_kind("numeric") == ("z",)


@pytest.mark.parametrize("values", [["2024-01-01"] * 2, [["a"]] * 2])
def test_a_label_that_is_neither_number_nor_category_is_refused(values: list[Any]) -> None:
    with pytest.raises(DataError, match='The label "y" is of kind') as caught:
        infer_schema(pa.table({"x": ["1", "2"], "y": values}), Wanted("y"))
    assert 'features.categorical = ["y"]' in str(caught.value)


@pytest.mark.parametrize(
    "wanted",
    [
        {"label": "weigth"},
        {"split": "weigth"},
        {"drop": ["weigth"]},
        {"kinds": {"weigth": "numeric"}},
        {"others": {"weigth": "categorical"}},
    ],
)
def test_a_column_that_does_not_exist_is_refused_with_the_nearest(wanted: dict[str, Any]) -> None:
    table = pa.table({"income": ["1"], "weight": ["2"]})
    with pytest.raises(DataError, match='there is no column "weigth"') as caught:
        infer_schema(table, Wanted(**{"label": "income"} | wanted))
    assert 'Did you mean "weight"?' in str(caught.value)


def test_a_missing_label_lists_the_columns() -> None:
    with pytest.raises(DataError, match="income, weight"):
        infer_schema(pa.table({"income": ["1"], "weight": ["2"]}), Wanted(None))


@pytest.mark.parametrize(
    ("name", "values", "recognized"),
    [
        ("split", ["train", "test"], True),
        ("Split", ["Train", "VAL ", "test"], True),
        ("subset", ["training", "dev", "testing"], True),
        ("split", ["train", "train"], False),
        ("split", ["train", "other"], False),
        ("split", ["train", None], False),
        ("split", ["val", "test"], False),
        ("kind", ["train", "test"], False),
    ],
)
def test_a_published_split_is_recognized_by_name_and_values(name: str, values: list[str], recognized: bool) -> None:
    table = pa.table({name: values, "x": ["1"] * len(values), "y": ["a"] * len(values)})
    schema = infer_schema(table, Wanted("y"))
    assert schema.split == (name if recognized else None)
    assert (name in [feature.name for feature in schema.features]) != recognized


def test_a_label_is_never_taken_for_a_split() -> None:
    table = pa.table({"split": ["train", "test"], "x": ["1", "2"]})
    assert recognize_split_column(table, "split") is None
    assert recognize_split_column(table, "x") == "split"


@pytest.mark.parametrize("held_out", ["test", "Testing", " TEST "])
def test_rows_of_test_do_not_influence_the_kinds(held_out: str) -> None:
    split = ["train"] * 6 + [held_out] * 6
    numbers, words = ["1"] * 6 + ["word"] * 6, ["word"] * 6 + ["1"] * 6
    nothing = [""] * 6 + ["1"] * 6
    table = pa.table({"a": numbers, "b": words, "c": nothing, "split": split, "y": ["u", "v"] * 6})
    schema = infer_schema(table, Wanted("y"))
    assert schema.features == (Feature("a", "numeric"), Feature("b", "categorical"))
    assert [name for name, _ in schema.ignored] == ["c"]


NAMES = st.text(min_size=1, max_size=5)
FEATURES = st.builds(Feature, NAMES, st.sampled_from(["numeric", "categorical", "tags", "image", "text", "datetime"]))


@settings(deadline=None)
@given(
    st.builds(
        Schema,
        st.lists(FEATURES, max_size=3).map(tuple),
        FEATURES,
        st.none() | NAMES,
        st.lists(FEATURES, max_size=2).map(tuple),
        st.lists(FEATURES, max_size=2).map(tuple),
        st.lists(st.tuples(NAMES, NAMES), max_size=2).map(tuple),
    )
)
def test_a_schema_survives_json(schema: Schema) -> None:
    assert Schema.from_json(schema.to_json()) == schema
