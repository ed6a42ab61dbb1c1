"""IDX files, the format of MNIST and its likes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.data.kinds import Kind
from pipeline.data.sides import SIDE_OF_NAME, SIDES, TEST
from pipeline.data.sources.array_columns import check_array, columns_of, rows_in_a_part
from pipeline.data.sources.class_folders import label_name
from pipeline.data.sources.files import fingerprint_of, places_in, some_rows
from pipeline.data.sources.idx_stream import IdxHeader, idx_header, idx_parts
from pipeline.data.sources.source import OnReject, Place
from pipeline.errors import DataError
from pipeline.hashing import FileHashes

# "train-images-idx3-ubyte.gz", "train-images.idx3-ubyte"
_NAME = re.compile(r"(?P<set>.*?)[-_.]?(?P<part>images|labels)[-_.]idx\d-\w+(\.gz)?", re.IGNORECASE)
_SIDE_OF_NAME = {**SIDE_OF_NAME, "t10k": TEST}


@dataclass(frozen=True)
class Idx:
    """Images, or rows of numbers, and their labels in IDX files.

    In a folder, `train-images-idx3-ubyte` is joined with `train-labels-idx1-ubyte`, and `t10k-images...` likewise;
    `.gz` is unpacked on the way. Three or four axes of uint8 become a column `image`, two axes of any type become the
    columns `x_0`, `x_1`, ... With several pairs there is a column `split`.

    Args:
      path: the folder, or one file of images.
      label: name to give the column of the labels, which are taken as names of classes.

    Example:
      >>> from pipeline.data.sources import Idx
      >>> Idx("mnist", label="digit").label
      'digit'
    """

    path: str
    label: str | None = "label"

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", label_name(self.label, "image"))

    @property
    def kinds(self) -> dict[str, Kind]:
        """The label: the numbers are names; and the image, if that is what the file holds, which is looked up."""
        images = next(iter(self.pairs.values()))[0]
        image: dict[str, Kind] = {"image": "image"} if len(images.shape) > 2 else {}
        return {**image, str(self.label): "categorical"}

    @cached_property
    def pairs(self) -> dict[str, tuple[IdxHeader, IdxHeader]]:
        """Images and labels by their side, train first; where there is one pair only, of the side "".

        Raises:
          DataError: no images, no labels to images, several images of one side, numbers that differ, damaged headers.
        """
        here = Path(self.path)
        if here.is_dir():
            found = _images_in(here)
        else:
            idx_header(here)  # refuses what is not there
            found = {"": here}
        pairs = {side: (idx_header(images), idx_header(_labels_of(images))) for side, images in found.items()}
        for images, labels in pairs.values():
            _check_pair(images, labels)
        return pairs

    def fingerprint(self, hashes: FileHashes) -> str:
        """The hash of the files' bytes and of how they are read."""
        files = [header.file for pair in self.pairs.values() for header in pair]
        return f"idx-{self.label}-{','.join(self.pairs)}-{fingerprint_of(files, hashes)}"

    def batches(self, on_reject: OnReject) -> Iterator[pa.RecordBatch]:
        """Record batches of some megabytes of pixels, images as PNG.

        Raises:
          DataError: see `pairs`; a file is damaged or cut short; no rows.
        """
        yield from some_rows(self._batches(), self.path)

    def places(self, rows: Sequence[int]) -> list[Place]:
        """The file of images, and the number of the image in it, from 1."""
        return places_in(((str(images.file), images.shape[0]) for images, _ in self.pairs.values()), rows)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        for side, (images, labels) in self.pairs.items():
            name = "image" if len(images.shape) > 2 else "x"
            rows = rows_in_a_part({name: images.shape}, {name: images.dtype})
            for values, numbers in zip(idx_parts(images, rows), idx_parts(labels, rows), strict=True):
                columns = columns_of(name, values, str(images.file))
                columns[str(self.label)] = pc.cast(pa.array(numbers), pa.string())
                if side:
                    columns["split"] = pa.array([side] * len(numbers))
                yield pa.RecordBatch.from_pydict(columns)


def _images_in(folder: Path) -> dict[str, Path]:
    """The files of images by their side."""
    try:
        names = sorted(file.name for file in folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}.") from error
    found: dict[str, Path] = {}
    for name in names:
        match = _NAME.fullmatch(name)
        if not match or match["part"].lower() != "images":
            continue
        words = re.split(r"[-_.]", match["set"].lower())
        side = next((SIDES[_SIDE_OF_NAME[word]] for word in words if word in _SIDE_OF_NAME), "")
        other = found.setdefault(side, folder / name)
        # The same file packed and unpacked is no contradiction; the unpacked one sorts first and is read faster.
        if other.name not in (name, name.removesuffix(".gz")):
            of_side = f" of {side}" if side else ""
            raise DataError(f"{folder} holds several files of images{of_side}: {other.name}, {name}.", expected="one",
                            fix="Name one of them as the path.")  # fmt: skip
    if not found:
        raise DataError(f"{folder} holds no IDX images.", expected="files such as train-images-idx3-ubyte.gz")
    if len(found) == 1:
        return {"": next(iter(found.values()))}
    if "" in found:
        raise DataError(
            f"{found['']} belongs to no side, while others do.", expected=f"one of {', '.join(SIDES)} in it"
        )
    return {side: found[side] for side in SIDES if side in found}


def _labels_of(images: Path) -> Path:
    """The labels beside a file of images."""
    match = _NAME.fullmatch(images.name)
    if match and match["part"].lower() == "images":
        for file in sorted(images.parent.iterdir()):
            other = _NAME.fullmatch(file.name)
            if other and other["part"].lower() == "labels" and other["set"] == match["set"]:
                return file
    expected = re.sub("images", "labels", re.sub(r"idx\d", "idx1", images.name))
    if expected == images.name:
        raise DataError(f"{images} is not named as IDX images are.", expected="a name such as train-images-idx3-ubyte")
    raise DataError(f"{images} has no labels beside it.", expected=f"a file {expected}")


def _check_pair(images: IdxHeader, labels: IdxHeader) -> None:
    check_array(str(images.file), images.dtype, images.shape)
    if len(images.shape) < 2:
        raise DataError(f"{images.file} has 1 axis.", expected="at least 2: rows, and what stands in them")
    if len(labels.shape) != 1 or labels.dtype.kind not in "iu":
        raise DataError(f"{labels.file} has {len(labels.shape)} axes of type {labels.dtype.name}.",
                        expected="labels: 1 axis of whole numbers")  # fmt: skip
    if images.shape[0] != labels.shape[0]:
        raise DataError(
            f"{images.file} holds {images.shape[0]:,} images, {labels.file.name} holds {labels.shape[0]:,} labels.",
            expected="as many labels as images",
        )
