"""Data sets of TFDS: ours and those prepared elsewhere, read without the network and without TensorFlow."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.data import tfds_builders
from pipeline.data.sources.source import refuse
from pipeline.data.sources.tfds import Tfds
from pipeline.data.sources.tfds_prepared import prepared_below
from pipeline.data.sources.tfrecord import crc32c, read_tfrecord
from pipeline.errors import DataError
from pipeline.hashing import FileHashes

FORMATS = ("tfrecord", "array_record", "parquet")
TRAIN, TEST, EXTRA = 40, 12, 5

# As it would stand in another project; prepared in a process of its own, and its class is not known here.
BUILDER = """
import sys, importlib.resources, importlib.resources.abc
import numpy as np
import tensorflow_datasets as tfds

class Builder(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.2.0")

    def _info(self):
        features = tfds.features
        return tfds.core.DatasetInfo(builder=self, supervised_keys=("photo", "kind"), features=features.FeaturesDict({
            "photo": features.Image(shape=(None, None, 3)),
            "note": features.Text(),
            "kind": features.ClassLabel(names=["grass", "clover", "moss"]),
            "words": features.Sequence(features.Text()),
            "seen": features.Sequence(features.ClassLabel(names=["bee", "fly"])),
            "height": np.float32, "count": np.int64, "wet": np.bool_, "place": features.Tensor(shape=(), dtype=np.str_),
            "position": features.Tensor(shape=(2,), dtype=np.float32, encoding="zlib"),
            "box": features.BBoxFeature(),
            "soil": {"depth": np.int32, "name": features.Text()},
            "spectrum": features.Tensor(shape=(2, 2), dtype=np.float32),
            "visits": features.Sequence({"hour": np.int32}),
        }))

    def _split_generators(self, dl_manager):
        return {"train": self.rows(0, 40), "test": self.rows(40, 52), "extra": self.rows(52, 57)}

    def _generate_examples(self):
        raise NotImplementedError

    def rows(self, start, stop):
        for n in range(start, stop):
            yield n, {
                "photo": np.random.default_rng(n).integers(0, 256, (3 + n % 3, 4, 3), np.uint8),
                "note": f"w\\u00f6rt {n}", "kind": n % 3 if n < 52 else -1,
                "words": ["a", "b"][: n % 3], "seen": [n % 2] * (n % 3), "height": n / 2, "count": n * 10**9,
                "wet": n % 2 == 0, "place": f"field {n % 4}", "position": np.array([n, -n], np.float32),
                "box": tfds.features.BBox(0.0, 0.25, 0.5, 1.0), "soil": {"depth": n, "name": "loam"},
                "spectrum": np.zeros((2, 2), np.float32), "visits": {"hour": list(range(n % 3))},
            }
"""
PREPARE = """
import sys
from meadow.meadow_dataset_builder import Builder, tfds
for file_format in sys.argv[2:]:
    shards = tfds.download.DownloadConfig(num_shards=2)
    builder = Builder(data_dir=f"{sys.argv[1]}/{file_format}", file_format=file_format)
    builder.download_and_prepare(download_config=shards)
"""
# In a process that reads, every way to a socket is closed before anything is imported.
BLOCK = """
import socket
def refused(*arguments, **named):
    raise OSError("the network was asked for")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.create_connection = refused
"""
LEFT_OUT = ("spectrum", "visits")


def rows_of(source: Tfds) -> list[dict[str, Any]]:
    return [row for batch in source.batches(refuse) for row in batch.to_pylist()]


def refusal(*arguments: Any, **named: Any) -> str:
    with pytest.raises(DataError) as caught:
        rows_of(Tfds(*arguments, **named))
    return str(caught.value)


def run(code: str, *arguments: str | Path, path: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": f"{path}{os.pathsep}{Path.cwd()}", "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`FORMAT/meadow/1.2.0` for every format."""
    root = tmp_path_factory.mktemp("elsewhere")
    (root / "meadow").mkdir()
    (root / "meadow" / "__init__.py").touch()
    (root / "meadow" / "meadow_dataset_builder.py").write_text(BUILDER)
    run(PREPARE, root / "prepared", *FORMATS, path=root)
    return root / "prepared"


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data_dir with our own data set in it."""
    data_dir = tmp_path_factory.mktemp("data")
    rows_of(Tfds("optical_digits", data_dir=str(data_dir)))
    return data_dir


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Closes the network, and tells whether anybody asked for it."""
    found: list[Any] = []

    def refused(*arguments: Any, **named: Any) -> None:
        found.append(arguments)
        raise OSError("the network was asked for")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refused)
    for name in ("getaddrinfo", "create_connection"):
        monkeypatch.setattr(socket, name, refused)
    return found


