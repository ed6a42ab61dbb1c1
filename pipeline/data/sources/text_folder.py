"""Folders of texts: one folder a class, perhaps below one folder a split."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from pipeline.data.sources.class_folders import ClassFolderSource
from pipeline.data.sources.files import some_rows
from pipeline.data.sources.source import OnReject, Place, Reject
from pipeline.errors import DataError

# Texts may be long: a batch is a few megabytes.
_BATCH_FILES = 4_096


@dataclass(frozen=True)
class TextFolder(ClassFolderSource):
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

    content = "text"
    endings = (".txt",)

    def batches(self, on_reject: OnReject) -> Iterator[pa.RecordBatch]:
        """Record batches of texts and classes; a file that is empty or not UTF-8 is rejected.

        Raises:
          DataError: see `folders`; a file cannot be read; no file holds a text.
        """
        yield from some_rows(self._batches(on_reject), self.path)

    def _batches(self, on_reject: OnReject) -> Iterator[pa.RecordBatch]:
        texts = self._texts(on_reject)
        while part := list(itertools.islice(texts, _BATCH_FILES)):
            yield self.batch([file for file, _ in part], [text for _, text in part])

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
