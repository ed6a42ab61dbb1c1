"""Folders of images: one folder a class, perhaps below one folder a split."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from pipeline.data.kinds import Kind
from pipeline.data.sources.class_folders import ClassFolders, class_folders, label_name
from pipeline.data.sources.source import BATCH_ROWS, OnReject, Place
from pipeline.hashing import FileHashes

ENDINGS = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class ImageFolder:
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

    path: str
    label: str | None = "label"

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", label_name(self.label, "image"))

    @property
    def kinds(self) -> dict[str, Kind]:
        """The image and the label: a folder "007" is a name, not the number 7."""
        return {"image": "image", str(self.label): "categorical"}

    @cached_property
    def folders(self) -> ClassFolders:
        """Every image, in the order of the paths.

        Raises:
          DataError: no such folder, unreadable, or no class folder with an image in it.
        """
        return class_folders(self.path, ENDINGS, "images")

    def fingerprint(self, hashes: FileHashes) -> str:
        """The hash of every file's name and content."""
        return f"images-{self.label}-{self.folders.fingerprint(hashes)}"

    def batches(self, on_reject: OnReject) -> Iterator[pa.RecordBatch]:
        """Record batches of paths and classes. The files themselves are opened by whoever needs them."""
        for start in range(0, len(self.folders.files), BATCH_ROWS):
            files = self.folders.files[start : start + BATCH_ROWS]
            paths = [os.path.abspath(file) for file in files]
            columns = {"image": paths, **self.folders.columns(files, str(self.label))}
            yield pa.RecordBatch.from_pydict({name: pa.array(values) for name, values in columns.items()})

    def places(self, rows: Sequence[int]) -> list[Place]:
        """The files."""
        return [Place(str(self.folders.files[row])) for row in rows]
