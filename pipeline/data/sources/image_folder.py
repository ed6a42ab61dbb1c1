"""Folders of images: one folder a class, perhaps below one folder a split."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipeline.data.sources.class_folders import ClassFolderSource
from pipeline.data.sources.source import BATCH_ROWS, OnReject, Place

ENDINGS = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class ImageFolder(ClassFolderSource):
    """JPEG and PNG files as `CLASS/file.jpg`, or as `train/CLASS/file.jpg` and `test/CLASS/file.jpg`.

    Rows have an `image` (a path), the label (the folder's name) and, in the second form, a `split`.
    Files of other kinds, and files beside the class folders, are left alone.

    Args:
      path: the folder.
      label: name to give the column of the class.

    Example:
      >>> from pipeline.data.sources import ImageFolder
      >>> ImageFolder("photos", label="species").kinds
      {'image': 'image', 'species': 'categorical'}
    """

    content = "image"
    endings = ENDINGS

    def batches(self, on_reject: OnReject) -> Iterator[pa.RecordBatch]:
        """Record batches of paths and classes. The files themselves are opened by whoever needs them."""
        for start in range(0, len(self.folders.files), BATCH_ROWS):
            files = self.folders.files[start : start + BATCH_ROWS]
            yield self.batch(files, [os.path.abspath(file) for file in files])

    def places(self, rows: Sequence[int]) -> list[Place]:
        """The files."""
        return [Place(str(self.folders.files[row])) for row in rows]
