"""Images changed one by one by OpenCV, a whole batch in one operation of the graph.

TensorFlow's own image operations take 0.3 to 1 ms for a photo of 160 x 160 pixels (bilinear), and its `where` on bytes
as much; OpenCV flips one in 8 us and resizes a window in 40 us, without holding Python's lock meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

# (pixels uint8 [height, width, channels], parameters float32 [k], out of the same shape): fills `out`.
Change = Callable[[np.ndarray, np.ndarray, np.ndarray], None]
# (pixels uint8 [rows, height, width, channels], parameters float32 [rows, k]) -> uint8 of the same shape.
ChangeAll = Callable[[np.ndarray, np.ndarray], np.ndarray]
# Up to this size of an image a batch is changed by one operation of NumPy, beyond it image by image: starting an
# operation for each would take longer than the work, or the whole batch would not fit into the cache.
SMALL_BYTES = 8 << 10
# OpenCV's warps and its `transform` take at most so many channels at once.
_MAX_CHANNELS = 4
# Every value of a pixel.
LEVELS = np.arange(256, dtype=np.float64)


def change_each(
    image: tf.Tensor, parameters: tf.Tensor, change: Change, all_small: ChangeAll | None = None
) -> tf.Tensor:
    """Applies a change to each image.

    Args:
      image: uint8 [rows, height, width, channels].
      parameters: float32 [rows, k], of each image.
      change: see `Change`.
      all_small: the same for small images, all at once.

    Returns:
      uint8, of the same shape.
    """

    def apply(pixels: np.ndarray, parameters: np.ndarray) -> np.ndarray:
        if all_small is not None and pixels[:1].nbytes <= SMALL_BYTES:
            return np.ascontiguousarray(all_small(pixels, parameters))
        found = np.empty_like(pixels)
        for row in range(len(pixels)):
            change(pixels[row], parameters[row], found[row])
        return found

    return tf.ensure_shape(tf.numpy_function(apply, [image, parameters], tf.uint8), image.shape)


def warp_affine(pixels: np.ndarray, matrix: np.ndarray, out: np.ndarray) -> None:
    """Reads each output pixel, bilinearly, where the matrix says; the border's pixels go on beyond it.

    Args:
      pixels: uint8 [height, width, channels].
      matrix: float [2, 3], (x, y, 1) of the output to (x, y) of the input.
      out: uint8, of the same shape.
    """
    import cv2

    height, width, channels = pixels.shape
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    for first in range(0, channels, _MAX_CHANNELS):
        part = slice(first, first + _MAX_CHANNELS)
        warped = cv2.warpAffine(
            pixels[..., part], matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        out[..., part] = warped.reshape(out[..., part].shape)


def scaled_around_center(pixels: np.ndarray, matrix: Any) -> np.ndarray:
    """A 2 x 2 matrix as one of 2 x 3 that leaves the center of the image where it is: float64."""
    center = (np.asarray(pixels.shape[1::-1], np.float64) - 1) / 2
    linear = np.asarray(matrix, np.float64)
    return np.concatenate([linear, (center - linear @ center)[:, None]], axis=1)


def look_up(pixels: np.ndarray, table: np.ndarray, out: np.ndarray) -> None:
    """Replaces each value by that of a table, uint8 [256]."""
    import cv2

    out[:] = cv2.LUT(pixels, table).reshape(out.shape)


def look_up_all(pixels: np.ndarray, tables: np.ndarray) -> np.ndarray:
    """Replaces each value of each image by that of the image's own table.

    Args:
      pixels: uint8 [rows, height, width, channels].
      tables: uint8 [rows, 256].

    Returns:
      uint8, of the shape of the pixels.
    """
    firsts = np.arange(0, tables.size, 256, dtype=np.int32)  # where each table begins among all
    return tables.reshape(-1).take(pixels + firsts[:, np.newaxis, np.newaxis, np.newaxis])


def to_bytes(levels: np.ndarray) -> np.ndarray:
    """Rounded, and cut off at 0 and 255: uint8."""
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def mix_channels(pixels: np.ndarray, matrix: np.ndarray, out: np.ndarray) -> None:
    """Each channel of a colour image as a sum of all three, rounded and cut off at 0 and 255.

    Args:
      pixels: uint8 [height, width, 3].
      matrix: float [3, 3], of the output by the input.
      out: uint8, of the same shape.
    """
    import cv2

    cv2.transform(pixels, matrix, dst=out)
