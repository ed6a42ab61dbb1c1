"""Sources of files, one or many: types, order, sides, places; what is no row is rejected, what is no file refused."""

from __future__ import annotations

import gzip
import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.data.sources import Arrow, Idx, ImageFolder, JsonLines, Npz, Parquet, TextFolder
from pipeline.data.sources.array_columns import columns_of
from pipeline.data.sources.files import expand, places_in, side_by_side
from pipeline.data.sources.json_block import parse_block
from pipeline.data.sources.json_types import columns_of_objects
from pipeline.data.sources.png import encode_png
from pipeline.data.sources.source import Place, Reject, refuse
from pipeline.errors import ConfigError, DataError
from pipeline.hashing import FileHashes


def rows_of(source: Any, on_reject: Any = refuse) -> list[dict[str, Any]]:
    return [row for batch in source.batches(on_reject) for row in batch.to_pylist()]


def read(source: Any) -> tuple[list[dict[str, Any]], list[Reject]]:
    """Rows and rejects; every source gives one schema, and places for its rows."""
    rejects: list[Reject] = []
    batches = list(source.batches(rejects.append))
    assert all(batch.schema == batches[0].schema for batch in batches)
    rows = [row for batch in batches for row in batch.to_pylist()]
    assert len(source.places(range(len(rows)))) == len(rows)
    assert source.places([len(rows) - 1]) == source.places(range(len(rows)))[-1:]
    return rows, rejects


def refusal(source: Any, on_reject: Any = refuse) -> str:
    with pytest.raises(DataError) as caught:
        list(source.batches(on_reject))
    return str(caught.value)


def pixels(encoded: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(encoded)))


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# which files


def test_a_path_is_a_file_a_pattern_or_a_folder(tmp_path: Path) -> None:
    for name in ("b.parquet", "a.PARQUET", "c.pq", ".hidden.parquet", "notes.txt", "deep/d.parquet", "folder.pq/e.pq"):
        write(tmp_path / name, "x")

    def found(path: Path) -> list[str]:
        return [str(file.relative_to(tmp_path)) for file in expand(str(path), (".parquet", ".pq"), "Parquet")]

    assert found(tmp_path) == ["a.PARQUET", "b.parquet", "c.pq"]
    assert found(tmp_path / "*.parquet") == ["b.parquet"]
    assert found(tmp_path / "**" / "*.parquet") == ["b.parquet", "deep/d.parquet"]
    assert found(tmp_path / "notes.txt") == ["notes.txt"]
    write(tmp_path / "a[1].parquet", "x")
    assert found(tmp_path / "a[1].parquet") == ["a[1].parquet"]


def test_a_path_that_means_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\*\.pq matches no file"):
        expand(str(tmp_path / "*.pq"), (".pq",), "Parquet")
    with pytest.raises(DataError, match="holds no Parquet file"):
        expand(str(tmp_path), (".pq",), "Parquet")
    write(tmp_path / "a.pq", "")
    with pytest.raises(DataError, match="a.pq is empty"):
        expand(str(tmp_path), (".pq",), "Parquet")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 3), max_size=4), min_size=1, max_size=9))
def test_side_by_side_keeps_the_order_of_batches_and_rejects(contents: list[list[int]]) -> None:
    files = [Path(str(number)) for number in range(len(contents))]
    rejects: list[Reject] = []

    def content(file: Path, on_reject: Any) -> Any:
        for number, size in enumerate(contents[int(file.name)]):
            on_reject(Reject(Place(file.name, number), "", ""))
            yield pa.record_batch({"a": [size]})

    found = [(place, batch["a"][0].as_py()) for place, batch in side_by_side(files, content, rejects.append)]
    assert found == [(place, size) for place, sizes in enumerate(contents) for size in sizes]
    expected = [Place(str(place), number) for place, sizes in enumerate(contents) for number in range(len(sizes))]
    assert [reject.place for reject in rejects] == expected


def test_side_by_side_raises_an_error_where_the_batch_would_have_come() -> None:
    def content(file: Path, on_reject: Any) -> Any:
        yield pa.record_batch({"a": [1]})
        if file.name == "1":
            raise DataError("1 is damaged.")

    seen = []
    with pytest.raises(DataError, match="1 is damaged"):
        for place, _ in side_by_side([Path("0"), Path("1"), Path("2")], content, refuse):
            seen.append(place)
    assert seen == [0, 1]


