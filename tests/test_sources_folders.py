"""Class folders: rows, classes and sides in the order of the paths; what is no text is rejected."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.data.sources import Idx, ImageFolder, TextFolder
from pipeline.data.sources.source import Place
from pipeline.errors import ConfigError
from tests.reading import read, refusal, write


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
