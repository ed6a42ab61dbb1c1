"""NPZ archives and PNG encoding: arrays become columns, images keep every pixel, pickles are never loaded."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.sources import Npz
from pipeline.data.sources.array_columns import columns_of
from pipeline.data.sources.png import encode_png
from pipeline.data.sources.source import Place
from pipeline.hashing import FileHashes
from tests.reading import npz, pixels, read, refusal, rows_of


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