@given(st.lists(st.integers(0, 5), min_size=1), st.data())
def test_places_are_counted_file_by_file(sizes: list[int], data: st.DataObject) -> None:
    every = [Place(str(file), line + 1) for file, size in enumerate(sizes) for line in range(size)]
    rows = sorted(data.draw(st.sets(st.integers(0, max(len(every) - 1, 0)), max_size=len(every))))
    files = [(str(file), size) for file, size in enumerate(sizes)]
    assert places_in(files, rows) == [every[row] for row in rows]


# Parquet and Arrow


def write_stream(table: pa.Table, path: str) -> None:
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table)


def write_file(table: pa.Table, path: str) -> None:
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


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


# JSON lines


def json_lines(tmp_path: Path, content: str | bytes, name: str = "rows.jsonl") -> JsonLines:
    content = content if isinstance(content, bytes) else content.encode()
    write(tmp_path / name, gzip.compress(content) if name.endswith(".gz") else content)
    return JsonLines(str(tmp_path / name))


def test_json_values_get_the_type_of_their_column(tmp_path: Path) -> None:
    source = json_lines(
        tmp_path,
        '{"i": 1, "f": 1, "b": true, "s": "x", "l": ["u", "v"], "m": 1, "o": {"p": 1, "q": {"r": [1]}}, "n": null}\n'
        '{"i": 2, "f": 0.5, "l": [], "m": "two", "o": null}\n'
        '{"new": [1, 2.5, true, null]}\n',
    )
    (batch,) = source.batches(refuse)
    assert {name: str(kind) for name, kind in zip(batch.schema.names, batch.schema.types, strict=True)} == {
        "i": "double", "f": "double", "b": "bool", "s": "string", "l": "list<item: string>", "m": "string",
        "o.p": "double", "o.q": "string", "n": "string", "new": "list<item: string>",
    }  # fmt: skip
    rows = [{name: value for name, value in row.items() if value is not None} for row in batch.to_pylist()]
    assert rows == [
        {"i": 1, "f": 1.0, "b": True, "s": "x", "l": ["u", "v"], "m": "1", "o.p": 1, "o.q": '{"r": [1]}'},
        {"i": 2, "f": 0.5, "l": [], "m": "two"},
        {"new": ["1", "2.5", "true"]},
    ]


def test_json_with_an_object_in_one_row_and_a_number_in_another_becomes_text(tmp_path: Path) -> None:
    source = json_lines(tmp_path, '{"a": {"b": 1}}\n{"a": 2}\n{"a": null}\n')
    assert rows_of(source) == [{"a": '{"b": 1}'}, {"a": "2"}, {"a": None}]


BAD_LINES = {
    '{"a": 1': "no JSON",
    "{'a': 1}": "no JSON",
    "[1, 2]": "a list where an object should be",
    "null": "null where an object should be",
    '"text"': '"text" where an object should be',
    '{"a": 1} {"a": 2}': "no JSON: extra data",
    '{"a": 1} null': "no JSON: extra data",
    '{"a": 1, "a": 2}': 'the key "a" stands there twice',
    '{"a": "one"}': 'column "a": "one" where the first lines have whole numbers',
    '{"a": 2.5}': 'column "a": 2.5 where',
    '{"a": true}': 'column "a": true where',
    '{"a": [1]}': 'column "a": a list where',
    '{"a": Infinity}': 'column "a": Infinity where',
    '{"a": 99999999999999999999}': 'column "a": 99999999999999999999 where',
    '{"s": "\\ud800"}': "half of a surrogate pair",
    '{"s": "caf\udce9"}': "byte 11, 0xe9, is not UTF-8",
    '{"new": 1}': 'the key "new" is in none of the first lines',
    '{"b": 1}': 'column "b": 1 where the first lines have true and false',
    '{"l": [[1]]}': 'column "l": a list where the first lines have lists of numbers or text',
    '{"a": ' + "[" * 100_000: "objects within objects",
    "": "",
}