def expected_row(number: int) -> dict[str, Any]:
    """What the builder says of a row, as columns."""
    side = {"split": "train" if number < TRAIN else "test"}
    return {
        "box_0": 0.0,
        "box_1": 0.25,
        "box_2": 0.5,
        "box_3": 1.0,
        "count": number * 1e9,
        "height": number / 2,
        "kind": ["grass", "clover", "moss"][number % 3],
        "note": f"wört {number}",
        "place": f"field {number % 4}",
        "position_0": float(number),
        "position_1": float(-number),
        "seen": ["bee", "fly"][number % 2 :][:1] * (number % 3),
        "soil.depth": float(number),
        "soil.name": "loam",
        "wet": "true" if number % 2 == 0 else "false",
        "words": ["a", "b"][: number % 3],
        **side,
    }


# The acceptance: sockets blocked, no TensorFlow, a process of its own


def test_our_own_and_one_prepared_elsewhere_run_with_sockets_blocked(elsewhere: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BLOCK)
    code = """
import json, socket, sys
try:
    socket.create_connection(("127.0.0.1", 9))
except OSError as error:
    assert "asked for" in str(error)
from pipeline.data.sources.source import refuse
from pipeline.data.sources.tfds import Tfds
counts = {}
for name, source in {
    "own": Tfds("optical_digits", data_dir=sys.argv[2]),
    **{name: Tfds(f"{sys.argv[1]}/{name}/meadow/1.2.0", leave_out=["spectrum", "visits"]) for name in sys.argv[3:]},
}.items():
    counts[name] = [source.label, sum(batch.num_rows for batch in source.batches(refuse))]
print(json.dumps([counts, "tensorflow" in sys.modules]))
"""
    counts, has_tensorflow = json.loads(run(code, elsewhere, tmp_path / "data", *FORMATS, path=tmp_path))
    assert counts == {"own": ["label", 1797], **{name: ["kind", TRAIN + TEST] for name in FORMATS}}
    assert not has_tensorflow


# What is read


@pytest.mark.parametrize("file_format", FORMATS)
def test_every_feature_comes_as_its_column(elsewhere: Path, file_format: str, asked: list[Any]) -> None:
    source = Tfds("meadow", data_dir=str(elsewhere / file_format), leave_out=LEFT_OUT)
    found = rows_of(source)
    assert found == rows_of(source)
    numbers = [int(row["height"] * 2) for row in found]
    assert sorted(numbers) == list(range(TRAIN + TEST))
    for number, row in zip(numbers, found, strict=True):
        pixels = np.asarray(Image.open(io.BytesIO(row.pop("photo"))))
        np.testing.assert_array_equal(pixels, np.random.default_rng(number).integers(0, 256, pixels.shape, np.uint8))
        assert row == expected_row(number)
    assert source.label == "kind"
    told = {
        "photo": "image",
        "note": "text",
        "kind": "categorical",
        "words": "tags",
        "height": "numeric",
        "place": None,
    }
    assert {name: source.kinds.get(name) for name in told} == told
    assert not asked


