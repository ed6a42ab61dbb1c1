"""What an encoded image is, found without TensorFlow and without decoding it in full."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.data.keys import bytes_key
from pipeline.data.twins.images import draft_size, signature
from pipeline.errors import DataError

# What TensorFlow's decoder and ours both read.
FORMATS = ("JPEG", "PNG")
_GREY = ("1", "L", "I", "I;16", "LA")


@dataclass(frozen=True)
class Looked:
    """What a look at an image tells.

    Attributes:
      height, width: in pixels.
      channels: 1 or 3.
      key: the hash of its bytes.
      signature: what near twins have nearly in common, see `pipeline.data.twins.images`.
    """

    height: int
    width: int
    channels: int
    key: np.uint64
    signature: bytes


def look(image: str | bytes) -> Looked:
    """Looks at an image; its data are read to the end, a JPEG's at an eighth of its size.

    Args:
      image: a path, or the encoded bytes.

    Raises:
      DataError: it cannot be read, is damaged or cut short, or is neither JPEG nor PNG.
    """
    name = image if isinstance(image, str) else "the image"
    try:
        data = Path(image).read_bytes() if isinstance(image, str) else image
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            width, height = opened.size
            channels = 1 if opened.mode in _GREY else 3
            opened.draft("L", draft_size(width, height))
            opened.load()
            return Looked(height, width, channels, bytes_key(data), signature(opened, full_size=(width, height)))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(
            f"{name} is no readable image: {_reason(image, error)}",
            expected="a whole JPEG or PNG",
            fix="Replace or remove it.",
        ) from error


def look_all(images: Sequence[str | bytes | None]) -> Iterator[Looked | DataError | None]:
    """`look` at each, in order, several at a time; an image that cannot be read gives its error, a missing one None."""
    with ThreadPoolExecutor() as pool:
        yield from pool.map(_look, images)


def _look(image: str | bytes | None) -> Looked | DataError | None:
    try:
        return None if image is None or image == b"" else look(image)
    except DataError as error:
        return error


def _reason(image: str | bytes, error: Exception) -> str:
    if isinstance(image, str) and _is_empty(image):
        return "it is empty"
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    return str(error).replace("<_io.BytesIO", "<")


def _is_empty(path: str) -> bool:
    try:
        return Path(path).stat().st_size == 0
    except OSError:
        return False
