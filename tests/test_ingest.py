"""Bad rows are set aside, told exactly and always alike; beyond a budget the run stops; nothing else is lost."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.data import sample
from pipeline.data.convert import REASONS
from pipeline.data.infer import Wanted
from pipeline.data.ingest import Ingested, ingest
from pipeline.data.quarantine import Budget
from pipeline.data.rows import ROW_KEY, stored_batches, stored_column
from pipeline.data.schema_file import Column
from pipeline.data.sources import ArrowTable, Csv, ImageFolder, JsonLines, csv_block
from pipeline.errors import DataError

NO_NUMBER, NO_TIME, NO_UTF8 = "not a number", REASONS["datetime"], "the row is not UTF-8"


def table(rows: int = 100, label: str = "ab") -> list[str]:
    """Lines "x,when,y" of a good table, without the header."""
    return [f"{row},2024-01-{row % 28 + 1:02},{label[row % len(label)]}" for row in range(rows)]


def write(path: Path, lines: list[str] | list[bytes], header: str = "x,when,y") -> Csv:
    encoded = [line if isinstance(line, bytes) else line.encode() for line in [header, *lines]]
    content = b"\n".join(encoded) + b"\n"
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return Csv(str(path))


def read(source: Any, out: Path, **arguments: Any) -> Ingested:
    out.mkdir(exist_ok=True)
    return ingest(source, out, arguments.pop("wanted", Wanted("y")), **arguments)


def quarantined(out: Path, name: str = "quarantine.parquet") -> list[tuple[Any, ...]]:
    found = pq.read_table(out / name)
    assert found.column_names == ["file", "line", "column", "value", "reason"]
    return [tuple(row.values()) for row in found.to_pylist()]


def stored(out: Path, name: str) -> list[Any]:
    return stored_column(out / "rows.arrow", name).to_pylist()


def test_a_good_table_is_stored_whole(tmp_path: Path) -> None:
    found = read(write(tmp_path / "rows.csv", table()), tmp_path / "out")
    assert (found.num_rows, found.num_unlabelled, found.quarantine) == (100, 0, {"rows": 0, "reasons": {}})
    assert quarantined(tmp_path / "out") == []
    assert stored(tmp_path / "out", "x") == list(range(100))
    assert stored(tmp_path / "out", "y") == list("ab" * 50)
    assert found.schema.kinds == {"x": "numeric", "when": "datetime", "y": "categorical"}


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz"])
@pytest.mark.parametrize("block_bytes", [64, 1 << 20])
def test_every_bad_value_stands_in_the_quarantine_with_its_place(
    tmp_path: Path, name: str, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_block, "BLOCK_BYTES", block_bytes)
    lines: list[Any] = table()
    lines[3] = "old,2024-01-01,a"
    lines[50] = "51,soon,b"
    lines[51] = " n/a ,2024-02-30,a"
    lines[70] = "1,2"
    lines[71] = b"71,2024-01-01,\xff"
    file = str(tmp_path / name)
    source = write(tmp_path / name, lines)
    expected = [
        (file, 5, "x", "old", NO_NUMBER),
        (file, 52, "when", "soon", NO_TIME),
        (file, 53, "when", "2024-02-30", NO_TIME),
        (file, 53, "x", " n/a ", NO_NUMBER),
        (file, 72, None, "1,2", "2 values where there are 3 columns"),
        (file, 73, None, "71,2024-01-01,\ufffd", NO_UTF8),
    ]
    for out in (tmp_path / "first", tmp_path / "again"):
        found = read(source, out)
        assert quarantined(out) == expected
        assert found.quarantine["rows"] == 5
        reasons = {NO_NUMBER: 2, NO_TIME: 2, "a wrong number of values": 1, NO_UTF8: 1}
        assert found.quarantine["reasons"] == reasons
        kept = [row for row in range(100) if row not in (3, 50, 51, 70, 71)]
        assert stored(out, "x") == kept
        assert found.num_rows == len(kept)
    assert (tmp_path / "first" / "rows.arrow").read_bytes() == (tmp_path / "again" / "rows.arrow").read_bytes()


def test_several_files_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, row in (("b.csv", 7), ("a.csv", 99), ("c.csv", 0)):
        lines = table()
        lines[row] = "old" + lines[row].partition(",")[1] + lines[row].partition(",")[2]
        write(tmp_path / "in" / name, lines)
    found = read(Csv(str(tmp_path / "in")), tmp_path / "out")
    assert [(Path(file).name, line) for file, line, *_ in quarantined(tmp_path / "out")] == [
        ("a.csv", 101), ("b.csv", 9), ("c.csv", 2),
    ]  # fmt: skip
    assert found.num_rows == 297


def test_bad_values_of_json_lines_are_placed_too(tmp_path: Path) -> None:
    lines = [json.dumps({"x": row, "y": "ab"[row % 2]}) for row in range(60)]
    lines[9], lines[30] = '{"x": 1, "y": ', '{"x": "old", "y": "a"}'
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    source = JsonLines(str(tmp_path / "rows.jsonl"))
    read(source, tmp_path / "out", wanted=Wanted("y", kinds={"x": "numeric"}))
    assert [(line, column) for _, line, column, *_ in quarantined(tmp_path / "out")] == [(10, None), (31, "x")]


def test_corrupt_images_are_set_aside_with_their_files(tmp_path: Path) -> None:
    images = tmp_path / "this is a folder"
    for row in range(80):
        path = images / "ab"[row % 2] / f"{row:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), row, np.uint8)).save(path)
    (images / "a" / "02.png").write_bytes(b"")
    (images / "b" / "05.png").write_bytes((images / "b" / "05.png").read_bytes()[:50])
    source = ImageFolder(str(images))
    (images / "b" / "07.png").write_bytes(b"a page of text")
    found = read(source, tmp_path / "out", wanted=Wanted("label", kinds=source.kinds))
    assert found.num_rows == 77
    (empty, cut, other) = quarantined(tmp_path / "out")
    first, second = str(images / "a" / "02.png"), str(images / "b" / "05.png")
    assert empty == (first, None, "image", first, "no readable image: it is empty")
    assert cut[:4] == (second, None, "image", second)
    assert cut[4].startswith("no readable image: ")
    assert other[4] == "no readable image: it begins as no known format does"
    assert all(stored(tmp_path / "out", "image.key"))


def test_a_column_of_paths_mixes_with_others_and_names_what_is_not_there(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.png")
    lines = [f"{row},a.png,{'uv'[row % 2]}" for row in range(50)]
    lines[5], lines[6] = "5,gone.png,v", "six,gone.png,u"
    read(write(tmp_path / "rows.csv", lines, "x,photo,y"), tmp_path / "out")
    gone = (str(tmp_path / "gone.png"), "no readable image: there is no such file")
    file = str(tmp_path / "rows.csv")
    assert quarantined(tmp_path / "out") == [
        (file, 7, "photo", *gone), (file, 8, "photo", *gone), (file, 8, "x", "six", NO_NUMBER),
    ]  # fmt: skip


def bad_table(bad: int, rows: int = 100, label: str = "ab") -> list[str]:
    lines = table(rows, label)
    for row in range(bad):
        lines[row * 2] = "old" + lines[row * 2][1:]
    return lines


@pytest.mark.parametrize(
    ("bad", "budget", "reason"),
    [
        (5, Budget(), None),
        (6, Budget(), "6 of 100 rows (6.0%), more than 5.0% (quarantine.max_fraction)"),
        (3, Budget(max_rows=3), None),
        (4, Budget(max_rows=3), "4 rows, more than 3 (quarantine.max_rows)"),
        (1, Budget(max_rows=0), "1 rows, more than 0"),
        (10, Budget(max_fraction=1.0), None),
        (11, Budget(max_fraction=1.0), '11 of 50 rows of class "a", more than 20.0% (quarantine.max_class_fraction)'),
        (49, Budget(max_fraction=1.0, max_class_fraction=1.0), None),
        (50, Budget(max_fraction=1.0, max_class_fraction=1.0), 'every row of class "a" (50)'),
    ],
)
def test_budgets_stop_the_run_with_the_first_places(
    tmp_path: Path, bad: int, budget: Budget, reason: str | None
) -> None:
    source, refused = write(tmp_path / "rows.csv", bad_table(bad)), tmp_path / "refused.parquet"
    wanted = Wanted("y", kinds={"x": "numeric"})
    if reason is None:
        assert read(source, tmp_path / "out", wanted=wanted, budget=budget, refused=refused).num_rows == 100 - bad
        assert not refused.exists()
        return
    with pytest.raises(DataError) as caught:
        read(source, tmp_path / "out", wanted=wanted, budget=budget, refused=refused)
    text = str(caught.value)
    assert f"Bad rows: {reason}" in text
    assert f'{source.path}:2, column "x": "old" is not a number' in text
    assert text.count("is not a number") == min(bad, 5)
    assert (f"and {bad - 5} more" in text) == (bad > 5)
    assert len(quarantined(tmp_path, "refused.parquet")) == bad


def test_when_all_rows_are_bad_it_is_said(tmp_path: Path) -> None:
    source = write(tmp_path / "rows.csv", [f"old,2024-01-01,{'ab'[row % 2]}" for row in range(20)])
    with pytest.raises(DataError, match="all 20 rows"):
        read(source, tmp_path / "out", wanted=Wanted("y", kinds={"x": "numeric"}), budget=Budget(max_fraction=1.0))


def test_a_rare_class_that_vanishes_stops_the_run(tmp_path: Path) -> None:
    lines = table(100)
    lines[50] = "old,2024-01-01,rare"
    with pytest.raises(DataError, match=r'every row of class "rare" \(1\)'):
        read(write(tmp_path / "rows.csv", lines), tmp_path / "out")
    lines[51] = "51,2024-01-01,rare"  # one is left
    assert read(write(tmp_path / "rows.csv", lines), tmp_path / "again").num_rows == 99


def test_numbers_that_are_classes_vanish_as_these(tmp_path: Path) -> None:
    lines = table(100, "01")
    lines[50] = "old,2024-01-01,7"
    with pytest.raises(DataError, match='every row of class "7"'):
        read(write(tmp_path / "rows.csv", lines), tmp_path / "out")


@pytest.mark.parametrize("label", ["{row}", "{row}.5", "{half}.25"])
def test_a_quantity_has_no_classes_that_could_vanish(tmp_path: Path, label: str) -> None:
    lines = [f"{row},2024-01-01,{label.format(row=row, half=row // 2)}" for row in range(100)]
    lines[50] = "old,2024-01-01,977.5"
    found = read(write(tmp_path / "rows.csv", lines), tmp_path / "out")
    assert (found.num_rows, found.schema.label.kind) == (99, "numeric")


def test_a_bad_label_is_set_aside_and_an_absent_one_is_kept(tmp_path: Path) -> None:
    lines = [f"{row},2024-01-01,{row}.5" for row in range(100)]
    lines[10], lines[20] = "10,2024-01-01,much", "20,2024-01-01,?"
    found = read(write(tmp_path / "rows.csv", lines), tmp_path / "out")
    assert (found.num_rows, found.num_unlabelled) == (99, 1)
    assert [row[1:4] for row in quarantined(tmp_path / "out")] == [(12, "y", "much")]


def test_a_dropped_column_may_hold_anything(tmp_path: Path) -> None:
    lines = [f"{'old' if row > 50 else row},2024-01-01,{'ab'[row % 2]}" for row in range(60)]
    columns = {"x": Column(kind="numeric", max=3.0), "y": Column(kind="categorical"), "when": Column(kind="datetime")}
    found = read(
        write(tmp_path / "rows.csv", lines), tmp_path / "out", wanted=Wanted("y", drop=["x"]), columns=columns,
        actions={"out_of_range": "stop"},
    )  # fmt: skip
    assert (found.num_rows, found.quarantine["rows"], found.anomalies) == (60, 0, ())
    assert [field.name for field in next(stored_batches(tmp_path / "out" / "rows.arrow")).schema] == [
        "when",
        "y",
        ROW_KEY,
    ]


def test_what_breaks_the_schema_can_be_set_aside_like_a_bad_value(tmp_path: Path) -> None:
    lines = table()
    lines[7], lines[8], lines[9] = "1000,2024-01-01,b", "2.5,2024-01-01,poison", "old,2024-01-01,b"
    columns = {"x": Column(kind="numeric", whole=True, max=99.0), "y": Column(kind="categorical", values=("a", "b"))}
    actions = {"out_of_range": "quarantine", "not_whole": "quarantine", "new_category": "quarantine"}
    found = read(write(tmp_path / "rows.csv", lines), tmp_path / "out", columns=columns, actions=actions)
    assert [row[1:] for row in quarantined(tmp_path / "out")] == [
        (9, "x", "1000", "out of range"),
        (10, "x", "2.5", "not whole"),
        (10, "y", "poison", "new category"),
        (11, "x", "old", NO_NUMBER),
    ]
    assert found.num_rows == 97
    assert [(anomaly.kind, anomaly.count, anomaly.examples) for anomaly in found.anomalies] == [
        ("not_whole", 1, ("2.5",)), ("out_of_range", 1, ("1000",)), ("new_category", 1, ("poison",)),
    ]  # fmt: skip


def test_a_row_with_a_bad_value_is_no_anomaly_besides(tmp_path: Path) -> None:
    """Init leaves such rows out of the schema; so its own data must not break it."""
    lines = table()
    lines[7] = "old,2030-01-01,b"
    columns = {"x": Column(kind="numeric", max_missing=0.0), "when": Column(kind="datetime", max="2024-12-31")}
    assert read(write(tmp_path / "rows.csv", lines), tmp_path / "out", columns=columns).anomalies == ()


def test_an_anomaly_that_stops_the_run_leaves_the_bad_rows_listed(tmp_path: Path) -> None:
    source, refused = write(tmp_path / "rows.csv", bad_table(2)), tmp_path / "refused.parquet"
    with pytest.raises(DataError, match="out of range 49 times") as caught:
        read(
            source, tmp_path / "out", columns={"x": Column(kind="numeric", max=50.0)},
            actions={"out_of_range": "stop"}, refused=refused,
        )  # fmt: skip
    assert 'checks.out_of_range = "warn"' in str(caught.value)
    assert len(quarantined(tmp_path, "refused.parquet")) == 2


def test_kinds_come_from_a_sample_and_what_comes_later_is_checked_by_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_block, "BLOCK_BYTES", 100)
    monkeypatch.setattr(csv_block, "SMALL_BLOCK_BYTES", 100)
    monkeypatch.setattr(sample, "SAMPLE_ROWS", 10)
    lines = table()
    lines[90] = "old,2024-01-01,c"
    lines[91] = "91,2024-01-01,c"
    read(write(tmp_path / "rows.csv", lines), tmp_path / "out")
    assert [row[1:4] for row in quarantined(tmp_path / "out")] == [(92, "x", "old")]
    assert stored(tmp_path / "out", "y")[90] == "c"


@pytest.mark.parametrize("order", [("train", "test"), ("test", "train")])
def test_a_published_split_is_recognized_in_a_file_that_is_sorted_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: tuple[str, str]
) -> None:
    monkeypatch.setattr(csv_block, "SMALL_BLOCK_BYTES", 100)
    monkeypatch.setattr(sample, "SAMPLE_ROWS", 20)
    # In train x is a number; as test has words, they are bad values, and no sign of a category.
    values = {"train": [str(row) for row in range(90)], "test": ["word"] * 3}
    lines = [f"{value},{'ab'[row % 2]},{side}" for side in order for row, value in enumerate(values[side])]
    found = read(write(tmp_path / "rows.csv", lines, "x,y,split"), tmp_path / "out")
    assert found.schema.split == "split"
    assert found.schema.kinds["x"] == "numeric"
    assert len(quarantined(tmp_path / "out")) == 3


def test_a_category_that_is_missing_in_a_whole_batch_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_block, "BLOCK_BYTES", 60)
    lines = [f"{'?' if 30 < row < 60 else 'uv'[row % 2]},{'ab'[row % 2]}" for row in range(100)]
    read(write(tmp_path / "rows.csv", lines, "c,y"), tmp_path / "out")
    found = stored(tmp_path / "out", "c")
    assert found == [None if 30 < row < 60 else "uv"[row % 2] for row in range(100)]


CELLS = st.sampled_from(["1", "2.5", "old", "", "?", "-", "1e400"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS, st.sampled_from("ab")), min_size=1, max_size=40), st.integers(1, 40))
def test_stored_and_quarantined_rows_are_all_rows(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]], batch_rows: int
) -> None:
    out = tmp_path_factory.mktemp("any")
    columns = [pa.array(column) for column in zip(*rows, strict=True)]
    batches = pa.Table.from_arrays(columns, ["u", "v", "y"]).to_batches(max_chunksize=batch_rows)
    wanted = Wanted("y", kinds={"u": "numeric", "v": "numeric"})
    bad = [row for row, (u, v, _) in enumerate(rows) if {u, v} & {"old", "-"}]
    source = ArrowTable(pa.Table.from_batches(batches))
    if len(bad) == len(rows):
        with pytest.raises(DataError):
            read(source, out, wanted=wanted, budget=Budget(None, 1.0, 1.0))
    else:
        kept = [row for row in range(len(rows)) if row not in bad]
        lost = {rows[row][2] for row in bad} - {rows[row][2] for row in kept}
        try:
            found = read(source, out, wanted=wanted, budget=Budget(None, 1.0, 1.0))
        except DataError as error:
            assert lost, error  # noqa: PT017
        else:
            assert not lost
            assert found.num_rows == len(kept)
            assert stored(out, "y") == [rows[row][2] for row in kept]
            assert found.quarantine["rows"] == len(bad)
    assert sorted({row[1] for row in quarantined(out)}) == [row + 1 for row in bad]
