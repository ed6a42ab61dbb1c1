"""Lighter and darker images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import tensorflow as tf

from pipeline.data.augment.check import check_range
from pipeline.data.augment.examples import Examples
from pipeline.data.augment.images import LEVELS, change_each, look_up, to_bytes
from pipeline.data.augment.keyed import uniform


@dataclass(frozen=True)
class Brightness:
    """Adds one number to all pixels of an image, which stay between 0 and 255.

    Args:
      fraction: at most so much of 255, either way, 0 to 1.
    """

    fraction: float = 0.2
    part: ClassVar[str] = "image"
    mixes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_range(self, "fraction", 0, 1)

    def __call__(self, examples: Examples, keys: tf.Tensor) -> Examples:
        """The same examples, their images lighter or darker."""
        added = 255 * uniform(keys, 1, -self.fraction, self.fraction)
        return examples.with_features(image=change_each(examples.features["image"], added, _add, _add_all))


def _add(pixels: np.ndarray, added: np.ndarray, out: np.ndarray) -> None:
    look_up(pixels, to_bytes(LEVELS + np.rint(added[0])), out)


def _add_all(pixels: np.ndarray, added: np.ndarray) -> np.ndarray:
    found = pixels.astype(np.int16)  # holds every sum
    found += np.rint(added).astype(np.int16)[:, :, np.newaxis, np.newaxis]
    return np.clip(found, 0, 255, out=found).astype(np.uint8)
