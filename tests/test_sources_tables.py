"""Parquet and Arrow files: types kept or widened, structures flattened, damage refused."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from pipeline.data.sources import Arrow, Parquet
from pipeline.data.sources.source import refuse
from tests.reading import read, refusal, rows_of, write_file, write_stream

TABLES = [
    pytest.param(Parquet, "parquet", pq.write_table, id="parquet"),
    pytest.param(Arrow, "feather", feather.write_feather, id="feather"),
    pytest.param(Arrow, "arrow", write_file, id="file"),
    pytest.param(Arrow, "ipc", write_stream, id="stream"),
]


@pytest.mark.parametrize(("source", "ending", "save"), TABLES)
def test_tables_keep_their_types_and_values_over_several_files(
    tmp_path: Path, source: Any, ending: str, save: Any
) -> None:
    table = pa.table({
        "n": pa.array([1, None, 3], pa.int16()), "t": ["x", None, "z"], "b": [True, False, None],
        "l": [["a"], [], None], "d": pa.array([0, 1, None], pa.timestamp("us")),
        "c": pa.array(["u", "v", "u"]).dictionary_encode(),
    })  # fmt: skip
    for name in "ab":
        save(table, f"{tmp_path}/{name}.{ending}")
    found = source(str(tmp_path))
    assert pa.Table.from_batches(found.batches(refuse)).equals(pa.concat_tables([table, table]).combine_chunks())
    lines = [f"{name}.{ending}:{line}" for name in "ab" for line in (1, 2, 3)]
    assert [Path(str(place)).name for place in found.places(range(6))] == lines
    assert read(source(f"{tmp_path}/*.{ending}"))[0] == rows_of(found)


@pytest.mark.parametrize(("source", "ending", "save"), TABLES)
def test_tables_whose_types_differ_are_widened(tmp_path: Path, source: Any, ending: str, save: Any) -> None:
    save(pa.table({"n": [2**60], "t": [1], "s": pa.array(["x"], pa.large_string())}), f"{tmp_path}/a.{ending}")
    save(pa.table({"t": ["one"], "n": [0.5], "s": pa.array(["y"]).dictionary_encode()}), f"{tmp_path}/b.{ending}")
    expected = [{"n": float(2**60), "t": "1", "s": "x"}, {"n": 0.5, "t": "one", "s": "y"}]
    assert read(source(str(tmp_path)))[0] == expected


@pytest.mark.parametrize(("source", "ending", "save"), TABLES)
def test_structures_become_dotted_columns(tmp_path: Path, source: Any, ending: str, save: Any) -> None:
    rows = [{"a": {"b": {"c": 1}, "d": "x"}}, {"a": None}]
    save(pa.Table.from_pylist(rows), f"{tmp_path}/a.{ending}")
    assert rows_of(source(str(tmp_path))) == [{"a.b.c": 1, "a.d": "x"}, {"a.b.c": None, "a.d": None}]


@pytest.mark.parametrize(("source", "ending", "save"), TABLES)
def test_tables_that_differ_in_a_column_are_refused(tmp_path: Path, source: Any, ending: str, save: Any) -> None:
    save(pa.table({"a": [1], "label": [2]}), f"{tmp_path}/1.{ending}")
    save(pa.table({"a": [1], "lable": [2]}), f"{tmp_path}/2.{ending}")
    text = refusal(source(str(tmp_path)))
    assert f'2.{ending} has no column "label", which' in text
    assert 'Did you mean "lable"?' in text
    save(pa.table({"a": [1], "label": [2], "more": [3]}), f"{tmp_path}/2.{ending}")
    assert f'2.{ending} has a column "more", which' in refusal(source(str(tmp_path)))
    save(pa.table({"a": [[1]], "label": [2]}), f"{tmp_path}/2.{ending}")
    assert 'The column "a" is of type int64 in' in refusal(source(str(tmp_path)))


@pytest.mark.parametrize(("source", "ending", "save"), TABLES)
def test_damaged_tables_are_refused(tmp_path: Path, source: Any, ending: str, save: Any) -> None:
    path = tmp_path / f"rows.{ending}"
    save(pa.table({"a": [f"text {number}" for number in range(1000)]}), str(path))
    whole = path.read_bytes()
    middle = len(whole) // 2
    inside = whole[: middle - 400] + b"\xff" * 400 + whole[middle:]
    for content in (whole[:middle], whole[:20], b"a,b\n1,2\n" * 9, inside):
        path.write_bytes(content)
        assert f"rows.{ending} cannot be read as" in refusal(source(str(path)))
    save(pa.table({"a": pa.array([], pa.int8())}), str(path))
    assert f"rows.{ending} has no rows" in refusal(source(str(path)))


def test_arrow_refuses_offsets_that_point_outside_and_feather_1(tmp_path: Path) -> None:
    path = tmp_path / "rows.arrow"
    write_file(pa.table({"a": ["one", "two"]}), str(path))
    content = path.read_bytes()
    offsets = struct.pack("<3i", 0, 3, 6)
    assert content.count(offsets) == 1
    path.write_bytes(content.replace(offsets, struct.pack("<3i", 0, 3, 2**30)))
    assert "cannot be read as Arrow" in refusal(Arrow(str(path)))
    path.write_bytes(b"FEA1" + content)
    assert "Feather file of version 1" in refusal(Arrow(str(path)))


def test_large_arrow_batches_are_cut(tmp_path: Path) -> None:
    with pa.ipc.new_file(f"{tmp_path}/a.arrow", pa.schema({"a": pa.int64()})) as writer:
        writer.write_batch(pa.record_batch({"a": np.arange(200_000)}))
    batches = list(Arrow(f"{tmp_path}/a.arrow").batches(refuse))
    assert max(batch.num_rows for batch in batches) == 65_536
    assert np.array_equal(np.concatenate([batch["a"].to_numpy() for batch in batches]), np.arange(200_000))
