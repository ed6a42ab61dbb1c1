"""Every source streams its rows in one order, and names the place of what it cannot read."""

from __future__ import annotations

import gzip
import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.data.images import look, look_all
from pipeline.data.sources import Csv, ImageFolder, Parquet, ScikitLearn
from pipeline.data.sources.scikit_learn import DATASETS
from pipeline.data.sources.source import Place, Reject, refuse
from pipeline.errors import ConfigError, DataError
from pipeline.hashing import FileHashes


def rows_of(source: Any) -> list[dict[str, Any]]:
    return [row for batch in source.batches(refuse) for row in batch.to_pylist()]


def refusal(source: Any) -> str:
    with pytest.raises(DataError) as caught:
        list(source.batches(refuse))
    return str(caught.value)


def csv(tmp_path: Path, content: str | bytes, name: str = "rows.csv", **arguments: Any) -> Csv:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Csv(str(path), **arguments)


def image_bytes(width: int = 6, height: int = 4, mode: str = "RGB", kind: str = "PNG", seed: int = 0) -> bytes:
    channels = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, channels), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels, mode).save(buffer, kind)
    return buffer.getvalue()


def folder(root: Path, *names: str) -> ImageFolder:
    for seed, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(image_bytes(seed=seed))
    return ImageFolder(str(root))


# CSV


def test_csv_values_come_as_the_text_that_stands_there(tmp_path: Path) -> None:
    assert rows_of(csv(tmp_path, "a,b\n01, x \n?,\n")) == [{"a": "01", "b": " x "}, {"a": "?", "b": ""}]


def test_csv_reads_tabs_in_a_tsv_and_any_delimiter_it_is_given(tmp_path: Path) -> None:
    expected = [{"a": "1", "b": "2,3"}]
    assert rows_of(csv(tmp_path, "a\tb\n1\t2,3\n", "rows.tsv")) == expected
    assert rows_of(csv(tmp_path, "a\tb\n1\t2,3\n", "ROWS.TSV")) == expected
    assert rows_of(csv(tmp_path, "a;b\n1;2,3\n", delimiter=";")) == expected
    assert rows_of(csv(tmp_path, "a;b\n1;2,3\n", "rows.tsv", delimiter=";")) == expected


def test_csv_keeps_a_quoted_separator_quote_and_line_break(tmp_path: Path) -> None:
    source = csv(tmp_path, 'a,b\n"1,5","say ""hi"""\n"two\nlines",x\n')
    assert rows_of(source) == [{"a": "1,5", "b": 'say "hi"'}, {"a": "two\nlines", "b": "x"}]


def test_csv_takes_no_notice_of_a_byte_order_mark(tmp_path: Path) -> None:
    assert rows_of(csv(tmp_path, "\ufeffa,b\n1,2\n")) == [{"a": "1", "b": "2"}]


def test_csv_reads_windows_line_ends_and_a_last_line_without_one(tmp_path: Path) -> None:
    assert rows_of(csv(tmp_path, "a,b\r\n1,2\r\n3,4")) == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]


def test_csv_skips_blank_lines(tmp_path: Path) -> None:
    assert rows_of(csv(tmp_path, "\na,b\n\n1,2\n\n\n3,4\n\n")) == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]


def test_csv_reads_a_file_of_many_blocks_whole_and_in_order(tmp_path: Path) -> None:
    count = 1_200_000
    source = csv(tmp_path, "row,text\n" + "".join(f"{row},some\n" for row in range(count)))
    batches = list(source.batches(refuse))
    assert len(batches) > 1
    found = np.concatenate([batch.column("row").to_numpy(zero_copy_only=False) for batch in batches]).astype(np.int64)
    assert np.array_equal(found, np.arange(count))


def test_csv_finds_the_line_of_a_row(tmp_path: Path) -> None:
    source = csv(tmp_path, '\na,b\n1,2\n\n"two\nlines",x\n3,4\n')
    assert source.places([0, 1, 2]) == [Place(source.path, line) for line in (3, 6, 7)]
    assert source.places([2]) == [Place(source.path, 7)]
    assert source.places([]) == []