@pytest.mark.parametrize(("line", "reason"), BAD_LINES.items())
@pytest.mark.parametrize("first", [False, True])
def test_json_lines_that_are_no_rows_are_rejected_with_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, reason: str, first: bool
) -> None:
    # So long that float64 would lose a digit: these stay whole numbers.
    first_number, second_number = 2**53 + 1, 2**53 + 3
    good = [f'{{"a": {first_number}, "s": "x", "b": true, "l": ["y"]}}', f'{{"a": {second_number}, "s": "z"}}']
    lines = [good[0], *([line, good[1]] if not first else [good[1], line])]
    # Two lines are the sample, so that what follows has to fit; and a block a line in one of the cases.
    monkeypatch.setattr("pipeline.data.sources.json_lines._SAMPLE_LINES", 1)
    monkeypatch.setattr("pipeline.data.sources.json_lines._LINES_OF_EACH", 1)
    monkeypatch.setattr("pipeline.data.sources.json_lines._BLOCK_BYTES", 1 if first else 1 << 20)
    source = json_lines(tmp_path, "\n".join(lines).encode(errors="surrogateescape"))
    rows, rejects = read(source)
    assert [row["a"] for row in rows] == [first_number, second_number]
    bad = lines.index(line) + 1
    assert source.places([0, 1]) == [Place(source.path, number) for number in (1, 2, 3) if number != bad]
    if line:
        (reject,) = rejects
        assert reject.place == Place(source.path, bad)
        assert reason in reject.reason
        assert f"rows.jsonl:{bad}: {reject.reason}" in refusal(source)


def test_json_converts_later_values_that_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.data.sources.json_lines._SAMPLE_LINES", 1)
    monkeypatch.setattr("pipeline.data.sources.json_lines._LINES_OF_EACH", 1)
    first = {"i": 1, "f": 0.5, "s": "x", "l": ["y"]}
    later = {"i": 2.0, "f": "3", "s": [1, {"a": None}], "l": [1, None]}
    source = json_lines(tmp_path, f"{json.dumps(first)}\n{json.dumps(later)}\n")
    assert read(source) == ([first, {"i": 2, "f": 3.0, "s": '[1, {"a": null}]', "l": ["1"]}], [])


def test_json_reads_gzip_byte_order_mark_windows_line_ends_and_blank_lines(tmp_path: Path) -> None:
    content = '\ufeff{"a": 1}\r\n\r\n{"a": 2}\r\n\r\n'
    for name in ("rows.jsonl", "rows.ndjson", "rows.json", "rows.jsonl.gz"):
        source = json_lines(tmp_path, content, name)
        assert read(source) == ([{"a": 1}, {"a": 2}], [])
        assert [place.line for place in source.places([0, 1])] == [1, 3]


def test_json_of_many_blocks_keeps_rows_places_and_rejects_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.data.sources.json_lines._BLOCK_BYTES", 1000)
    for name, start in (("a.jsonl", 0), ("b.jsonl", 2000)):
        lines = [f'{{"n": {n}}}' if n % 500 != 7 else "oops" for n in range(start, start + 2000)]
        write(tmp_path / name, "\n".join(lines))
    source = JsonLines(str(tmp_path))
    rows, rejects = read(source)
    kept = [n for n in range(4000) if n % 500 != 7]
    assert [row["n"] for row in rows] == kept

    def place(n: int) -> Place:
        return Place(f"{tmp_path}/{'ab'[n // 2000]}.jsonl", n % 2000 + 1)

    assert [reject.place for reject in rejects] == [place(n) for n in range(4000) if n % 500 == 7]
    assert source.places(range(len(kept))) == [place(n) for n in kept]


def test_json_files_need_the_same_keys_but_not_in_every_row(tmp_path: Path) -> None:
    write(tmp_path / "1.jsonl", '{"a": 1, "c": 1}\n{"a": 1}\n')
    write(tmp_path / "2.jsonl", '{"a": 2, "d": 0.5}\n{"a": 2}\n')
    assert [row["d"] for row in rows_of(JsonLines(str(tmp_path)))] == [None, None, 0.5, None]
    write(tmp_path / "3.jsonl", '{"b": 2}\n')
    assert '3.jsonl has no key "a", which every line of' in refusal(JsonLines(str(tmp_path)))
    write(tmp_path / "3.jsonl", '{"a": 2, "b": 2}\n')
    assert '1.jsonl has no key "b", which every line of' in refusal(JsonLines(str(tmp_path)))


def test_json_refuses_arrays_damaged_gzip_no_rows_and_two_columns_of_one_name(tmp_path: Path) -> None:
    ignore = [].append  # type: ignore[var-annotated]
    for array in ('[{"a": 1}, {"a": 2}]', '[\n  {"a": 1}\n]'):
        assert "is a JSON array" in refusal(json_lines(tmp_path, array), ignore)
    assert "has no rows" in refusal(json_lines(tmp_path, "oops\n\n[1]\n"), ignore)
    assert "is empty" in refusal(json_lines(tmp_path, ""))
    assert '"a.b" is a key, and also' in refusal(json_lines(tmp_path, '{"a.b": 1, "a": {"b": 2}}'))
    packed = gzip.compress(b'{"a": 1}\n' * 1000)
    for content in (packed[:-12], packed[:20] + b"\0\0\0\0" + packed[24:], b"no gzip"):
        write(tmp_path / "rows.jsonl.gz", content)
        assert "rows.jsonl.gz cannot be read" in refusal(JsonLines(str(tmp_path / "rows.jsonl.gz")), ignore)


SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=5)
)
KEYS = st.sampled_from(["a", "b", "\u00e9", "a.b"])
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(st.sampled_from(["x", "y"]), SCALARS, max_size=2)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.dictionaries(KEYS, VALUES, max_size=3), min_size=1, max_size=6))
def test_json_is_read_alike_by_arrow_and_line_by_line(objects: list[dict[str, Any]]) -> None:
    columns = columns_of_objects(objects)
    block = "\n".join(map(json.dumps, objects)).encode()
    rows = parse_block(block, 1, columns, "f")
    slow = parse_block(b"\n" + block, 1, columns, "f")  # a blank line is not Arrow's
    assert rows.rejects == slow.rejects == ()
    assert rows.batch.num_rows == (len(objects) if columns else rows.batch.num_rows)
    assert slow.lines.tolist() == list(range(2, len(objects) + 2))
    if columns:
        assert rows.batch.equals(slow.batch)
        assert rows.lines.tolist() == list(range(1, len(objects) + 1))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.none(), min_size=1), st.lists(st.text(), min_size=1))
def test_json_keeps_whole_numbers_and_text_to_the_last_digit(numbers: list[int | None], texts: list[str]) -> None:
    size = min(len(numbers), len(texts))
    objects = [{"n": number, "t": text} for number, text in zip(numbers[:size], texts[:size], strict=True)]
    found = parse_block("\n".join(map(json.dumps, objects)).encode(), 1, columns_of_objects(objects), "f")
    if any(row["n"] is not None for row in objects):
        assert found.batch.to_pylist() == objects


# folders of texts


def test_text_folders_give_texts_classes_and_sides_in_the_order_of_the_paths(tmp_path: Path) -> None:
    write(tmp_path / "train/pos/2.txt", "\ufeffgood\nfilm")
    write(tmp_path / "train/neg/1.TXT", " bad ")
    write(tmp_path / "test/pos/1.txt", "caf\u00e9")
    write(tmp_path / "train/notes.txt", "beside")
    write(tmp_path / "train/pos/urls.csv", "other")
    source = TextFolder(str(tmp_path), label="opinion")
    rows, rejects = read(source)
    assert rows == [
        {"text": "caf\u00e9", "opinion": "pos", "split": "test"},
        {"text": " bad ", "opinion": "neg", "split": "train"},
        {"text": "good\nfilm", "opinion": "pos", "split": "train"},
    ]
    assert not rejects
    assert source.kinds == {"text": "text", "opinion": "categorical"}
    assert source.places([1]) == [Place(str(tmp_path / "train/neg/1.TXT"))]


def test_text_folders_reject_what_is_empty_or_no_utf8(tmp_path: Path) -> None:
    write(tmp_path / "a/1.txt", b"caf\xe9")
    write(tmp_path / "a/2.txt", "good")
    write(tmp_path / "b/3.txt", " \n")
    write(tmp_path / "b/4.txt", "fine")
    source = TextFolder(str(tmp_path))
    rows, rejects = read(source)
    assert rows == [{"text": "good", "label": "a"}, {"text": "fine", "label": "b"}]
    assert [(reject.place, reject.reason) for reject in rejects] == [
        (Place(str(tmp_path / "a/1.txt")), "byte 4, 0xe9, is not UTF-8"),
        (Place(str(tmp_path / "b/3.txt")), "it is empty"),
    ]
    assert source.places([0, 1]) == [Place(str(tmp_path / "a/2.txt")), Place(str(tmp_path / "b/4.txt"))]
    assert "1.txt: byte 4, 0xe9, is not UTF-8" in refusal(source)
    for name in ("a/2.txt", "b/4.txt"):
        write(tmp_path / name, "")
    assert "has no rows" in refusal(source, [].append)


def test_folders_without_classes_and_labels_of_another_columns_name_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "1.txt", "beside")
    assert "holds no texts in class folders" in refusal(TextFolder(str(tmp_path)))
    assert "does not exist" in refusal(TextFolder(str(tmp_path / "missing")))
    for source, label in ((TextFolder, "text"), (ImageFolder, "image"), (Idx, "split")):
        with pytest.raises(ConfigError, match="the name of another column"):
            source(str(tmp_path), label=label)


