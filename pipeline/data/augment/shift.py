"""Moved images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import tensorflow as tf

from pipeline.data.augment.check import check_range
from pipeline.data.augment.examples import Examples
from pipeline.data.augment.images import change_each
from pipeline.data.augment.keyed import uniform


@dataclass(frozen=True)
class Shift:
    """Moves each image by whole pixels, both ways independently; the border's pixels fill the gap.

    Args:
      fraction: at most so much of the height and of the width, 0 to 0.5.
    """

    fraction: float = 0.1
    part: ClassVar[str] = "image"
    mixes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_range(self, "fraction", 0, 0.5)

    def __call__(self, examples: Examples, keys: tf.Tensor) -> Examples:
        """The same examples, their images moved."""
        image = examples.features["image"]
        most = tf.floor(tf.cast(tf.shape(image)[1:3], tf.float32) * self.fraction + 0.5)
        # Each whole number from -most to most equally often.
        offsets = tf.floor(uniform(keys, 2) * (2 * most + 1)) - most
        return examples.with_features(image=change_each(image, offsets, _move, _move_all))


def _move(pixels: np.ndarray, offsets: np.ndarray, out: np.ndarray) -> None:
    (height, width), (down, right) = pixels.shape[:2], offsets.astype(int)
    # Beyond a border there is its last pixel: the rows and columns that stay, then those that are repeated.
    y, x = (min(max(down, 1 - height), height - 1), min(max(right, 1 - width), width - 1))
    top, left = max(y, 0), max(x, 0)
    bottom, end = height + min(y, 0), width + min(x, 0)
    out[top - y : bottom - y, left - x : end - x] = pixels[top:bottom, left:end]
    out[top - y : bottom - y, : left - x] = pixels[top:bottom, left : left + 1]
    out[top - y : bottom - y, end - x :] = pixels[top:bottom, end - 1 : end]
    out[: top - y] = out[top - y]
    out[bottom - y :] = out[bottom - y - 1]


def _move_all(pixels: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    most = int(np.abs(offsets).max(initial=0))
    padded = np.pad(pixels, ((0, 0), (most, most), (most, most), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, pixels.shape[1:3], axis=(1, 2))
    down, right = offsets.astype(int).T + most
    return np.moveaxis(windows[np.arange(len(pixels)), down, right], 1, 3)
