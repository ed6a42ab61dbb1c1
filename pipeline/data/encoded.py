"""Images kept as they came, JPEG or PNG, and decoded at every read: for data whose pixels would not fit on the disk.

Decoding costs most of a training step on small networks: a store of pixels is 15 to 40 times quicker to read, and
larger by as much as JPEG compresses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.data.pixels import Mode, map_pixels

if TYPE_CHECKING:
    import tensorflow as tf


# In place of a dtype, where a store describes its columns.
ENCODED = "encoded"


class EncodedWriter:
    """Writes `NAME.bin`, the images one after another, and `NAME.offsets.bin`, int64: where each begins, and the end.

    Args:
      directory: exists.
      name: of the column.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self._images = (directory / f"{name}.bin").open("wb")
        self._offsets = _offsets_path(directory, name).open("wb")
        self._end = 0
        self._offsets.write(np.int64(0).tobytes())

    def append(self, images: np.ndarray) -> None:
        """Adds rows: bytes (object) [rows, images of a row], b"" where there is none."""
        flat = images.ravel().tolist()
        ends = self._end + np.cumsum([len(image) for image in flat], dtype=np.int64)
        self._images.write(b"".join(flat))
        self._offsets.write(ends.tobytes())
        self._end = int(ends[-1]) if len(ends) else self._end

    def close(self) -> None:
        """Writes what is left."""
        self._images.close()
        self._offsets.close()


@dataclass(frozen=True)
class EncodedImages:
    """A column of images, decoded when they are asked for; the same pixels as a store of pixels, bit for bit.

    Args:
      directory, name: of an `EncodedWriter`.
      num_rows: of the column.
      shape: (height, width, channels) of what is decoded, the channels of all images of a row.
      images: (channels, mode) of each image of a row; see `pipeline.data.pixels.load_pixels`.

    Example:
      >>> import tempfile
      >>> from pipeline.data.sources.png import encode_png
      >>> folder = Path(tempfile.mkdtemp())
      >>> writer = EncodedWriter(folder, "image")
      >>> png = encode_png(np.full((1, 2, 2), 9, np.uint8))[0].as_py()
      >>> writer.append(np.array([[png], [b""]], object))
      >>> writer.close()
      >>> images = EncodedImages(folder, "image", 2, (2, 2, 1), ((1, "stretch"),))
      >>> images[np.array([1, 0, 0])].max(axis=(1, 2, 3)).tolist()
      [0, 9, 9]
    """

    directory: Path
    name: str
    num_rows: int
    shape: tuple[int, int, int]
    images: tuple[tuple[int, Mode], ...]

    def __len__(self) -> int:
        return self.num_rows

    def __getitem__(self, indices: np.ndarray | slice) -> np.ndarray:
        """The pixels of some rows: uint8 [n, height, width, channels]."""
        pixels: np.ndarray = self._decode_traced(np.arange(self.num_rows)[indices]).numpy()
        return pixels

    @property
    def nbytes(self) -> int:
        """On the disk."""
        return int(self._offsets[-1]) + self._offsets.nbytes

    def read(self, rows: np.ndarray) -> np.ndarray:
        """The encoded images of rows (int64 [n]): bytes (object) [n, images of a row]."""
        columns = len(self.images)
        found = np.empty((len(rows), columns), object)
        for place, row in enumerate(rows.tolist()):
            bounds = self._offsets[row * columns : (row + 1) * columns + 1].tolist()
            found[place] = [self._bytes[start:end].tobytes() for start, end in pairwise(bounds)]
        return found

    def decode(self, rows: tf.Tensor) -> tf.Tensor:
        """The pixels of rows within a graph, such as that of `Dataset.map`.

        Args:
          rows: int64 [n].

        Returns:
          uint8 [n, height, width, channels].

        Raises:
          tf.errors.OpError: an image cannot be decoded; `prepare` decoded each of them.
        """
        import tensorflow as tf

        encoded = tf.ensure_shape(tf.numpy_function(self.read, [rows], tf.string), [None, len(self.images)])
        height, width, _ = self.shape
        pixels = [
            map_pixels(encoded[:, place], height, width, channels, mode)
            for place, (channels, mode) in enumerate(self.images)
        ]
        return tf.concat(pixels, axis=-1)

    @cached_property
    def _decode_traced(self) -> Any:
        import tensorflow as tf

        return tf.function(self.decode, input_signature=[tf.TensorSpec([None], tf.int64)])

    @cached_property
    def _offsets(self) -> np.ndarray:
        return np.memmap(_offsets_path(self.directory, self.name), np.int64, "r")

    @cached_property
    def _bytes(self) -> np.ndarray:
        path = self.directory / f"{self.name}.bin"
        return np.memmap(path, np.uint8, "r") if path.stat().st_size else np.empty(0, np.uint8)


def encoded_form(shape: Sequence[int], images: Sequence[tuple[int, Mode]]) -> list[Any]:
    """How a store describes such a column, as JSON holds it; `encoded_column` reads it.

    >>> encoded_form((64, 64, 4), ((3, "crop"), (1, "pad")))
    ['encoded', [64, 64, 4], [[3, 'crop'], [1, 'pad']]]
    """
    return [ENCODED, list(shape), [list(image) for image in images]]


def encoded_column(directory: Path, name: str, num_rows: int, form: Sequence[Any]) -> EncodedImages:
    """The column of that form."""
    height, width, channels = form[1]
    images = tuple((channels, mode) for channels, mode in form[2])
    return EncodedImages(directory, name, num_rows, (height, width, channels), images)


def _offsets_path(directory: Path, name: str) -> Path:
    return directory / f"{name}.offsets.bin"
