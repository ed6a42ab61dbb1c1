"""Raw columns to stored types: every value is kept, null, or named with its row and what is wrong with it."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.data.convert import REASONS, TIMESTAMP, BadValue, convert
from pipeline.data.infer import Wanted, infer_schema
from pipeline.data.kinds import KINDS
from pipeline.data.schema import Feature, Schema
from pipeline.errors import DataError

STORED = {
    "numeric": [pa.float64()],
    "categorical": [pa.dictionary(pa.int32(), pa.string())],
    "text": [pa.string()],
    "datetime": [TIMESTAMP],
    "tags": [pa.list_(pa.string())],
    "image": [pa.string(), pa.binary()],
}


def both(values: Any, kind: Any, folder: Path | None = None) -> tuple[list[Any], list[BadValue]]:
    """The converted column "x", and what is bad in it."""
    column = values if isinstance(values, pa.Array) else pa.array(values)
    batch = pa.RecordBatch.from_pydict({"x": column, "y": pa.array(["a"] * len(column))})
    found, bad = convert(batch, Schema((Feature("x", kind),), Feature("y", "categorical")), folder)
    assert found.schema.field("x").type in STORED[kind]
    return found.column("x").to_pylist(), bad


def converted(values: Any, kind: Any, folder: Path | None = None) -> list[Any]:
    found, bad = both(values, kind, folder)
    assert bad == []
    return found


def test_missing_and_not_finite_numbers_become_null() -> None:
    assert converted(["1", "?", "", " nan", "NaN", "NAN", "inf", "-inf", "2 "], "numeric") == [1.0, *[None] * 7, 2.0]
    assert converted([1.0, float("nan"), float("inf"), None], "numeric") == [1.0, None, None, None]
    assert converted([1, None, 3], "numeric") == [1.0, None, 3.0]
    assert converted(pa.array([2**63, None], pa.uint64()), "numeric") == [float(2**63), None]
    assert converted([True, None], "numeric") == [1.0, None]


def test_text_is_stripped_and_missing_text_becomes_null() -> None:
    values, found = [" a ", "?", "", "NaN", "b\t", None, "nano"], ["a", None, None, None, "b", None, "nano"]
    assert converted(values, "categorical") == found
    assert converted(values, "text") == found


def test_only_ascii_white_space_is_stripped_as_when_serving() -> None:
    assert converted(["\u00a0a\u00a0"], "categorical") == ["\u00a0a\u00a0"]


def test_other_types_become_text_where_they_are_categories() -> None:
    assert converted([1, 2], "categorical") == ["1", "2"]
    assert converted([1.0, 2.0, None], "categorical") == ["1", "2", None]
    assert converted([1.5, 2.0], "categorical") == ["1.5", "2"]
    assert converted([True, None], "categorical") == ["true", None]
    assert converted(pa.array(["a", "b", "a"]).dictionary_encode(), "categorical") == ["a", "b", "a"]


def test_spellings_of_one_category_in_a_dictionary_share_a_place() -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, None], pa.int8()), pa.array([" a", "a ", "?"]))
    batch = pa.RecordBatch.from_pydict({"y": column})
    found = convert(batch, Schema((), Feature("y", "categorical")))[0].column("y")
    assert found.to_pylist() == ["a", "a", None, None]
    assert found.dictionary.to_pylist() == ["a"]


def test_times_with_a_zone_are_taken_into_utc() -> None:
    noon = datetime.datetime(2024, 1, 31, 12)
    spelled = ["2024-01-31T12:00:00", "2024-01-31 12:00", "2024-01-31T12:00:00Z", "2024-01-31T14:00:00+02:00"]
    assert converted(spelled, "datetime") == [noon] * 4
    assert converted(["2024-01-31", "?", None], "datetime") == [datetime.datetime(2024, 1, 31), None, None]
    assert converted([datetime.date(2024, 1, 31)], "datetime") == [datetime.datetime(2024, 1, 31)]
    zoned = pa.array([noon], pa.timestamp("us")).cast(pa.timestamp("ns", "Europe/Zurich"))
    assert converted(zoned, "datetime") == [noon]


def test_a_time_that_python_does_not_have_is_bad() -> None:
    assert both(["0000-01-01", "0001-01-01"], "datetime")[1] == [BadValue("x", 0, "0000-01-01", REASONS["datetime"])]
    found, bad = both(pa.array([-(2**60), 0, None, 2**60], pa.timestamp("us")), "datetime")
    assert found == [None, datetime.datetime(1970, 1, 1), None, None]
    assert [value.row for value in bad] == [0, 3]


def test_what_holds_no_image_is_refused_as_one() -> None:
    with pytest.raises(DataError, match='"x" is of type double, which cannot be image'):
        both([1.5], "image")


def test_tags_are_separated_stripped_and_may_be_none() -> None:
    assert converted(["a| b", "c", "", "?", None], "tags") == [["a", "b"], ["c"], None, None, None]
    assert converted([[1, 2], [], None], "tags") == [["1", "2"], [], None]


def test_paths_of_images_are_below_the_folder_and_bytes_stay(tmp_path: Path) -> None:
    assert converted(["a.png", "/b.png", "?"], "image", tmp_path) == [str(tmp_path / "a.png"), "/b.png", None]
    assert converted([b"\xff", None], "image", tmp_path) == [b"\xff", None]
    assert converted([{"bytes": b"\xff", "path": "x"}, None], "image", tmp_path) == [b"\xff", None]


@pytest.mark.parametrize("row", [0, 3, 9])
def test_a_word_among_numbers_is_found_with_its_row_and_value(row: int) -> None:
    values = ["1"] * 10
    values[row] = " n/a "
    found, bad = both(values, "numeric")
    assert bad == [BadValue("x", row, " n/a ", "not a number")]
    assert found == [None if place == row else 1.0 for place in range(10)]


@pytest.mark.parametrize("value", ["1,5", "1_0", "0x10", "1.2.3", "--1", "1e", "½", "1 2", "$5", "1e5.0"])
def test_what_is_no_number_is_told(value: str) -> None:
    assert both(["1", value, "+2.5", ".5", "1.", "1E-5"], "numeric") == (
        [1.0, None, 2.5, 0.5, 1.0, 1e-5],
        [BadValue("x", 1, value, "not a number")],
    )


def test_all_bad_values_are_found_in_the_order_of_the_rows() -> None:
    values = [str(number) for number in range(1000)]
    for row in (900, 513, 511):
        values[row] = f"bad {row}"
    found, bad = both(values, "numeric")
    assert [(value.row, value.value) for value in bad] == [(511, "bad 511"), (513, "bad 513"), (900, "bad 900")]
    assert sum(value is None for value in found) == 3


def test_a_time_that_is_none_is_told_among_times_with_and_without_a_zone() -> None:
    values = ["2024-01-31", "2024-02-30", "2024-01-31T00:00:00Z", "soon", "2024-01-31T25:00:00"]
    found, bad = both(values, "datetime")
    assert [(value.row, value.value) for value in bad] == [(1, "2024-02-30"), (3, "soon"), (4, "2024-01-31T25:00:00")]
    assert bad[0].reason == REASONS["datetime"]
    assert found == [datetime.datetime(2024, 1, 31), None, datetime.datetime(2024, 1, 31), None, None]


def test_a_dropped_column_makes_no_row_bad() -> None:
    batch = pa.RecordBatch.from_pydict({"x": ["1", "word"], "y": ["a", "b"]})
    schema = Schema((), Feature("y", "categorical"), dropped=(Feature("x", "numeric"),))
    found, bad = convert(batch, schema)
    assert bad == []
    assert found.column("x").to_pylist() == [1.0, None]


def test_a_type_that_can_never_be_of_the_kind_is_refused_with_a_way_out() -> None:
    with pytest.raises(DataError, match='"x" is of type list<.*>, which cannot be numeric') as caught:
        both([[1.0]], "numeric")
    assert 'features.drop = ["x"]' in str(caught.value)


CELLS = (
    st.none()
    | st.sampled_from(["1", "?", "", " 2.5 ", "nan", "x", "1e400", "0x10", "1,5", "inf", "a|b"])
    | st.sampled_from(["2024-01-31", "2024-01-01T10:00Z", "2024-01-01T10:00+01:00", "0000-01-01"])
    | st.text(max_size=5)
)


def arrays(cells: Any, kind: pa.DataType) -> Any:
    return st.lists(cells, min_size=1, max_size=30).map(lambda values: pa.array(values, kind))


ARRAYS = st.one_of(
    arrays(CELLS, pa.string()),
    arrays(CELLS, pa.large_string()),
    arrays(CELLS, pa.string()).map(lambda column: column.dictionary_encode()),
    arrays(st.none() | st.floats(), pa.float64()),
    arrays(st.none() | st.integers(-(2**63), 2**63 - 1), pa.int64()),
    arrays(st.none() | st.booleans(), pa.bool_()),
    arrays(st.none() | st.dates(), pa.date32()),
    arrays(st.none() | st.datetimes(), pa.timestamp("us")),
    arrays(st.none() | st.binary(max_size=3), pa.binary()),
    arrays(st.none() | st.lists(st.integers(0, 9), max_size=2), pa.list_(pa.int64())),
    arrays(st.none() | st.lists(CELLS, max_size=2), pa.list_(pa.string())),
    arrays(st.none(), pa.null()),
)


@example(pa.array([-62135596800000001]), "datetime")  # a microsecond before the year 1
@settings(deadline=None)
@given(ARRAYS, st.none() | st.sampled_from(KINDS))
def test_convert_keeps_every_row_or_names_what_does_not_fit(values: pa.Array, declared: Any) -> None:
    table = pa.table({"x": values, "z": np.zeros(len(values)), "y": ["a"] * len(values)})
    try:
        schema = infer_schema(table, Wanted("y", kinds={"x": declared} if declared else {}))
        batch, bad = convert(table.to_batches()[0], schema)
    except DataError as error:
        assert '"x"' in str(error)  # noqa: PT017 - where there is a result, it is looked at below
        return
    assert batch.num_rows == len(values)
    for column in schema.columns:
        assert batch.schema.field(column.name).type in STORED[column.kind]
    assert [value.row for value in bad] == sorted({value.row for value in bad})
    for value in bad:
        assert (value.column, value.value) == ("x", str(values[value.row].as_py()))
        assert not batch.column("x")[value.row].is_valid
    for name in schema.of_kind("numeric"):
        assert np.isfinite(batch.column(name).drop_null().to_numpy()).all()


@settings(deadline=None)
@given(arrays(CELLS, pa.string()), st.sampled_from(["numeric", "categorical", "text", "datetime", "tags"]))
def test_converting_what_was_converted_changes_nothing(values: pa.Array, kind: Any) -> None:
    schema = Schema((), Feature("x", kind))
    once, _ = convert(pa.RecordBatch.from_pydict({"x": values}), schema)
    twice, bad = convert(once, schema)
    assert bad == []
    assert twice.column("x").to_pylist() == once.column("x").to_pylist()


@settings(deadline=None)
@given(arrays(CELLS, pa.string()), st.sampled_from(["numeric", "datetime"]), st.data())
def test_a_value_is_judged_whatever_stands_beside_it(values: pa.Array, kind: Any, data: Any) -> None:
    cut = data.draw(st.integers(0, len(values)))
    whole, bad = both(values, kind)
    first, second = both(values[:cut], kind), both(values[cut:], kind)
    assert first[0] + second[0] == whole
    assert [v.row for v in first[1]] + [v.row + cut for v in second[1]] == [value.row for value in bad]