@pytest.mark.parametrize("file_format", FORMATS)
def test_places_name_the_file_and_the_record(elsewhere: Path, file_format: str) -> None:
    source = Tfds(str(elsewhere / file_format / "meadow"), leave_out=LEFT_OUT)
    places = source.places(range(TRAIN + TEST))
    assert len(set(places)) == TRAIN + TEST
    assert str(places[0]).endswith(f"meadow-train.{file_format}-00000-of-00002:1")
    assert "meadow-test" in places[TRAIN].file
    # A part of a split stands where it stands in the whole.
    later = Tfds(str(elsewhere / file_format / "meadow"), leave_out=LEFT_OUT, split="train[70%:]")
    whole, part = rows_of(source), rows_of(later)
    assert [{**row, "split": "train"} for row in part] == whole[28:TRAIN]
    assert later.places(range(len(part))) == places[28:TRAIN]


def test_splits_are_chosen_as_tfds_spells_them(elsewhere: Path) -> None:
    def of(split: str | None) -> list[dict[str, Any]]:
        return rows_of(Tfds(str(elsewhere / "tfrecord" / "meadow"), split=split, leave_out=LEFT_OUT))

    assert len(of("train")) == TRAIN
    assert "split" not in of("train")[0]
    assert {row["split"] for row in of("train[:50%]+test")} == {"train", "test"}
    # Rows without a label, which TFDS writes as class -1; their split is no side.
    assert [row["kind"] for row in of("extra")] == [None] * EXTRA
    assert "split" not in of("train+extra")[0]


def test_the_label_may_be_another_column_and_its_kind_is_then_open(elsewhere: Path) -> None:
    source = Tfds(str(elsewhere / "tfrecord" / "meadow"), label="height", leave_out=[*LEFT_OUT, "soil"])
    assert source.label == "height"
    assert "height" not in source.kinds
    assert not [name for name in next(source.batches(refuse)).schema.names if name.startswith("soil")]
    assert Tfds(str(elsewhere / "tfrecord" / "meadow"), leave_out=[*LEFT_OUT, "kind"]).label is None


def test_the_fingerprint_is_of_the_content_and_not_of_the_place(elsewhere: Path, tmp_path: Path) -> None:
    def mark(folder: Path, **arguments: Any) -> str:
        return Tfds(str(folder), leave_out=LEFT_OUT, **arguments).fingerprint(FileHashes())

    here = elsewhere / "tfrecord" / "meadow" / "1.2.0"
    there = shutil.copytree(here, tmp_path / "copy")
    assert mark(there) == mark(here)
    assert mark(there, split="train") != mark(here)
    assert Tfds(str(here), leave_out=[*LEFT_OUT, "box"]).fingerprint(FileHashes()) != mark(here)
    labels = there / "kind.labels.txt"
    labels.write_text(labels.read_text().replace("moss", "lichen"))
    assert mark(there) != mark(here)


# Our own builder


def test_the_digits_are_those_of_scikit_learn_and_equal_images_are_on_one_side(digits: Path) -> None:
    import sklearn.datasets

    bunch: Any = sklearn.datasets.load_digits()
    expected = sorted(
        (np.round(image * (255 / 16)).astype(np.uint8).tobytes(), str(label))
        for image, label in zip(bunch.images, bunch.target, strict=True)
    )
    rows = rows_of(Tfds("optical_digits:1.0.0", data_dir=str(digits)))
    pixels = [np.asarray(Image.open(io.BytesIO(row["image"]))).tobytes() for row in rows]
    assert sorted(zip(pixels, (row["label"] for row in rows), strict=True)) == expected
    sides = {
        side: {image for image, row in zip(pixels, rows, strict=True) if row["split"] == side}
        for side in ("train", "test")
    }
    assert not sides["train"] & sides["test"]
    assert 0.15 < sum(row["split"] == "test" for row in rows) / len(rows) < 0.25


def test_it_says_where_it_is_from_and_under_which_license(digits: Path) -> None:
    info = json.loads((digits / "optical_digits" / "1.0.0" / "dataset_info.json").read_text())
    assert "BSD-3-Clause" in info["redistributionInfo"]["license"]
    assert "Alpaydin" in info["citation"]
    assert "scikit-learn" in info["description"]