# PNG


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([None, 1, 3, 4]), st.integers(0, 9))
def test_png_keeps_every_pixel(height: int, width: int, channels: int | None, seed: int) -> None:
    shape = (3, height, width) if channels is None else (3, height, width, channels)
    images = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    encoded = encode_png(images).to_pylist()
    assert all(np.array_equal(pixels(one), image.squeeze(2) if channels == 1 else image)
               for one, image in zip(encoded, images, strict=True))  # fmt: skip


def test_png_of_large_images_keeps_their_order() -> None:
    images = np.arange(9, dtype=np.uint8)[:, None, None, None] * np.ones((1, 200, 100, 3), np.uint8)
    assert [pixels(one)[0, 0, 0] for one in encode_png(images).to_pylist()] == list(range(9))


# NPZ


def npz(tmp_path: Path, compressed: bool = True, /, **arrays: Any) -> Npz:
    (np.savez_compressed if compressed else np.savez)(tmp_path / "rows.npz", **arrays)
    return Npz(str(tmp_path / "rows.npz"))


@pytest.mark.parametrize("compressed", [True, False])
def test_npz_arrays_become_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compressed: bool) -> None:
    monkeypatch.setattr("pipeline.data.sources.array_columns._PART_ROWS", 2)
    random = np.random.default_rng(0)
    matrix, images = random.normal(size=(5, 3)), random.integers(0, 256, (5, 4, 6, 3), np.uint8)
    source = npz(
        tmp_path, compressed, x=np.asfortranarray(matrix), image=images, grey=images[:, :, :, 0],
        text=np.array([*"abcde"]), none=np.array([""] * 5), day=np.arange(5).astype("datetime64[D]"),
        raw=np.array([b"u", b"v", b"", b"x", b"y"]), half=np.arange(5, dtype=np.float16), big=np.arange(5, dtype=">i4"),
        flag=np.array([True, False, True, False, True]), y=np.arange(5)[:, None],
    )  # fmt: skip
    rows, _ = read(source)
    assert [[row["x_0"], row["x_1"], row["x_2"]] for row in rows] == matrix.tolist()
    assert all(np.array_equal(pixels(row["image"]), image) for row, image in zip(rows, images, strict=True))
    assert all(np.array_equal(pixels(row["grey"]), image[:, :, 0]) for row, image in zip(rows, images, strict=True))
    names = ("text", "raw", "half", "big", "flag", "y", "none")
    assert [rows[1][name] for name in names] == ["b", "v", 1.0, 1, False, 1, ""]
    assert [row["day"].day for row in rows] == [1, 2, 3, 4, 5]
    assert source.kinds == {"image": "image", "grey": "image"}
    assert source.label == "y"
    assert source.places([0, 4]) == [Place(source.path, 1), Place(source.path, 5)]


def test_npz_as_keras_writes_it_has_sides(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 2, 3), np.uint8)
    source = npz(tmp_path, x_test=images[3:], y_train=np.array([1, 2, 3], np.uint8), y_test=np.array([4, 5]),
                 x_train=images[:3])  # fmt: skip
    rows, _ = read(source)
    assert [(row["y"], row["split"]) for row in rows] == [*((n, "train") for n in (1, 2, 3)), (4, "test"), (5, "test")]
    assert all(np.array_equal(pixels(row["x"]), image) for row, image in zip(rows, images, strict=True))
    assert source.kinds == {"x": "image"}
    assert set(rows_of(npz(tmp_path, x_train=np.arange(3), y_train=np.arange(3)))[0]) == {"x", "y"}
    assert set(rows_of(npz(tmp_path, train=np.arange(3), y_test=np.arange(3)))[0]) == {"train", "y_test"}


