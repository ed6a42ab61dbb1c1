"""JSON lines: types from the first lines, rejects with their place, the same rows whichever way they are parsed."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.sources import JsonLines
from pipeline.data.sources.json_block import parse_block
from pipeline.data.sources.json_types import columns_of_objects
from pipeline.data.sources.source import Place, refuse
from tests.reading import read, refusal, rows_of, write


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
