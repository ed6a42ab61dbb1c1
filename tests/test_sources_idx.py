"""IDX files, as MNIST comes: images, labels and sides; what does not fit together is refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.sources import Idx
from tests.reading import IMAGES, idx, mnist, pixels, read, refusal, rows_of, write


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