def test_npz_of_paths_of_images(tmp_path: Path) -> None:
    path = npz(tmp_path, photo=np.array(["a.png", "b.png"]), y=np.arange(2)).path
    assert Npz(path, images=("photo",)).kinds == {"photo": "image"}
    assert 'has no array "foto"' in refusal(Npz(path, images=("foto",)))
    assert Npz(path).fingerprint(FileHashes()) != Npz(path, images=("photo",)).fingerprint(FileHashes())


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"x": np.arange(5), "y": np.arange(4)}, '"x" has 5 rows, "y" has 4'),
        ({"x": np.array([{}, None], object)}, '"x" holds pickled Python objects'),
        ({"x": np.zeros((2, 4, 4))}, '"x" has 3 axes and is of type float64'),
        ({"x": np.zeros((2, 3, 4, 5), np.uint8)}, '"x" has the shape (2, 3, 4, 5)'),
        ({"x": np.zeros((2, 0, 4), np.uint8)}, "images of 0x4 pixels"),
        ({"x": np.array(5)}, '"x" has 0 axes'),
        ({"x": np.zeros(3, complex)}, "is of type complex128"),
        ({"x": np.zeros(3, [("a", int)])}, "is of type [('a'"),
        ({"x": np.zeros(0)}, "has no rows"),
        ({"x": np.zeros((2, 2)), "x_1": np.zeros(2)}, 'two arrays give a column "x_1"'),
        ({"y": np.eye(3)}, 'the label "y" has 3 columns'),
        ({"x_train": np.zeros(3), "y_test": np.zeros(3)}, 'not every side has an array "x"'),
        ({"x_train": np.zeros((3, 2)), "x_test": np.zeros((3, 4))}, "has the shape (3, 2)"),
        ({"x_train": np.zeros(3), "x_test": np.zeros(3, "datetime64[D]")}, "is of type datetime64[D]"),
        ({"x": np.array([b"caf\xe9"])}, "bytes that are not UTF-8"),
        ({}, "holds no array"),
    ],
)
def test_npz_refuses_arrays_that_make_no_table(tmp_path: Path, arrays: dict[str, Any], reason: str) -> None:
    assert reason in refusal(npz(tmp_path, **arrays))


def test_npz_refuses_damaged_files(tmp_path: Path) -> None:
    path = Path(npz(tmp_path, x=np.random.default_rng(0).normal(size=5000), y=np.arange(5000)).path)
    whole = path.read_bytes()
    single = io.BytesIO()
    np.save(single, np.arange(5))
    middle = len(whole) // 2
    damaged = whole[:middle] + bytes(50) + whole[middle + 50 :]
    for content in (whole[:middle], damaged, single.getvalue(), b"x,y\n1,2\n"):
        path.write_bytes(content)
        assert "rows.npz cannot be read as NPZ" in refusal(Npz(str(path)))
    assert "does not exist" in refusal(Npz(str(tmp_path / "missing.npz")))


def test_pickled_arrays_are_never_loaded(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "sprung",))

    refusal(npz(tmp_path, x=np.array([Trap()], object)))
    assert not (tmp_path / "sprung").exists()


@given(st.sampled_from(["u1", "i1", "<i2", ">i4", "<u8", "<f4", ">f8", "?"]), st.integers(1, 5), st.integers(2, 4))
def test_columns_hold_the_numbers_of_the_array(dtype: str, rows: int, width: int) -> None:
    values = np.random.default_rng(0).integers(0, 2, (rows, width)).astype(dtype)
    columns = columns_of("x", values, "here")
    assert list(columns) == [f"x_{place}" for place in range(width)]
    assert np.array_equal(np.stack([column.to_pylist() for column in columns.values()], axis=1), values)


# IDX


def idx(values: np.ndarray, magic: int | None = None) -> bytes:
    codes = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}
    magic = codes[values.dtype.name] << 8 | values.ndim if magic is None else magic
    return (
        struct.pack(f">{values.ndim + 1}I", magic, *values.shape)
        + values.astype(values.dtype.newbyteorder(">")).tobytes()
    )


IMAGES = np.random.default_rng(0).integers(0, 256, (5, 4, 6), np.uint8)


def mnist(root: Path, packed: bool = True, images: np.ndarray = IMAGES) -> Idx:
    for side, name in ((slice(3), "train"), (slice(3, 5), "t10k")):
        for part, values in (("images-idx3", images[side]), ("labels-idx1", np.arange(5, dtype=np.uint8)[side])):
            content = idx(values)
            path = root / f"{name}-{part}-ubyte{'.gz' if packed else ''}"
            write(path, gzip.compress(content) if packed else content)
    return Idx(str(root))


@pytest.mark.parametrize("packed", [True, False])
def test_idx_folders_have_images_labels_and_sides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    monkeypatch.setattr("pipeline.data.sources.array_columns._PART_ROWS", 2)
    source = mnist(tmp_path, packed)
    rows, _ = read(source)
    assert [(row["label"], row["split"]) for row in rows] == [
        ("0", "train"), ("1", "train"), ("2", "train"), ("3", "test"), ("4", "test")
    ]  # fmt: skip
    assert all(np.array_equal(pixels(row["image"]), image) for row, image in zip(rows, IMAGES, strict=True))
    assert source.kinds == {"image": "image", "label": "categorical"}
    names = [f"{Path(place.file).name.split('-')[0]}:{place.line}" for place in source.places([0, 2, 3])]
    assert names == ["train:1", "train:3", "t10k:1"]
    assert rows_of(mnist(tmp_path, not packed)) == rows  # packed and unpacked side by side are one