def test_it_is_generated_once_and_without_a_word(
    digits: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = digits / "optical_digits" / "1.0.0"
    before = {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    rows_of(Tfds("optical_digits", data_dir=str(digits)))
    assert {file: file.stat().st_mtime_ns for file in folder.iterdir()} == before
    rows_of(Tfds("optical_digits", data_dir=str(tmp_path)))
    assert capfd.readouterr() == ("", "")
    assert prepared_below(str(tmp_path)) == ["optical_digits:1.0.0"]


def test_a_killed_generation_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    """Kills it as soon as there is a file of records: it is written, but not all of it, and not in its place."""
    code = (
        "import sys; from pipeline.data.sources.tfds import Tfds; Tfds('optical_digits', data_dir=sys.argv[1])._folder"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("optical_digits/incomplete.*/*array_record*")) and not list(
        tmp_path.glob("optical_digits/incomplete.*/*tfrecord*")
    ):
        assert child.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.001)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    assert list(tmp_path.glob("optical_digits/incomplete.*"))
    assert prepared_below(str(tmp_path)) == []
    assert len(rows_of(Tfds("optical_digits", data_dir=str(tmp_path)))) == 1797


def test_two_processes_that_generate_at_once_both_succeed(tmp_path: Path) -> None:
    code = (
        "import sys; from pipeline.data.sources.tfds import Tfds; from pipeline.data.sources.source import refuse; "
        "print(sum(b.num_rows for b in Tfds('optical_digits', data_dir=sys.argv[1]).batches(refuse)))"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for child in children:
        out, err = child.communicate(timeout=120)
        assert (out.strip(), child.returncode) == ("1797", 0), err


# What cannot be read


def test_what_is_not_prepared_is_not_downloaded_unless_asked_for(digits: Path, asked: list[Any]) -> None:
    message = refusal("mnist", data_dir=str(digits))
    assert 'The TFDS data set "mnist" is not prepared below' in message
    assert "source.download = true" in message
    assert "optical_digits:1.0.0" in message
    assert 'Did you mean "optical_digits"?' in refusal("optical_digit", data_dir=str(digits))
    assert not asked


def test_a_download_without_a_network_is_told(tmp_path: Path, asked: list[Any]) -> None:
    start = time.monotonic()
    assert 'cannot download and prepare "iris"' in refusal("iris", data_dir=str(tmp_path), download=True)
    assert asked
    assert time.monotonic() - start < 30
    assert 'Did you mean "mnist"?' in refusal("mnits", data_dir=str(tmp_path), download=True)
    assert prepared_below(str(tmp_path)) == []


def test_features_that_are_no_columns_are_named_all_at_once(elsewhere: Path) -> None:
    folder = str(elsewhere / "tfrecord" / "meadow")
    message = refusal(folder)
    assert '"spectrum" (Tensor, shape (2, 2), float32), "visits.hour"' in message or '"visits" (Sequence' in message
    assert 'source.leave_out = ["spectrum", "visits"]' in message
    assert 'no feature "spectrun" to leave out' in refusal(folder, leave_out=["spectrun"])


def test_versions_configs_and_names(digits: Path, tmp_path: Path) -> None:
    made = digits / "optical_digits" / "1.0.0"
    for folder in ("many/a/1.0.0", "many/b/2.0.0", "many/b/10.0.0", "one/only/1.0.0", "bare/1.0.0"):
        shutil.copytree(made, tmp_path / folder)
    data_dir = str(tmp_path)
    assert prepared_below(data_dir) == ["bare:1.0.0", "many/a:1.0.0", "many/b:10.0.0", "many/b:2.0.0", "one/only:1.0.0"]
    assert Tfds("many/b", data_dir)._folder == tmp_path / "many/b/10.0.0"
    assert Tfds("many/b:2.0.0", data_dir)._folder == tmp_path / "many/b/2.0.0"
    assert Tfds("one", data_dir)._folder == tmp_path / "one/only/1.0.0"
    assert "one of many/a, many/b" in refusal("many", data_dir)
    (tmp_path / "many/.config").mkdir()
    (tmp_path / "many/.config/metadata.json").write_text('{"default_config_name": "a"}')
    assert Tfds("many", data_dir)._folder == tmp_path / "many/a/1.0.0"
    assert "is not prepared" in refusal("bare:9.0.0", data_dir)
    assert "is not prepared" in refusal("optical_digits:9.0.0", data_dir)
    assert "neither a folder with prepared TFDS data nor a name" in refusal("what is this", data_dir)
    assert 'no split "tset"' in refusal(str(made), split="tset")


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("damage", ["cut", "middle", "missing", "empty"])
def test_damaged_files_are_named(elsewhere: Path, tmp_path: Path, file_format: str, damage: str) -> None:
    folder = shutil.copytree(elsewhere / file_format / "meadow" / "1.2.0", tmp_path / "1.2.0")
    file = next(folder.glob("meadow-test*-00000-of-00002"))
    data = file.read_bytes()
    if damage == "missing":
        file.unlink()
    elif damage == "middle" and file_format == "array_record":  # its second half is filling
        file.write_bytes(data[:200] + bytes(400) + data[600:])
    else:
        half = len(data) // 2
        file.write_bytes(
            {"cut": data[:half], "empty": b"", "middle": data[: half - 300] + bytes(600) + data[half + 300 :]}[damage]
        )
    assert file.name in refusal(str(folder), leave_out=LEFT_OUT)


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json"])
def test_damaged_descriptions_are_named(elsewhere: Path, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(elsewhere / "tfrecord" / "meadow" / "1.2.0", tmp_path / "1.2.0")
    text = (folder / name).read_text()
    (folder / name).write_text(text[: len(text) // 2])
    assert f"{folder} cannot be read as a prepared TFDS data set" in refusal(str(folder))


def test_rows_that_were_lost_in_writing_are_missed(tmp_path: Path) -> None:
    """TFDS' writer of Parquet skips rows: 100 are written, then 100 skipped, then 100 written, then 200 skipped."""
    builder = tfds_builders.builder("optical_digits", tmp_path)
    builder.info.set_file_format("parquet", override=True)
    builder.download_and_prepare()
    message = refusal("optical_digits", data_dir=str(tmp_path))
    assert "holds 467 records" in message
    assert "expected: 1467" in message
    assert "TFDS 4.9.10 loses rows" in message


# TFRecord


def slow_crc32c(data: bytes) -> int:
    """By the definition, a bit at a time."""
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ (0x82F63B78 if state & 1 else 0)
    return state ^ 0xFFFFFFFF


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=9), st.binary(min_size=250, max_size=1100)), max_size=6))
def test_checksums_are_those_of_the_definition(payloads: list[bytes]) -> None:
    assert crc32c(payloads).tolist() == [slow_crc32c(payload) for payload in payloads]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_changed_byte_of_a_tfrecord_file_goes_unseen(
    elsewhere: Path, tmp_path_factory: Any, data: st.DataObject
) -> None:
    whole = next((elsewhere / "tfrecord" / "meadow" / "1.2.0").glob("meadow-test*-00000-of-00002")).read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    change = data.draw(st.integers(1, 255))
    file = tmp_path_factory.mktemp("changed") / "file"
    file.write_bytes(whole[:place] + bytes([whole[place] ^ change]) + whole[place + 1 :])
    with pytest.raises(DataError, match=str(file)):
        list(read_tfrecord(file))


def test_tfrecords_that_tensorflow_wrote_are_read(tmp_path: Path) -> None:
    import tensorflow as tf

    random = np.random.default_rng(0)
    payloads = [random.bytes(int(size)) for size in (0, 1, 3, 4, 300, 5_000_000, 70_000, 256)]
    with tf.io.TFRecordWriter(str(tmp_path / "file")) as writer:
        for payload in payloads:
            writer.write(payload)
    assert list(read_tfrecord(tmp_path / "file")) == payloads
