"""What an encoded image is, found without TensorFlow and without decoding it in full."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from pipeline.errors import DataError

# What TensorFlow's decoder and ours both read.
FORMATS = ("JPEG", "PNG")
_GREY = ("1", "L", "I", "I;16", "LA")


def probe(image: str | bytes) -> tuple[int, int, int]:
    """Height, width and channels (1 or 3) of an image; its data are read to the end, a JPEG's at an eighth of its size.

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
            opened.draft(opened.mode, (max(width // 8, 1), max(height // 8, 1)))
            opened.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = (
            "it is empty" if isinstance(image, str) and _is_empty(image) else str(error).replace("<_io.BytesIO", "<")
        )
        raise DataError(
            f"{name} is no readable image: {reason}", expected="a whole JPEG or PNG", fix="Replace or remove it."
        ) from error
    return height, width, channels


def probe_all(images: Sequence[str] | Sequence[bytes]) -> Iterator[tuple[int, int, int]]:
    """`probe` of each, in order, several at a time."""
    with ThreadPoolExecutor() as pool:
        yield from pool.map(probe, images)


def _is_empty(path: str) -> bool:
    try:
        return Path(path).stat().st_size == 0
    except OSError:
        return False