def test_idx_of_one_file_has_no_sides(tmp_path: Path) -> None:
    mnist(tmp_path)
    source = Idx(f"{tmp_path}/t10k-images-idx3-ubyte.gz", label="digit")
    assert [set(row) for row in rows_of(source)] == [{"image", "digit"}] * 2


def test_idx_reads_colors_and_tables_of_any_type(tmp_path: Path) -> None:
    labels = np.array([-1, 300], np.int16)
    for dtype in ("uint8", "int8", "int16", "int32", "float32", "float64"):
        values = np.array([[1, 2, 3], [4, 5, 100]], dtype)
        write(tmp_path / "train-images.idx2-any", idx(values))
        write(tmp_path / "train-labels.idx1-short", idx(labels))
        rows = rows_of(Idx(str(tmp_path)))
        assert rows == [{"x_0": 1, "x_1": 2, "x_2": 3, "label": "-1"}, {"x_0": 4, "x_1": 5, "x_2": 100, "label": "300"}]
        assert Idx(str(tmp_path)).kinds == {"label": "categorical"}
    colors = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 3), np.uint8)
    write(tmp_path / "train-images.idx2-any", idx(colors))
    assert [pixels(row["image"]).tolist() for row in rows_of(Idx(str(tmp_path)))] == colors.tolist()


def test_idx_refuses_what_does_not_fit_together(tmp_path: Path) -> None:
    def refused(images: bytes, labels: bytes | None = None, name: str = "train-images-idx3-ubyte") -> str:
        write(tmp_path / name, images)
        write(tmp_path / "train-labels-idx1-ubyte", idx(np.arange(5, dtype=np.uint8)) if labels is None else labels)
        return refusal(Idx(str(tmp_path)))

    good = idx(IMAGES)
    assert "it begins with 0x00000703" in refused(idx(IMAGES, 0x703))
    assert "it begins with 0x612c" in refused(b"a,")
    assert "train-images-idx3-ubyte ends after 130 bytes" in refused(good[:130])
    assert "expected: 136 bytes" in refused(good[:130])
    assert "ends after 10 bytes" in refused(good[:10])
    assert "has 137 bytes" in refused(good + b"x")
    assert "holds 5 images, train-labels-idx1-ubyte holds 4 labels" in refused(good, idx(np.arange(4, dtype=np.uint8)))
    assert "1 axes of type float32" in refused(good, idx(np.arange(5, dtype=np.float32)))
    assert "has 3 axes and is of type float32" in refused(idx(IMAGES.astype(np.float32)))
    packed = gzip.compress(np.random.default_rng(0).bytes(0) + idx(IMAGES), 0)
    text = refused(packed[:60])
    assert "train-images-idx3-ubyte ends after" in text
    assert "136 bytes" in text
    assert "goes on after the 136 bytes" in refused(gzip.compress(good + b"x"))
    assert "cannot be read" in refused(packed[:-8] + b"\0" * 8)
    (tmp_path / "train-images-idx3-ubyte").unlink()
    assert "holds no IDX images" in refusal(Idx(str(tmp_path)))
    assert "does not exist" in refusal(Idx(str(tmp_path / "missing")))
    write(tmp_path / "other-images-idx3-ubyte", good)
    assert "has no labels beside it" in refusal(Idx(str(tmp_path)))
    write(tmp_path / "another-images-idx3-ubyte", good)
    assert "several files of images" in refusal(Idx(str(tmp_path)))


# every source


def every_source(root: Path, changed: bool) -> dict[str, Any]:
    """One of each in a folder of its own, with the same content wherever the folder is."""
    table = pa.table({"a": [1, 2], "label": ["x", "y" if not changed else "z"]})
    for name, save in (("a.parquet", pq.write_table), ("a.arrow", write_file), ("a.feather", feather.write_feather)):
        (root / name).mkdir(parents=True, exist_ok=True)
        save(table, f"{root}/{name}/{name}")
    write(root / "json/a.jsonl", "\n".join(map(json.dumps, table.to_pylist())))
    write(root / "texts/a/1.txt", "hello" if not changed else "bye")
    write(root / "images/a/1.png", encode_png(IMAGES[:1] + np.uint8(changed))[0].as_py())
    np.savez(root / "a.npz", x=np.arange(2) + changed, y=np.arange(2))
    return {
        "parquet": Parquet(f"{root}/a.parquet"),
        "arrow": Arrow(f"{root}/a.arrow"),
        "feather": Arrow(f"{root}/a.feather/*.feather"),
        "json": JsonLines(f"{root}/json"),
        "texts": TextFolder(f"{root}/texts"),
        "images": ImageFolder(f"{root}/images"),
        "npz": Npz(f"{root}/a.npz"),
        "idx": mnist(root / "idx", images=IMAGES + np.uint8(changed)),
    }


