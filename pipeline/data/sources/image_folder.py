"""Folders of images: one folder a class, perhaps below one folder a split."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from pipeline.data.sides import SIDE_OF_NAME, TRAIN
from pipeline.data.sources.source import BATCH_ROWS
from pipeline.errors import DataError
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
    """

    path: str
    label: str | None = "label"

    images = ("image",)

    def __post_init__(self) -> None:
        if self.label is None:
            object.__setattr__(self, "label", "label")

    @property
    def categorical(self) -> tuple[str, ...]:
        """The label: a folder "007" is a name, not the number 7."""
        return (str(self.label),)

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """Every image, in the order of the paths.

        Raises:
          DataError: no such folder, unreadable, or no class folder with an image in it.
        """
        root = Path(self.path)
        if not root.is_dir():
            raise DataError(f"{root} is not a folder." if root.exists() else f"{root} does not exist.",
                            expected="a folder with one folder of images a class")  # fmt: skip
        try:
            depth = 3 if self._splits(root) else 2
            found = [path for path in _walk(root) if path.suffix.lower() in ENDINGS]
        except OSError as error:
            raise DataError(f"{error.filename or root} cannot be read: {error.strerror}.") from error
        files = tuple(sorted(path for path in found if len(path.relative_to(root).parts) == depth))
        if not files:
            raise DataError(
                f"{root} holds no images in class folders.",
                expected=f"{root.name}/CLASS/*{{{','.join(ENDINGS)}}}, or a split's folder above CLASS",
            )
        return files

    def fingerprint(self, hashes: FileHashes) -> str:
        """The hash of every file's name and content."""
        root = Path(self.path)
        digest = hashlib.blake2b(digest_size=16)
        for file in self.files:
            try:
                content = hashes.of(file)
            except OSError as error:
                raise DataError(f"{file} cannot be read: {error.strerror}.") from error
            digest.update(f"{file.relative_to(root)}={content}\n".encode())
        return f"images-{self.label}-{digest.hexdigest()}"

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Record batches of paths and classes. The files themselves are opened by whoever needs them."""
        root = Path(self.path)
        for start in range(0, len(self.files), BATCH_ROWS):
            files = self.files[start : start + BATCH_ROWS]
            columns = {"image": [str(file) for file in files], str(self.label): [file.parent.name for file in files]}
            if self._splits(root):
                columns["split"] = [file.relative_to(root).parts[0] for file in files]
            yield pa.RecordBatch.from_pydict({name: pa.array(values) for name, values in columns.items()})

    def locate(self, row: int) -> str:
        """The file."""
        return str(self.files[row])

    def _splits(self, root: Path) -> bool:
        folders = [path.name.lower() for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
        sides = {SIDE_OF_NAME.get(name) for name in folders}
        return TRAIN in sides and None not in sides


def _walk(root: Path) -> Iterator[Path]:
    """Every file below `root`; unlike `Path.rglob`, an unreadable folder is an error, not an empty one."""

    def refuse(error: OSError) -> None:
        raise error

    for folder, _, names in os.walk(root, onerror=refuse):
        yield from (Path(folder, name) for name in names)
