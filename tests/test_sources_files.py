"""Sources of files, one or many: which files, in what order; every source twice alike, damaged or missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.sources import Arrow, Idx, ImageFolder, JsonLines, Npz, Parquet, TextFolder
from pipeline.data.sources.files import expand, places_in, side_by_side
from pipeline.data.sources.png import encode_png
from pipeline.data.sources.source import Place, Reject, refuse
from pipeline.errors import DataError
from pipeline.hashing import FileHashes
from tests.reading import IMAGES, mnist, npz, refusal, write, write_file, write_stream


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