def test_every_source_reads_alike_twice_and_is_told_by_its_content_alone(tmp_path: Path) -> None:
    here, there = every_source(tmp_path / "here", False), every_source(tmp_path / "there", False)
    changed = every_source(tmp_path / "changed", True)
    for name, source in here.items():
        first, second = (pa.Table.from_batches(source.batches(refuse)) for _ in range(2))
        assert first.equals(second), name
        assert all(batch.num_rows for batch in source.batches(refuse))
        assert set(source.kinds) <= set(first.column_names)
        assert hash(source) == hash(type(source)(source.path))
        fingerprint = source.fingerprint(FileHashes())
        assert fingerprint == there[name].fingerprint(FileHashes()), name
        assert fingerprint != changed[name].fingerprint(FileHashes()), name


@pytest.mark.parametrize("name", ["parquet", "arrow", "feather", "stream", "json", "npz", "idx"])
def test_damage_anywhere_is_refused_or_leaves_rows_that_can_be_read(tmp_path: Path, name: str) -> None:
    """Flipped, lost and foreign bytes; what a library raises, or a process that ends, would fail this."""
    table = pa.table({"t": [f"text {n}" for n in range(99)], "l": [["x", "y"]] * 99, "s": [{"p": 1.5, "q": "z"}] * 99})
    random = np.random.default_rng(0)
    source = {
        "parquet": Parquet(f"{tmp_path}/a.parquet"), "arrow": Arrow(f"{tmp_path}/a.arrow"),
        "feather": Arrow(f"{tmp_path}/a.feather"), "stream": Arrow(f"{tmp_path}/a.ipc"),
        "json": JsonLines(f"{tmp_path}/a.jsonl"), "npz": Npz(f"{tmp_path}/a.npz"),
        "idx": Idx(f"{tmp_path}/train-images-idx3-ubyte.gz"),
    }[name]  # fmt: skip
    path = Path(source.path)
    if name == "json":
        write(path, "\n".join(map(json.dumps, table.to_pylist())))
    elif name == "npz":
        np.savez(path, x=random.normal(size=(9, 2)), y=np.array(["a", "b", "c"] * 3))
    elif name == "idx":
        mnist(tmp_path)
    else:
        save = {"parquet": pq.write_table, "arrow": write_file, "stream": write_stream}.get(name, feather.write_feather)
        save(table, str(path))
    whole = path.read_bytes()
    refused = 0
    for _ in range(80):
        start, length = int(random.integers(len(whole))), int(random.choice([1, 1, 1, 20, len(whole)]))
        path.write_bytes(whole[:start] + random.bytes(min(length, 20)) + whole[start + length :])
        damaged = type(source)(source.path)
        try:
            rows = sum(len(batch.to_pylist()) for batch in damaged.batches([].append))
            assert len(damaged.places(range(rows))) == rows
        except DataError:
            refused += 1
    assert refused > 0 or name == "json"


def test_text_that_is_no_utf8_and_encrypted_archives_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"t": ["caf\u00e9"] * 9}), tmp_path / "a.parquet", use_dictionary=False, compression="none")
    content = (tmp_path / "a.parquet").read_bytes()
    write(tmp_path / "a.parquet", content.replace("caf\u00e9".encode(), b"caf\xe9\xe9"))
    assert "cannot be read as Parquet" in refusal(Parquet(f"{tmp_path}/a.parquet"))
    path = Path(npz(tmp_path, x=np.arange(5)).path)
    content = path.read_bytes()
    entry = content.index(b"PK\x01\x02")
    write(path, content[:6] + b"\x01" + content[7 : entry + 8] + b"\x01" + content[entry + 9 :])
    assert "encrypted" in refusal(Npz(str(path)))


def test_every_source_refuses_what_is_missing(tmp_path: Path) -> None:
    for source in (Arrow, Idx, ImageFolder, JsonLines, Npz, Parquet, TextFolder):
        missing = source(str(tmp_path / "missing"))
        assert "does not exist" in refusal(missing)
        with pytest.raises(DataError, match="does not exist"):
            missing.fingerprint(FileHashes())
