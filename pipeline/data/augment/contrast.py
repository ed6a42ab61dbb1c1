"""Stronger and weaker contrasts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import tensorflow as tf

from pipeline.data.augment.check import check_range
from pipeline.data.augment.examples import Examples
from pipeline.data.augment.images import LEVELS, change_each, look_up, look_up_all, to_bytes
from pipeline.data.augment.keyed import uniform


@dataclass(frozen=True)
class Contrast:
    """Multiplies each pixel's distance from the mean of its image.

    Args:
      fraction: the factor is between 1 - fraction and 1 + fraction; 0 to 1.
    """

    fraction: float = 0.2
    part: ClassVar[str] = "image"
    mixes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_range(self, "fraction", 0, 1)

    def __call__(self, examples: Examples, keys: tf.Tensor) -> Examples:
        """The same examples, their images with more or less contrast."""
        factors = uniform(keys, 1, 1 - self.fraction, 1 + self.fraction)
        return examples.with_features(image=change_each(examples.features["image"], factors, stretch, _stretch_all))


def stretch(pixels: np.ndarray, factor: np.ndarray, out: np.ndarray) -> None:
    """Changes the contrast of one image; see `change_each`."""
    mean = pixels.mean()
    look_up(pixels, to_bytes(mean + (LEVELS - mean) * factor[0]), out)


def _stretch_all(pixels: np.ndarray, factors: np.ndarray) -> np.ndarray:
    means = pixels.mean(axis=(1, 2, 3))[:, np.newaxis]
    return look_up_all(pixels, to_bytes(means + (LEVELS - means) * factors))
