"""What an encoded image is: its size, its hash, what its twins have in common, and its pixels where they are wanted."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from pipeline.data.keys import bytes_key
from pipeline.data.pixels import pixels_of
from pipeline.data.twins.images import draft_size, signature
from pipeline.errors import DataError
from pipeline.tensorflow_import import import_tensorflow

# What TensorFlow's decoder and ours both read.
FORMATS = ("JPEG", "PNG")
_GREY = ("1", "L", "I", "I;16", "LA")
# What twins are told by needs so many pixels.
_LEAST_SIDE = 24
_UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


@dataclass(frozen=True)
class Looked:
    """What a look at an image tells.

    Attributes:
      height, width: in pixels.
      channels: 1 or 3.
      key: the hash of its bytes.
      signature: what near twins have nearly in common, see `pipeline.data.twins.images`.
      pixels: uint8 [height, width, 3] in the size that was asked for, as bytes; None: none was.
    """

    height: int
    width: int
    channels: int
    key: np.uint64
    signature: bytes
    pixels: bytes | None = None


def look(image: str | bytes) -> Looked:
    """Looks at an image; its data are read to the end, a JPEG's at an eighth of its size.

    Args:
      image: a path, or the encoded bytes.

    Raises:
      DataError: it cannot be read, is damaged or cut short, or is neither JPEG nor PNG.
    """
    try:
        data = Path(image).read_bytes() if isinstance(image, str) else image
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            width, height = opened.size
            channels = 1 if opened.mode in _GREY else 3
            opened.draft("L", draft_size(width, height))
            opened.load()
            return Looked(height, width, channels, bytes_key(data), signature(opened, full_size=(width, height)))
    except _UNREADABLE as error:
        raise _unreadable(image, error) from error


def look_all(
    images: Sequence[str | bytes | None], size: tuple[int, int] | None = None
) -> Iterator[Looked | DataError | None]:
    """`look` at each, in order, several at a time; an image that cannot be read gives its error, a missing one None.

    Args:
      images: paths or encoded bytes.
      size: height and width of the pixels to bring along. Larger images are then decoded only once.
    """
    if size is not None and min(size) >= _LEAST_SIDE:
        yield from _with_pixels(list(map(_head, images)), size)
        return
    with ThreadPoolExecutor() as pool:
        yield from pool.map(_look, images)


@dataclass(frozen=True)
class _Head:
    """What stands at the beginning of a file, and the file."""

    name: str | bytes
    data: bytes
    height: int
    width: int
    channels: int


def _head(image: str | bytes | None) -> _Head | DataError | None:
    if image is None or image == b"":
        return None
    try:
        data = Path(image).read_bytes() if isinstance(image, str) else image
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            width, height = opened.size
            return _Head(image, data, height, width, 1 if opened.mode in _GREY else 3)
    except _UNREADABLE as error:
        return _unreadable(image, error)


def _with_pixels(heads: list[_Head | DataError | None], size: tuple[int, int]) -> Iterator[Looked | DataError | None]:
    decoded = iter(_decoded([head for head in heads if isinstance(head, _Head)], size))
    for head in heads:
        yield _looked(head, next(decoded)) if isinstance(head, _Head) else head


def _looked(head: _Head, pixels: np.ndarray | DataError) -> Looked | DataError | None:
    if isinstance(pixels, DataError):
        return pixels
    if max(head.height, head.width) < max(pixels.shape[:2]):
        found = _look(head.data)  # enlarged pixels would make a small image look like a large one
        return replace(found, pixels=pixels.tobytes()) if isinstance(found, Looked) else found
    grey = Image.fromarray(pixels).convert("L")
    return Looked(head.height, head.width, head.channels, bytes_key(head.data), signature(grey), pixels.tobytes())


def _decoded(heads: list[_Head], size: tuple[int, int]) -> list[np.ndarray | DataError]:
    """Colored pixels of each; where one of many cannot be decoded, halves are tried."""
    import_tensorflow()
    try:
        return list(pixels_of([head.data for head in heads], *size, 3))
    except Exception as error:  # of TensorFlow, which is not to be imported here
        if len(heads) == 1:
            looked = _look(heads[0].name)
            return [looked if isinstance(looked, DataError) else _unreadable(heads[0].name, error)]
        half = len(heads) // 2
        return _decoded(heads[:half], size) + _decoded(heads[half:], size)


def _look(image: str | bytes | None) -> Looked | DataError | None:
    try:
        return None if image is None or image == b"" else look(image)
    except DataError as error:
        return error


def _unreadable(image: str | bytes, error: Exception) -> DataError:
    name = image if isinstance(image, str) else "the image"
    return DataError(
        f"{name} is no readable image: {_reason(image, error)}",
        expected="a whole JPEG or PNG",
        fix="Replace or remove it.",
    )


def _reason(image: str | bytes, error: Exception) -> str:
    if isinstance(image, str) and _is_empty(image):
        return "it is empty"
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, UnidentifiedImageError):  # it would name an object in memory
        return "it begins as no known format does"
    return str(error)


def _is_empty(path: str) -> bool:
    try:
        return Path(path).stat().st_size == 0
    except OSError:
        return False
