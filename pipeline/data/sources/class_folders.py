"""Folders in which each class has a folder of its own, perhaps below one folder a split."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa

from pipeline.data.kinds import Kind
from pipeline.data.sides import SIDE_OF_NAME, TRAIN
from pipeline.errors import ConfigError, DataError
from pipeline.hashing import FileHashes


@dataclass(frozen=True)
class ClassFolders:
    """The files of `CLASS/file`, or of `train/CLASS/file` and `test/CLASS/file`.

    Attributes:
      root: the folder.
      files: in the order of their paths.
      has_split: whether the uppermost folders are the sides of a split.
    """

    root: Path
    files: tuple[Path, ...]
    has_split: bool

    def columns(self, files: Sequence[Path], label: str) -> dict[str, list[str]]:
        """What the folders tell about some of the files: the class as `label`, and the `split` if there is one."""
        columns = {label: [file.parent.name for file in files]}
        if self.has_split:
            columns["split"] = [file.relative_to(self.root).parts[0] for file in files]
        return columns

    def fingerprint(self, hashes: FileHashes) -> str:
        """The hash of every file's name below the root, and of its content."""
        digest = hashlib.blake2b(digest_size=16)
        for file in self.files:
            try:
                content = hashes.of(file)
            except OSError as error:
                raise DataError(f"{file} cannot be read: {error.strerror}.") from error
            digest.update(f"{file.relative_to(self.root)}={content}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()


@dataclass(frozen=True)
class ClassFolderSource:
    """Files in class folders as rows: a column for the content, one for the class, perhaps one for the `split`.

    Attributes:
      path: the folder.
      label: name of the class's column.
      content: the kind of the files' content, and the name of its column.
      endings: of the files to take, in lower case.
    """

    content: ClassVar[Literal["image", "text"]]
    endings: ClassVar[tuple[str, ...]]

    path: str
    label: str | None = "label"

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", label_name(self.label, self.content))

    @property
    def kinds(self) -> dict[str, Kind]:
        """The content, and the label: a folder "007" is a name, not the number 7."""
        return {self.content: self.content, str(self.label): "categorical"}

    @cached_property
    def folders(self) -> ClassFolders:
        """Every file, in the order of the paths.

        Raises:
          DataError: no such folder, unreadable, or no class folder with such a file in it.
        """
        return class_folders(self.path, self.endings, f"{self.content}s")

    def fingerprint(self, hashes: FileHashes) -> str:
        """The hash of every file's name and content."""
        return f"{self.content}s-{self.label}-{self.folders.fingerprint(hashes)}"

    def batch(self, files: Sequence[Path], contents: Sequence[Any]) -> pa.RecordBatch:
        """The rows of some of the files: what they hold, and what their folders tell."""
        columns = {self.content: contents, **self.folders.columns(files, str(self.label))}
        return pa.RecordBatch.from_pydict({name: pa.array(values) for name, values in columns.items()})


def class_folders(path: str, endings: Sequence[str], content: str) -> ClassFolders:
    """Finds the files; those with other endings, and those beside the class folders, are left alone.

    Args:
      path: of the folder.
      endings: in lower case: (".jpg", ".png").
      content: for errors: "images".

    Raises:
      DataError: no such folder, unreadable, or no class folder with a file of such an ending in it.
    """
    root = Path(path)
    if not root.is_dir():
        raise DataError(f"{root} is not a folder." if root.exists() else f"{root} does not exist.",
                        expected=f"a folder with one folder of {content} a class")  # fmt: skip
    try:
        has_split = _has_split(root)
        found = [file for file in _walk(root) if file.suffix.lower() in endings]
    except OSError as error:
        raise DataError(f"{error.filename or root} cannot be read: {error.strerror}.") from error
    for file in found:
        _check_name(file)
    depth = 3 if has_split else 2
    files = tuple(sorted(file for file in found if len(file.relative_to(root).parts) == depth))
    if not files:
        ending = endings[0] if len(endings) == 1 else f"{{{','.join(endings)}}}"
        raise DataError(
            f"{root} holds no {content} in class folders.",
            expected=f"{root.name}/CLASS/*{ending}, or a split's folder above CLASS",
        )
    return ClassFolders(root, files, has_split)


def label_name(label: str | None, content: str) -> str:
    """The name of the label's column; "label" where none is given.

    Raises:
      ConfigError: another column has that name.
    """
    if label in (content, "split"):
        raise ConfigError(
            f'"label" is "{label}", the name of another column.', expected="a name for the column of the folders' names"
        )
    return label or "label"


def _has_split(root: Path) -> bool:
    folders = [path.name.lower() for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
    sides = {SIDE_OF_NAME.get(name) for name in folders}
    return TRAIN in sides and None not in sides


def _check_name(file: Path) -> None:
    try:
        str(file).encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{str(file)!r} has a name that is not UTF-8.", fix="Rename it.") from error


def _walk(root: Path) -> Iterator[Path]:
    """Every file below `root`; unlike `Path.rglob`, an unreadable folder is an error, not an empty one."""

    def refuse(error: OSError) -> None:
        raise error

    for folder, _, names in os.walk(root, onerror=refuse):
        yield from (Path(folder, name) for name in names)
