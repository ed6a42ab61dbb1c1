"""The kind of a column follows from its values, never from those of test, and what does not fit is found."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.schema import BadValue, Feature, Schema, convert, infer_schema, recognize_split_column
from pipeline.errors import DataError


def infer(values: Any, **arguments: Any) -> Schema:
    """The schema of one feature "x" beside a label "y"."""
    column = values if isinstance(values, pa.Array) else pa.array(values)
    return infer_schema(pa.table({"x": column, "y": pa.array(["a"] * len(column))}), label="y", **arguments)


def kind(values: Any) -> str:
    return infer(values).features[0].kind


def converted(values: Any, kind: Any) -> list[Any]:
    column = values if isinstance(values, pa.Array) else pa.array(values)
    batch = pa.RecordBatch.from_pydict({"x": column, "y": pa.array(["a"] * len(column))})
    return convert(batch, Schema((Feature("x", kind),), Feature("y", "categorical"))).column("x").to_pylist()


@pytest.mark.parametrize(
    "values",
    [
        ["1", "2.5", "-3e4"],
        ["1", "?", "", "NaN", "nan", " 2 ", " ? "],
        ["0x"] + ["1"] * 9,
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
        ["2024-01-01"],
        [True, False],
        pa.array(["a"], pa.large_string()),
        pa.array(["a", "b"]).dictionary_encode(),
    ],
)
def test_everything_else_is_categorical(values: Any) -> None:
    assert kind(values) == "categorical"


def test_what_a_person_says_comes_first() -> None:
    table = pa.table({"a": ["1", "2"], "b": ["x", "y"], "c": ["1", "2"], "y": ["0", "1"]})
    schema = infer_schema(table, label="y", drop=["b"], categorical=["a", "y"])
    assert schema.features == (Feature("a", "categorical"), Feature("c", "numeric"))
    assert schema.label == Feature("y", "categorical")
    assert schema.ignored == (("b", "dropped in the config"),)


def test_a_declared_number_stays_one_whatever_the_values() -> None:
    assert infer(["a", "b"], numeric=["x"]).features == (Feature("x", "numeric"),)


@pytest.mark.parametrize("values", [["?", "", " "], pa.nulls(3), pa.array([None, None], pa.string())])
def test_a_column_without_values_is_ignored(values: Any) -> None:
    column = values if isinstance(values, pa.Array) else pa.array(values)
    table = pa.table({"x": column, "z": [1.0] * len(column), "y": ["a"] * len(column)})
    schema = infer_schema(table, label="y")
    assert schema.features == (Feature("z", "numeric"),)
    assert schema.ignored[0][0] == "x"


@pytest.mark.parametrize("name", ["", "  "])
def test_a_column_without_a_name_is_ignored(name: str) -> None:
    schema = infer_schema(pa.table({name: ["0", "1"], "x": ["1", "2"], "y": ["a", "b"]}), label="y")
    assert [feature.name for feature in schema.features] == ["x"]
    assert schema.ignored[0][0] == name


def test_no_feature_at_all_is_refused() -> None:
    with pytest.raises(DataError, match="No column is left"):
        infer_schema(pa.table({"y": ["a", "b"]}), label="y")


@pytest.mark.parametrize("values", [[datetime.date(2024, 1, 1)], [[1, 2]], [{"a": 1}], [b"bytes"]])
def test_a_type_that_cannot_be_used_is_refused_with_its_column(values: list[Any]) -> None:
    with pytest.raises(DataError, match='The column "x" is of type') as caught:
        infer(values)
    assert 'features.drop = ["x"]' in str(caught.value)
    assert infer_schema(pa.table({"x": values, "z": [1.0], "y": ["a"]}), label="y", drop=["x"]).of_kind("numeric") == (
        "z",
    )


@pytest.mark.parametrize("key", ["label", "split", "drop", "numeric", "categorical"])
def test_a_column_that_does_not_exist_is_refused_with_the_nearest(key: str) -> None:
    table = pa.table({"income": ["1"], "weight": ["2"]})
    arguments: dict[str, Any] = {"label": "income"} | {key: "weigth" if key in ("label", "split") else ["weigth"]}
    with pytest.raises(DataError, match='there is no column "weigth"') as caught:
        infer_schema(table, **arguments)
    assert 'Did you mean "weight"?' in str(caught.value)


def test_a_missing_label_lists_the_columns() -> None:
    with pytest.raises(DataError, match="income, weight"):
        infer_schema(pa.table({"income": ["1"], "weight": ["2"]}), label=None)


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
    schema = infer_schema(table, label="y")
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
    schema = infer_schema(table, label="y")
    assert schema.features == (Feature("a", "numeric"), Feature("b", "categorical"))
    assert [name for name, _ in schema.ignored] == ["c"]


def test_a_schema_survives_json() -> None:
    schema = infer_schema(pa.table({"a": ["1"], "b": ["x"], "": ["0"], "y": ["a"]}), label="y", drop=["b"])
    assert Schema.from_json(schema.to_json()) == schema


def test_missing_and_not_finite_numbers_become_null() -> None:
    assert converted(["1", "?", "", " nan", "NaN", "NAN", "inf", "-inf", "2 "], "numeric") == [1.0, *[None] * 7, 2.0]
    assert converted([1.0, float("nan"), float("inf"), None], "numeric") == [1.0, None, None, None]
    assert converted([1, None, 3], "numeric") == [1.0, None, 3.0]


def test_text_is_stripped_and_missing_text_becomes_null() -> None:
    assert converted([" a ", "?", "", "NaN", "b\t", None, "nano"], "categorical") == [
        "a",
        None,
        None,
        None,
        "b",
        None,
        "nano",
    ]


def test_only_ascii_white_space_is_stripped_as_when_serving() -> None:
    assert converted(["\u00a0a\u00a0"], "categorical") == ["\u00a0a\u00a0"]


def test_other_types_become_text_where_they_are_categories() -> None:
    assert converted([1, 2], "categorical") == ["1", "2"]
    assert converted([True, None], "categorical") == ["true", None]
    assert converted(pa.array(["a", "b", "a"]).dictionary_encode(), "categorical") == ["a", "b", "a"]


@pytest.mark.parametrize("row", [0, 3, 9])
def test_a_word_among_numbers_is_found_with_its_row_and_value(row: int) -> None:
    values = ["1"] * 10
    values[row] = " n/a "
    with pytest.raises(BadValue) as caught:
        converted(values, "numeric")
    assert caught.value == BadValue("x", row, "n/a")


def test_the_first_of_several_bad_values_is_found() -> None:
    values = [str(number) for number in range(1000)]
    for row in (900, 513, 511):
        values[row] = f"bad {row}"
    with pytest.raises(BadValue) as caught:
        converted(values, "numeric")
    assert caught.value == BadValue("x", 511, "bad 511")


def test_a_schema_that_was_inferred_converts_its_own_sample() -> None:
    table = pa.table({"a": ["1", "?"], "b": ["x", ""], "split": ["train", "test"], "y": ["0", "1"]})
    batch = table.to_batches()[0]
    found = convert(batch, infer_schema(table, label="y"))
    assert found.to_pydict() == {"a": [1.0, None], "b": ["x", None], "y": [0.0, 1.0], "split": ["train", "test"]}


CELLS = (
    st.none()
    | st.sampled_from(["1", "?", "", " 2.5 ", "nan", "x", "1e400", "0x10", "1,5", "inf"])
    | st.text(max_size=5)
)
ARRAYS = st.one_of(
    st.lists(CELLS, min_size=1, max_size=30).map(lambda values: pa.array(values, pa.string())),
    st.lists(CELLS, min_size=1, max_size=30).map(lambda values: pa.array(values, pa.large_string())),
    st.lists(CELLS, min_size=1, max_size=30).map(lambda values: pa.array(values, pa.string()).dictionary_encode()),
    st.lists(st.none() | st.floats(), min_size=1, max_size=30).map(lambda values: pa.array(values, pa.float64())),
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=30).map(
        lambda v: pa.array(v, pa.int64())
    ),
    st.lists(st.none() | st.booleans(), min_size=1, max_size=30).map(lambda values: pa.array(values, pa.bool_())),
    st.lists(st.none() | st.dates(), min_size=1, max_size=30).map(lambda values: pa.array(values, pa.date32())),
    st.lists(st.none() | st.binary(max_size=3), min_size=1, max_size=30).map(
        lambda values: pa.array(values, pa.binary())
    ),
    st.lists(st.none() | st.lists(st.integers(0, 9), max_size=2), min_size=1, max_size=30).map(
        lambda values: pa.array(values, pa.list_(pa.int64()))
    ),
)


def outcome(table: pa.Table, declarations: dict[str, list[str]]) -> tuple[Schema, pa.RecordBatch] | Exception:
    try:
        schema = infer_schema(table, label="y", **declarations)  # type: ignore[arg-type]
        return schema, convert(table.to_batches()[0], schema)
    except (BadValue, DataError) as refusal:
        return refusal


@given(ARRAYS, st.sampled_from([None, "numeric", "categorical"]))
def test_convert_keeps_every_row_or_names_what_does_not_fit(values: pa.Array, declared: str | None) -> None:
    table = pa.table({"x": values, "z": np.zeros(len(values)), "y": ["a"] * len(values)})
    found = outcome(table, {declared: ["x"]} if declared else {})
    if isinstance(found, BadValue):
        assert (found.column, found.value) == ("x", values[found.row].as_py().strip(" \t\n\v\f\r"))
    elif isinstance(found, Exception):
        assert '"x"' in str(found)
    else:
        schema, batch = found
        assert batch.num_rows == len(values)
        types = {"numeric": pa.float64(), "categorical": pa.string()}
        assert batch.schema.types == [types[column.kind] for column in schema.columns]
        for name in schema.of_kind("numeric"):
            assert np.isfinite(batch.column(name).drop_null().to_numpy()).all()
