"""A row's key depends on what stands in it, and on nothing else."""

from __future__ import annotations

import datetime
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.convert import convert
from pipeline.data.keys import row_keys
from pipeline.data.schema import Feature, Schema

VALUES: dict[str, tuple[Any, pa.DataType]] = {
    "float": (st.none() | st.floats(allow_nan=False), pa.float64()),
    "text": (st.none() | st.text(max_size=4), pa.string()),
    "time": (st.none() | st.datetimes(), pa.timestamp("us")),
    "tags": (st.none() | st.lists(st.text(max_size=2), max_size=2), pa.list_(pa.string())),
    "bytes": (st.none() | st.binary(max_size=3), pa.binary()),
    "key": (st.none() | st.integers(0, 2**64 - 1), pa.uint64()),
}


@st.composite
def batches(draw: st.DrawFn) -> pa.RecordBatch:
    rows = draw(st.integers(1, 12))
    return pa.RecordBatch.from_pydict(
        {
            name: pa.array(draw(st.lists(values, min_size=rows, max_size=rows)), kind)
            for name, (values, kind) in VALUES.items()
        }
    )


def keys(values: Any, name: str = "x") -> list[int]:
    column = values if isinstance(values, pa.Array) else pa.array(values)
    return row_keys(pa.RecordBatch.from_arrays([column], [name]), [name]).tolist()


@settings(deadline=None)
@given(batches())
def test_rows_have_equal_keys_if_and_only_if_they_are_equal(batch: pa.RecordBatch) -> None:
    def canonical(row: dict[str, Any]) -> str:
        return repr({**row, "float": row["float"] and row["float"] + 0.0, "key": row["key"] or 0})

    rows = [canonical(row) for row in batch.to_pylist()]
    found = row_keys(batch, batch.schema.names)
    # A text that is a number, such as "0" and "00", has the key of the number.
    if not any(text and text[0] in "+-.0123456789" for text in batch.column("text").to_pylist()):
        rows = [row.replace("'float': -0.0", "'float': 0.0") for row in rows]
        assert len(set(rows)) == len(set(found.tolist()))


@settings(deadline=None)
@given(batches(), st.data())
def test_neither_order_nor_storage_nor_neighbours_change_a_key(batch: pa.RecordBatch, data: Any) -> None:
    names = list(batch.schema.names)
    found = row_keys(batch, names)
    assert found.dtype == np.uint64
    assert (row_keys(batch, names[::-1]) == found).all()
    encoded = batch.set_column(1, "text", batch.column("text").dictionary_encode())
    assert (row_keys(encoded, names) == found).all()
    order = data.draw(st.permutations(range(batch.num_rows)))
    assert (row_keys(batch.take(pa.array(order)), names) == found[order]).all()
    cut = data.draw(st.integers(0, batch.num_rows))
    assert (row_keys(encoded.slice(cut), names) == found[cut:]).all()


def test_the_same_value_in_another_column_has_another_key() -> None:
    assert keys([1.0], "a") != keys([1.0], "b")
    batch = pa.RecordBatch.from_pydict({"a": [1.0, 2.0], "b": [2.0, 1.0]})
    assert len(set(row_keys(batch, ["a", "b"]).tolist())) == 2


def test_minus_zero_and_every_nan_are_one_value() -> None:
    assert keys([0.0]) == keys([-0.0])
    quiet = np.array([0x7FF8000000000000, 0x7FF8000000000001, 0xFFF8000000000000], np.uint64).view(np.float64)
    assert len(set(keys(pa.array(quiet)))) == 1


@pytest.mark.parametrize("text", ["1", "01", "1.0", "-2.50", "1e5", "+7", ".5", "0.1", "?", "", "nan"])
def test_a_number_has_one_key_as_number_and_as_category(text: str) -> None:
    """Another config may take a column for the one or for the other; the rows stay the same rows."""
    raw = pa.RecordBatch.from_pydict({"x": [text]})
    found = set()
    for kind in ("numeric", "categorical", "text"):
        stored, bad = convert(raw, Schema((), Feature("x", kind)))  # type: ignore[arg-type]
        assert not bad
        found.add(row_keys(stored, ["x"])[0])
    assert len(found) == 1


@pytest.mark.parametrize(
    "text", ["2024-01-31", "2024-01-31T10:00:00.5", "2024-01-31 10:00", "2024-01-31T10:00:00+02:00", "1950-01-01", "?"]
)
def test_a_time_has_one_key_as_time_and_as_category(text: str) -> None:
    raw = pa.RecordBatch.from_pydict({"x": [text]})
    stored = [convert(raw, Schema((), Feature("x", kind)))[0] for kind in ("datetime", "categorical")]  # type: ignore[arg-type]
    assert row_keys(stored[0], ["x"])[0] == row_keys(stored[1], ["x"])[0]


def test_words_are_no_numbers() -> None:
    assert len(set(keys(["inf", "-", "1_0", "1e999", "10", "1 0", "0x10", "nano"]))) == 8


def test_a_missing_value_is_none_that_can_be_written() -> None:
    for value in (0.0, "", datetime.datetime(1970, 1, 1), [], b""):
        with_none = keys([value, None])
        assert with_none[0] != with_none[1]


def test_keys_are_the_same_in_every_process() -> None:
    code = (
        "import pyarrow as pa; from pipeline.data.keys import row_keys\n"
        "print(row_keys(pa.record_batch({'a': ['x', None], 'b': [1.5, 2.0]}), ['a', 'b']).tolist())"
    )
    root = Path(__file__).parents[1]
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root).stdout
    batch = pa.record_batch({"a": ["x", None], "b": [1.5, 2.0]})
    assert found.strip() == str(row_keys(batch, ["a", "b"]).tolist())
