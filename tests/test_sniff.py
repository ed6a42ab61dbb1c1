"""How a file of rows is written: guessed from its first lines, and what is guessed reads it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.sources import Csv
from pipeline.data.sources.source import refuse
from pipeline.sniff import sniff


def guessed(tmp_path: Path, content: str | bytes, name: str = "rows.csv") -> dict[str, Any]:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return sniff(path)


@pytest.mark.parametrize(
    ("content", "name", "expected"),
    [
        ("a,b\n1,2\n", "rows.csv", {}),
        ("a\tb\n1\t2\n", "rows.tsv", {}),
        ("a;b\n1,5;2,5\n3,5;4,5\n", "rows.csv", {"delimiter": ";"}),
        ("a\tb\n1\t2\n", "rows.csv", {"delimiter": "\t"}),
        ("a,b\n1,2\n", "rows.tsv", {"delimiter": ","}),
        ("a|b\n1|2\n", "rows.data", {"delimiter": "|"}),
        ("text\none, two\nthree\n", "rows.csv", {}),
        ("5.1,3.5,setosa\n4.9,3.0,setosa\n", "rows.csv", {"header": False}),
        ("ham\tsee you\nspam\twin\nham\tok\n", "SMSSpam", {"delimiter": "\t", "header": False}),
        ("\ufeffa,b\n1,2\n", "rows.csv", {}),
        ("\n\na,b\n\n1,2\n", "rows.csv", {}),
        ("", "rows.csv", {}),
        ("\n", "rows.csv", {}),
        ("a,b", "rows.csv", {}),
    ],
)
def test_delimiter_and_header_are_told(tmp_path: Path, content: str, name: str, expected: dict[str, Any]) -> None:
    assert guessed(tmp_path, content, name) == expected


@pytest.mark.parametrize(
    ("content", "has_header"),
    [
        ("x,y\n1,y\n2,n\n", True),  # the name of a label that is one of its values
        ("x,y\n?,y\n2,n\n", True),
        ("b,a,y\nc,c,n\n", True),
        ("yes,a\nno,b\nyes,c\n", False),
        ("?,a\n1,b\n2,a\n", False),  # a missing number names no column
        ("1,y\n2,n\n", False),
        ("a,2019,2020\nx,1,2\n", False),  # years as names are numbers: a person must say
    ],
)
def test_a_word_above_numbers_is_a_name(tmp_path: Path, content: str, has_header: bool) -> None:
    assert guessed(tmp_path, content) == ({} if has_header else {"header": False})


@pytest.mark.parametrize(
    ("content", "quoting"),
    [
        ('a,b\n"1,5",x\n"two\nlines",y\n', True),
        ('a,b\n"say ""hi""",x\n', True),
        ('a\tb\n"ham\tx\nspam\ty\n', False),
        ('a,b\n5" pipe,x\n7" pipe,y\n', False),
        ('a\n"two\nlines"\n', True),  # one column alone: nothing tells
    ],
)
def test_single_quotation_marks_turn_quoting_off(tmp_path: Path, content: str, quoting: bool) -> None:
    assert guessed(tmp_path, content).get("quoting", True) == quoting


def test_long_values_and_any_bytes_are_no_trouble(tmp_path: Path) -> None:
    assert guessed(tmp_path, "a,b\n" + "x" * 500_000 + ",2\n") == {}
    assert guessed(tmp_path, "a,b\n" + "x" * (3 << 20) + ",2\n") == {}
    assert sniff(tmp_path / "missing.csv") == {}
    guessed(tmp_path, b"\x00\xff\r\r\n\x00")


@settings(deadline=None)
@given(st.data(), st.sampled_from([",", ";", "\t", "|"]), st.integers(2, 4))
def test_what_is_guessed_of_a_plain_table_reads_it(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, delimiter: str, width: int
) -> None:
    """Numbers and words without signs of their own: then nothing is left to chance."""
    path = tmp_path_factory.getbasetemp() / "sniffed.csv"
    word = st.text(st.sampled_from([*"abcdé "]), max_size=5)
    row = st.tuples(st.integers(-99, 99).map(str), *[word] * (width - 1))
    rows = data.draw(st.lists(row, min_size=1, max_size=8))
    header = [f"name {place}" for place in range(width)] if data.draw(st.booleans()) else None
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, delimiter=delimiter)
        writer.writerows([header, *rows] if header else rows)
    arguments = sniff(path)
    assert arguments.get("header", True) == (header is not None)
    found = [tuple(row.values()) for batch in Csv(str(path), **arguments).batches(refuse) for row in batch.to_pylist()]
    assert found == rows


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_arguments_of_csv(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content)
    Csv(str(path), **sniff(path))
