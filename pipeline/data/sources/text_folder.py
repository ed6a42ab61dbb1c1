"""Folders of texts: one folder a class, perhaps below one folder a split."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from pipeline.data.kinds import Kind
from pipeline.data.sources.class_folders import ClassFolders, class_folders, label_name
from pipeline.data.sources.files import some_rows
from pipeline.data.sources.source import OnReject, Place, Reject
from pipeline.errors import DataError
from pipeline.hashing import FileHashes

ENDINGS = (".txt",)
# Texts may be long: a batch is a few megabytes.
_BATCH_FILES = 4_096


@dataclass(frozen=True)
class TextFolder:
    """Texts in UTF-8 as `CLASS/file.txt`, or as `train/CLASS/file.txt` and `test/CLASS/file.txt`.

    Rows have a `text` (the file's content), the label (the folder's name) and, in the second form, a `split`.
    Files of other kinds, and files beside the class folders, are left alone.

    Args:
      path: the folder.
      label: name to give the column of the class.

    Example:
      >>> from pipeline.data.sources import TextFolder
      >>> TextFolder("reviews", label="opinion").kinds
      {'text': 'text', 'opinion': 'categorical'}
    """

    path: str
    label: str | None = "label"

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", label_name(self.label, "text"))

    @property
    def kinds(self) -> dict[str, Kind]:
        """The text, and the label: a folder "007" is a name, not the number 7."""
        return {"text": "text", str(self.label): "categorical"}

    @cached_property
    def folders(self) -> ClassFolders:
        """Every text, in the order of the paths.

        Raises:
          DataError: no such folder, unreadable, or no class folder with a text in it.
        """
        return class_folders(self.path, ENDINGS, "texts")

    def fingerprint(self, hashes: FileHashes) -> str:
        """The hash of every file's name and content."""
        return f"texts-{self.label}-{self.folders.fingerprint(hashes)}"

    def batches(self, on_reject: OnReject) -> Iterator[pa.RecordBatch]:
        """Record batches of texts and classes; a file that is empty or not UTF-8 is rejected.

        Raises:
          DataError: see `folders`; a file cannot be read; no file holds a text.
        """
        yield from some_rows(self._batches(on_reject), self.path)

    def _batches(self, on_reject: OnReject) -> Iterator[pa.RecordBatch]:
        texts = self._texts(on_reject)
        while part := list(itertools.islice(texts, _BATCH_FILES)):
            files = [file for file, _ in part]
            columns = {"text": [text for _, text in part], **self.folders.columns(files, str(self.label))}
            yield pa.RecordBatch.from_pydict({name: pa.array(values) for name, values in columns.items()})

    def places(self, rows: Sequence[int]) -> list[Place]:
        """The files. Those that were rejected are no rows, so the files are read once more."""
        files = (file for file, _ in self._texts(lambda reject: None))
        found, before = [], 0
        for row in rows:
            found.append(Place(str(next(itertools.islice(files, row - before, None)))))
            before = row + 1
        return found

    def _texts(self, on_reject: OnReject) -> Iterator[tuple[Path, str]]:
        for file in self.folders.files:
            try:
                text = file.read_bytes().decode("utf-8-sig")
            except OSError as error:
                raise DataError(f"{file} cannot be read: {error.strerror}.") from error
            except UnicodeDecodeError as error:
                reason = f"byte {error.start + 1}, {error.object[error.start]:#04x}, is not UTF-8"
                fix = "Convert it, e.g. iconv -f latin1 -t utf-8."
                on_reject(Reject(Place(str(file)), "", reason, "a text in UTF-8", fix))
                continue
            if text.strip():
                yield file, text
            else:
                on_reject(Reject(Place(str(file)), "", "it is empty", "a text in UTF-8"))