def test_csv_refuses_a_header_that_names_a_column_twice(tmp_path: Path) -> None:
    text = refusal(csv(tmp_path, "a,b,a\n1,2,3\n"))
    assert 'rows.csv:1: the header names "a" 2 times (columns 1, 3)' in text


@pytest.mark.parametrize(("row", "values"), [("3,4,5", 3), ("3", 1)])
def test_csv_names_the_line_of_a_ragged_row(tmp_path: Path, row: str, values: int) -> None:
    text = refusal(csv(tmp_path, f'a,b\n"1\n1",2\n\n{row}\n5,6\n'))
    assert f"rows.csv:5: {values} values where there are 2 columns: {row}" in text


def test_csv_names_the_line_of_a_ragged_row_beyond_the_first_block(tmp_path: Path) -> None:
    many = "12345678,87654321\n" * 600_000
    assert "rows.csv:600002: 3 values" in refusal(csv(tmp_path, f"a,b\n{many}1,2,3\n"))


def test_csv_refuses_a_header_without_rows(tmp_path: Path) -> None:
    for content in ("a,b\n", "a,b", "a,b\n\n\n"):
        assert "has a header but no rows" in refusal(csv(tmp_path, content))


def test_csv_says_why_none_of_its_lines_is_a_row(tmp_path: Path) -> None:
    source = csv(tmp_path, "a,b\n1;2\n3;4\n")
    with pytest.raises(DataError) as caught:
        list(source.batches(lambda reject: None))
    assert "rows.csv:2: 1 values where there are 2 columns: 1;2" in str(caught.value)


def test_csv_refuses_an_empty_file(tmp_path: Path) -> None:
    assert "rows.csv is empty" in refusal(csv(tmp_path, ""))


@pytest.mark.parametrize("content", ["\n\n", " ,\n1,2\n", "\ufeff"])
def test_csv_refuses_a_file_without_a_header(tmp_path: Path, content: str) -> None:
    assert "there is no header" in refusal(csv(tmp_path, content))


def test_csv_names_what_stands_beside_a_missing_file(tmp_path: Path) -> None:
    csv(tmp_path, "a\n1\n", "adult.csv")
    text = refusal(Csv(str(tmp_path / "adlt.csv")))
    assert "adlt.csv does not exist" in text
    assert "holds adult.csv" in text


def test_csv_refuses_a_folder_without_tables(tmp_path: Path) -> None:
    assert "holds no CSV file" in refusal(Csv(str(tmp_path)))


def test_csv_names_the_line_that_is_not_utf8(tmp_path: Path) -> None:
    text = refusal(csv(tmp_path, b"a,b\n1,x\n2,caf\xe9\n"))
    assert "rows.csv:3: the row is not UTF-8: 2,caf\ufffd" in text


def test_csv_goes_on_behind_what_is_no_row(tmp_path: Path) -> None:
    source = csv(tmp_path, b"a,b\n1,x\n2,caf\xe9\n3\n4,y,z\n5,z\n")
    rejects: list[Reject] = []
    rows = [row for batch in source.batches(rejects.append) for row in batch.to_pylist()]
    assert rows == [{"a": "1", "b": "x"}, {"a": "5", "b": "z"}]
    assert [str(reject.place) for reject in rejects] == [f"{source.path}:{line}" for line in (3, 4, 5)]
    assert [reject.reason.partition(" values")[0] for reject in rejects] == ["the row is not UTF-8", "1", "3"]
    assert source.places([0, 1]) == [Place(source.path, 2), Place(source.path, 6)]


def test_csv_refuses_a_damaged_gzip_file(tmp_path: Path) -> None:
    packed = gzip.compress(b"a,b\n" + b"".join(b"%d,x\n" % row for row in range(5000)))
    for damaged in (packed[:100], packed[:30] + b"\xff" * 40 + packed[70:], b"a,b\n1,2\n"):
        (tmp_path / "rows.csv.gz").write_bytes(damaged)
        assert "rows.csv.gz cannot be read" in refusal(Csv(str(tmp_path / "rows.csv.gz")))


