"""However a CSV file is cut into blocks, it is read as Python's csv module reads it, and every row's line is known."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.sources import Csv, csv_block
from pipeline.data.sources.csv_block import Dialect, Row, rows_of_block
from pipeline.data.sources.source import Place, Reject, refuse, typed_batches
from pipeline.errors import DataError

DIALECT = Dialect(",", True, ("a", "b"))
CELLS = st.lists(st.sampled_from([*'ab1,;\t"\n ?é🎉', "\r\n"]), max_size=6).map("".join)
ODD_TEXTS = st.lists(st.sampled_from([*'a1,"\n é', "\r\n", "\r"]), min_size=1, max_size=40).map("".join)
SIZES = st.sampled_from([1, 2, 3, 7, 50, 1 << 20])


@contextmanager
def written(content: bytes, block_bytes: int, name: str = "rows.csv", **arguments: Any) -> Iterator[Csv]:
    """The file, read in blocks of so many bytes."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_block, "BLOCK_BYTES", block_bytes)
        patch.setattr(csv_block, "SMALL_BLOCK_BYTES", block_bytes)
        path = Path(folder, name)
        path.write_bytes(content)
        yield Csv(str(path), **arguments)


def rows_of(source: Csv, on_reject: Any = refuse, kinds: Any = None) -> list[list[Any]]:
    """All rows, each as the list of its values."""
    batches = typed_batches(source, on_reject, kinds) if kinds else source.batches(on_reject)
    return [list(row.values()) for batch in batches for row in batch.to_pylist()]


def ends_of(rows: list[str]) -> list[int]:
    """The line on which each ends, where they begin on line 2."""
    return [2 + sum(len(io.StringIO(row, newline="").readlines()) for row in rows[: place + 1]) - 1
            for place in range(len(rows))]  # fmt: skip


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[list[str]], list[str], str]:
    """Rows of texts, the text of each with its line break, and the delimiter."""
    width, delimiter = draw(st.integers(1, 3)), draw(st.sampled_from([",", ";", "\t"]))
    line_break = draw(st.sampled_from(["\n", "\r\n"]))
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    rows = draw(st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1, max_size=12))
    texts = []
    for row in rows:
        out = io.StringIO(newline="")
        csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator="\r\n").writerow(row)
        texts.append(out.getvalue().removesuffix("\r\n") + line_break)
    return rows, texts, delimiter


@settings(deadline=None)
@given(tables(), SIZES, st.data())
def test_any_table_is_read_back_and_every_row_found(
    table: tuple[list[list[str]], list[str], str], block_bytes: int, data: st.DataObject
) -> None:
    rows, texts, delimiter = table
    blanks = data.draw(st.lists(st.sampled_from(["", "\n", "\r\n\n"]), min_size=len(rows), max_size=len(rows)))
    texts = [blank + text for blank, text in zip(blanks, texts, strict=True)]
    if data.draw(st.booleans()):
        texts[-1] = texts[-1].removesuffix("\n").removesuffix("\r")
    header = delimiter.join(f"column {place}" for place in range(len(rows[0]))) + "\n"
    mark = data.draw(st.sampled_from(["", "\ufeff"]))
    content = (mark + header + "".join(texts)).encode()
    wanted = sorted(data.draw(st.sets(st.integers(0, len(rows) - 1))))
    with written(content, block_bytes, delimiter=delimiter) as source:
        assert rows_of(source) == rows
        places = source.places(wanted)
        lines = ends_of(texts)
        assert places == [Place(source.path, lines[row]) for row in wanted]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(allow_nan=False, allow_infinity=False), CELLS), min_size=1, max_size=12),
    SIZES,
    st.data(),
)
def test_typed_columns_hold_the_same_values(
    rows: list[tuple[float, str]], block_bytes: int, data: st.DataObject
) -> None:
    words = data.draw(st.sets(st.integers(0, len(rows) - 1)))
    numbers = ["word" if place in words else repr(number) for place, (number, _) in enumerate(rows)]
    out = io.StringIO(newline="")
    csv.writer(out).writerows([["x", "c"], *zip(numbers, (text for _, text in rows), strict=True)])
    with written(out.getvalue().encode(), block_bytes) as source:
        found = rows_of(source, kinds={"x": "numeric", "c": "categorical"})
    assert [text for _, text in found] == [text for _, text in rows]
    for place, (value, _) in enumerate(found):
        assert str(value) == "word" if place in words else float(value) == rows[place][0]


