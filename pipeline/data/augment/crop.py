"""Enlarged cuttings of images."""

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
class Crop:
    """Cuts a random window out of each image and brings it back to the image's size, bilinearly.

    The random-sized crop of Szegedy and others, "Going Deeper with Convolutions" (CVPR 2015), with the image's own
    ratio of width to height.

    Args:
      fraction: at most so much of the height and of the width is cut away, 0 to 0.9.
    """

    fraction: float = 0.2
    part: ClassVar[str] = "image"
    mixes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_range(self, "fraction", 0, 0.9)

    def __call__(self, examples: Examples, keys: tf.Tensor) -> Examples:
        """The same examples, their images cut and enlarged."""
        numbers = uniform(keys, 3) * tf.constant([self.fraction, 1.0, 1.0])
        return examples.with_features(image=change_each(examples.features["image"], numbers, _cut))


def _cut(pixels: np.ndarray, numbers: np.ndarray, out: np.ndarray) -> None:
    import cv2

    height, width = pixels.shape[:2]
    part, down, right = numbers.tolist()
    rows, columns = max(round(height * (1 - part)), 1), max(round(width * (1 - part)), 1)
    top, left = int(down * (height - rows + 1)), int(right * (width - columns + 1))
    window = pixels[top : top + rows, left : left + columns]
    out[:] = cv2.resize(window, (width, height), interpolation=cv2.INTER_LINEAR).reshape(out.shape)