def test_csv_names_bytes_in_the_header_that_are_not_utf8(tmp_path: Path) -> None:
    assert "rows.csv:1: byte 4" in refusal(csv(tmp_path, b"caf\xe9,b\n1,2\n"))


# Parquet


def parquet(tmp_path: Path, table: pa.Table, **options: Any) -> Parquet:
    path = tmp_path / "rows.parquet"
    pq.write_table(table, path, **options)
    return Parquet(str(path))


def test_parquet_keeps_its_types_and_values(tmp_path: Path) -> None:
    table = pa.table({"a": pa.array([1, None], pa.int16()), "b": pa.array(["x", None]), "c": pa.array([True, False])})
    source = parquet(tmp_path, table)
    assert pa.Table.from_batches(source.batches(refuse)).equals(table)


def test_parquet_keeps_the_order_over_row_groups(tmp_path: Path) -> None:
    source = parquet(tmp_path, pa.table({"a": np.arange(1000)}), row_group_size=7)
    assert [row["a"] for row in rows_of(source)] == list(range(1000))


def test_parquet_refuses_a_file_cut_short(tmp_path: Path) -> None:
    source = parquet(tmp_path, pa.table({"a": np.arange(1000)}))
    path = Path(source.path)
    path.write_bytes(path.read_bytes()[:-20])
    assert "rows.parquet cannot be read as Parquet" in refusal(source)


def test_parquet_refuses_damaged_pages(tmp_path: Path) -> None:
    source = parquet(tmp_path, pa.table({"a": np.random.default_rng(0).normal(size=1000)}))
    path = Path(source.path)
    content = bytearray(path.read_bytes())
    content[4:200] = b"\xff" * 196
    path.write_bytes(bytes(content))
    assert "rows.parquet cannot be read as Parquet" in refusal(source)