@settings(deadline=None)
@given(ODD_TEXTS, SIZES)
def test_rows_rejects_and_places_agree_whatever_the_bytes_are(text: str, block_bytes: int) -> None:
    rejects: list[Reject] = []
    expected = list(rows_of_block(text.encode(), DIALECT, 2))
    with written(b"a,b\n" + text.encode(), block_bytes) as source:
        try:
            rows = rows_of(source, rejects.append)
        except DataError:
            rows = []
        good = [row for row in expected if row.problem is None]
        assert rows == [[value.encode("latin-1").decode() for value in row.values] for row in good]
        assert source.places(range(len(rows))) == [Place(source.path, row.line) for row in good]
        assert [reject.place.line for reject in rejects] == [row.line for row in expected if row.problem]


@settings(deadline=None)
@given(st.binary(max_size=60), SIZES, st.booleans())
def test_any_bytes_are_rows_rejects_or_an_error(content: bytes, block_bytes: int, quoting: bool) -> None:
    rejects: list[Reject] = []
    with written(b"a,b\n1,2\n" + content, block_bytes, quoting=quoting) as source:
        rows = rows_of(source, rejects.append)
        assert len(source.places(range(len(rows)))) == len(rows) >= 1
        assert all(reject.reason and reject.place.line for reject in rejects)


@pytest.mark.parametrize("block_bytes", [1, 7, 1 << 20])
def test_a_quotation_mark_that_is_never_closed_costs_one_line(block_bytes: int) -> None:
    good = "".join(f"{row},x\n" for row in range(100))
    rejects: list[Reject] = []
    with written(f'a,b\n0,"yes"\n1,"open\n{good}'.encode(), block_bytes) as source:
        rows = rows_of(source, rejects.append)
        assert [row[0] for row in rows] == ["0", *map(str, range(100))]
        assert source.places([1])[0].line == 4
    (reject,) = rejects
    assert (reject.place.line, reject.value, reject.reason) == (3, '1,"open', "a quotation mark is never closed")


def test_an_open_quotation_mark_lets_a_block_grow_only_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_block, "_LARGEST_BLOCK", 100)
    rejects: list[Reject] = []
    with written(b'a,b\n1,"open\n' + b"22,xx\n" * 200, 10) as source:
        assert len(rows_of(source, rejects.append)) == 200
    assert [reject.place.line for reject in rejects] == [2]


def test_inches_and_other_single_marks_are_kept() -> None:
    with written(b'a,b\n5" pipe,x\n7" pipe,y\n"q" z,w\n', 1 << 20) as source:
        assert rows_of(source) == [['5" pipe', "x"], ['7" pipe', "y"], ["q z", "w"]]
    with written(b'a,b\n"5,x\n"7,y\n', 1 << 20, quoting=False) as source:
        assert rows_of(source) == [['"5', "x"], ['"7', "y"]]


@pytest.mark.parametrize("separator", ["\n", "\r\n", "\r"])
def test_lines_are_counted_from_the_first_of_a_header_of_several(separator: str) -> None:
    text = separator.join(["", '"a', 'b"', "1", "2", ""])
    with written(text.encode(), 3) as source:
        assert rows_of(source) == [["1"], ["2"]]
        assert [place.line for place in source.places([0, 1])] == [4, 5]


def test_a_value_beyond_the_limit_of_pythons_csv_module_is_a_value() -> None:
    long = "x" * 200_000
    with written(f'a,b\n1,"{long}"\n2\n3,{long}\n'.encode(), 1 << 20) as source:
        rejects: list[Reject] = []
        assert rows_of(source, rejects.append) == [["1", long], ["3", long]]
        assert source.places([0, 1]) == [Place(source.path, 2), Place(source.path, 4)]
    assert [reject.place.line for reject in rejects] == [3]


def test_a_row_that_is_no_utf8_is_told_and_the_others_of_its_block_are_kept() -> None:
    rows = list(rows_of_block(b"1,2\n\xff,3\n4\n", DIALECT, 5))
    assert rows == [Row(5, ["1", "2"]), Row(6, ["ÿ", "3"], "encoding"), Row(7, ["4"], "width")]


def test_several_files_side_by_side_keep_the_order_of_rows_rejects_and_places(tmp_path: Path) -> None:
    for number in range(9):
        body = "".join(f"{number},{row}\n" for row in range(5)) + "broken\n"
        (tmp_path / f"{number}.csv").write_text("a,b\n" + body * 2)
    source, rejects = Csv(str(tmp_path / "*.csv")), list[Reject]()
    rows = rows_of(source, rejects.append)
    assert rows == [[str(number), str(row)] for number in range(9) for _ in range(2) for row in range(5)]
    paths = [str(tmp_path / f"{number}.csv") for number in range(9)]
    assert [reject.place for reject in rejects] == [Place(path, line) for path in paths for line in (7, 13)]
    assert source.places([0, 14, 89]) == [Place(paths[0], 2), Place(paths[1], 6), Place(paths[8], 12)]
    with pytest.raises(IndexError, match="90 rows"):
        source.places([90])
