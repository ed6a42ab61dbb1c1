"""Images with a hole."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import tensorflow as tf

from pipeline.data.augment.check import check_range
from pipeline.data.augment.examples import Examples
from pipeline.data.augment.images import change_each
from pipeline.data.augment.keyed import uniform


@dataclass(frozen=True)
class Erase:
    """Paints over a random rectangle of each image with its mean colour.

    DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout" (2017); the changing size
    and ratio are those of Zhong and others, "Random Erasing Data Augmentation" (AAAI 2020).

    Args:
      fraction: of the images that get a hole, 0 to 1.
      area: of the hole at most, as a part of the image's, 0 to 1.
    """

    fraction: float = 0.5
    area: float = 0.25
    part: ClassVar[str] = "image"
    mixes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_range(self, "fraction", 0, 1)
        check_range(self, "area", 0, 1)

    def __call__(self, examples: Examples, keys: tf.Tensor) -> Examples:
        """The same examples, some of their images with a hole."""
        numbers = uniform(keys, 5)
        chosen = tf.cast(numbers[:, :1] < self.fraction, tf.float32)
        parameters = tf.concat([chosen * self.area * numbers[:, 1:2], numbers[:, 2:]], axis=1)
        return examples.with_features(image=change_each(examples.features["image"], parameters, _erase))


def _erase(pixels: np.ndarray, numbers: np.ndarray, out: np.ndarray) -> None:
    out[:] = pixels
    top, bottom, left, right = rectangle(pixels.shape[0], pixels.shape[1], *numbers.tolist())
    if bottom > top and right > left:
        out[top:bottom, left:right] = np.rint(pixels.mean(axis=(0, 1))).astype(np.uint8)


def rectangle(
    height: int, width: int, area: float, ratio: float, down: float, right: float
) -> tuple[int, int, int, int]:
    """A rectangle inside an image as (top, bottom, left, right), in pixels.

    Args:
      height, width: of the image.
      area: of the rectangle, as a part of the image's.
      ratio: 0 to 1, for one half to twice as high as wide, in relation to the image.
      down, right: 0 to 1, where it lies.
    """
    stretched = 2.0 ** (ratio - 0.5)
    rows = min(round(height * math.sqrt(area) * stretched), height)
    columns = min(round(width * math.sqrt(area) / stretched), width)
    top, left = int(down * (height - rows + 1)), int(right * (width - columns + 1))
    return top, top + rows, left, left + columns