def test_parquet_refuses_what_is_something_else(tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_text("a,b\n1,2\n")
    assert "cannot be read as Parquet" in refusal(Parquet(str(tmp_path / "rows.parquet")))


def test_parquet_refuses_a_table_without_rows(tmp_path: Path) -> None:
    assert "rows.parquet has no rows" in refusal(parquet(tmp_path, pa.table({"a": pa.array([], pa.int64())})))


def test_parquet_refuses_a_column_that_stands_there_twice(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"])
    assert 'the column "a" stands there twice' in refusal(parquet(tmp_path, table))


def test_parquet_refuses_missing_and_empty_files(tmp_path: Path) -> None:
    assert "does not exist" in refusal(Parquet(str(tmp_path / "rows.parquet")))
    (tmp_path / "rows.parquet").touch()
    assert "is empty" in refusal(Parquet(str(tmp_path / "rows.parquet")))


def test_parquet_counts_rows_from_one_for_people(tmp_path: Path) -> None:
    source = parquet(tmp_path, pa.table({"a": [1, 2, 3]}))
    assert source.places([0, 2]) == [Place(source.path, 1), Place(source.path, 3)]


# scikit-learn


@pytest.mark.parametrize("name", DATASETS)
def test_scikit_learn_gives_the_numbers_of_its_loader(name: str) -> None:
    import sklearn.datasets

    bunch = getattr(sklearn.datasets, f"load_{name}")()
    (batch,) = ScikitLearn(name).batches(refuse)
    assert batch.schema.names == [*map(str, bunch.feature_names), "target"]
    assert np.array_equal(np.stack([column.to_numpy() for column in batch.columns[:-1]], axis=1), bunch.data)
    labels = batch.column("target").to_pylist()
    names = bunch.get("target_names")
    named = names is not None and isinstance(names[0], str)
    assert labels == ([str(names[index]) for index in bunch.target] if named else bunch.target.tolist())


def test_scikit_learn_digits_as_images_hold_the_same_grey_levels() -> None:
    import sklearn.datasets

    source = ScikitLearn("digits", label="digit", as_images=True)
    (batch,) = source.batches(refuse)
    expected = np.round(sklearn.datasets.load_digits().images * (255 / 16))
    assert source.kinds == {"image": "image"}
    assert source.places([0, 7]) == [Place("digits", 1), Place("digits", 8)]
    for row in range(0, batch.num_rows, 100):
        pixels = np.asarray(Image.open(io.BytesIO(batch.column("image")[row].as_py())))
        assert np.array_equal(pixels, expected[row])


def test_scikit_learn_refuses_an_unknown_data_set_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match='Did you mean "digits"'):
        ScikitLearn("digit")
    with pytest.raises(ConfigError, match="linnerud"):
        ScikitLearn("linnerud")
    with pytest.raises(ConfigError, match="iris holds no images"):
        ScikitLearn("iris", as_images=True)


# folders of images


def test_image_folders_give_every_image_and_its_class_in_the_order_of_the_paths(tmp_path: Path) -> None:
    source = folder(tmp_path, "dog/2.png", "cat/b.JPG", "dog/10.png", "cat/a.jpeg", "007/x.png")
    expected = ["007/x.png", "cat/a.jpeg", "cat/b.JPG", "dog/10.png", "dog/2.png"]
    assert rows_of(source) == [{"image": str(tmp_path / name), "label": name.split("/")[0]} for name in expected]
    assert source.places([1, 3]) == [Place(str(tmp_path / "cat/a.jpeg")), Place(str(tmp_path / "dog/10.png"))]
    assert source.kinds == {"image": "image", "label": "categorical"}


def test_image_folders_below_split_folders_give_the_split(tmp_path: Path) -> None:
    source = folder(tmp_path, "train/cat/a.png", "Test/cat/b.png", "val/dog/c.png")
    rows = [(row["split"], row["label"]) for row in rows_of(source)]
    assert rows == [("Test", "cat"), ("train", "cat"), ("val", "dog")]


def test_a_class_that_is_named_train_is_a_class_where_other_folders_are_classes(tmp_path: Path) -> None:
    rows = rows_of(folder(tmp_path, "train/a.png", "car/b.png"))
    assert [row["label"] for row in rows] == ["car", "train"]
    assert all("split" not in row for row in rows)


def test_image_folders_leave_other_files_alone(tmp_path: Path) -> None:
    source = folder(tmp_path, "cat/a.png", "beside.png", "cat/deep/b.png")
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    (tmp_path / "cat" / "c.gif").write_bytes(b"GIF89a")
    (tmp_path / ".cache").mkdir()
    assert [row["image"] for row in rows_of(source)] == [str(tmp_path / "cat/a.png")]


def test_image_folders_name_the_label_as_they_are_told(tmp_path: Path) -> None:
    folder(tmp_path, "cat/a.png")
    assert set(rows_of(ImageFolder(str(tmp_path), label="animal"))[0]) == {"image", "animal"}
    assert ImageFolder(str(tmp_path), label=None).label == "label"


def test_image_folders_refuse_a_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    assert "holds no images in class folders" in refusal(ImageFolder(str(tmp_path)))
    assert "does not exist" in refusal(ImageFolder(str(tmp_path / "missing")))
    assert "is not a folder" in refusal(ImageFolder(str(tmp_path / "cat" / "notes.txt")))


# looking at images


@pytest.mark.parametrize(
    ("mode", "kind", "channels"),
    [("RGB", "PNG", 3), ("L", "PNG", 1), ("RGBA", "PNG", 3), ("RGB", "JPEG", 3), ("L", "JPEG", 1)],
)
def test_a_look_tells_height_width_and_channels(tmp_path: Path, mode: str, kind: str, channels: int) -> None:
    encoded = image_bytes(width=50, height=30, mode=mode, kind=kind)
    (tmp_path / "image").write_bytes(encoded)
    looked = look(encoded)
    assert looked == look(str(tmp_path / "image"))
    assert (looked.height, looked.width, looked.channels) == (30, 50, channels)


def damaged() -> dict[str, bytes]:
    png, jpeg = image_bytes(60, 40), image_bytes(60, 40, kind="JPEG")
    return {
        "empty.png": b"",
        "text.jpg": b"this is no image",
        "cut.png": png[: len(png) // 2],
        "cut.jpg": jpeg[: len(jpeg) // 2],
        "header.jpg": jpeg[:20],
        "corrupt.png": png[:60] + bytes(100) + png[160:],
        "gif.png": image_bytes(mode="L", kind="GIF"),
    }


@pytest.mark.parametrize("name", damaged())
def test_a_look_names_an_image_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(damaged()[name])
    with pytest.raises(DataError) as caught:
        look(str(tmp_path / name))
    assert f"{tmp_path / name} is no readable image" in str(caught.value)
    assert ("it is empty" in str(caught.value)) == (name == "empty.png")


def test_a_look_names_a_missing_image(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="missing.png is no readable image"):
        look(str(tmp_path / "missing.png"))


def test_looking_at_many_keeps_the_order_the_missing_and_the_bad_ones(tmp_path: Path) -> None:
    encoded = [image_bytes(width=width) for width in range(1, 40)]
    assert [looked.width for looked in look_all(encoded)] == list(range(1, 40))
    (tmp_path / "bad.png").write_bytes(encoded[3][:30])
    (tmp_path / "good.png").write_bytes(encoded[3])
    good, missing, bad, empty = look_all([str(tmp_path / "good.png"), None, str(tmp_path / "bad.png"), b""])
    assert good == look(encoded[3])
    assert missing is None
    assert empty is None
    assert isinstance(bad, DataError)
    assert "bad.png is no readable image" in str(bad)


# fingerprints


def test_a_fingerprint_depends_on_the_content_only(tmp_path: Path) -> None:
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
    table = pa.table({"a": [1, 2]})
    makers = [
        lambda place, text: csv(place, f"a,b\n1,{text}\n"),
        lambda place, text: parquet(place, table.append_column("t", pa.array([text, text]))),
        lambda place, text: folder(place / "images", "cat/a.png", f"dog/{text}.png"),
    ]
    for make in makers:
        first, same = make(tmp_path / "a", "x"), make(tmp_path / "b", "x")
        before = first.fingerprint(FileHashes())
        assert before == same.fingerprint(FileHashes())
        shutil.rmtree(tmp_path / "b" / "images", ignore_errors=True)
        assert before != make(tmp_path / "b", "y").fingerprint(FileHashes())


def test_a_fingerprint_of_images_depends_on_their_content_and_their_classes(tmp_path: Path) -> None:
    found = set()
    for content, name in ((1, "cat/a.png"), (2, "cat/a.png"), (2, "dog/a.png")):
        root = tmp_path / f"{content}{name[:3]}"
        folder(root, name)
        (root / name).write_bytes(image_bytes(seed=content))
        found.add(ImageFolder(str(root)).fingerprint(FileHashes()))
    assert len(found) == 3


def test_a_fingerprint_of_a_csv_depends_on_how_it_is_read(tmp_path: Path) -> None:
    source = csv(tmp_path, "a;b\n1;2\n")
    assert source.fingerprint(FileHashes()) != Csv(source.path, delimiter=";").fingerprint(FileHashes())


def test_fingerprints_of_scikit_learn_tell_the_data_sets_apart() -> None:
    sources = [*map(ScikitLearn, DATASETS), ScikitLearn("digits", as_images=True), ScikitLearn("iris", label="kind")]
    assert len({source.fingerprint(FileHashes()) for source in sources}) == len(sources)


@pytest.mark.parametrize("source", [Csv, Parquet])
def test_a_fingerprint_of_a_missing_file_is_refused(tmp_path: Path, source: Any) -> None:
    with pytest.raises(DataError, match="does not exist"):
        source(str(tmp_path / "missing")).fingerprint(FileHashes())
