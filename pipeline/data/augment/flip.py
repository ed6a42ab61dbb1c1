"""Mirror images."""

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
class Flip:
    """Mirrors images left to right, and upside down if asked to.

    Args:
      fraction: of the images that are mirrored left to right, 0 to 1.
      vertical_fraction: of those that are turned upside down, 0 to 1.
    """

    fraction: float = 0.5
    vertical_fraction: float = 0.0
    part: ClassVar[str] = "image"
    mixes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_range(self, "fraction", 0, 1)
        check_range(self, "vertical_fraction", 0, 1)

    def __call__(self, examples: Examples, keys: tf.Tensor) -> Examples:
        """The same examples, some of their images mirrored."""
        chosen = uniform(keys, 2) < tf.constant([self.fraction, self.vertical_fraction])
        return examples.with_features(
            image=change_each(examples.features["image"], tf.cast(chosen, tf.float32), _mirror, _mirror_all)
        )


def _mirror(pixels: np.ndarray, chosen: np.ndarray, out: np.ndarray) -> None:
    import cv2

    if not chosen.any():
        out[:] = pixels
    else:
        code = {(True, False): 1, (False, True): 0, (True, True): -1}[bool(chosen[0]), bool(chosen[1])]
        out[:] = cv2.flip(pixels, code).reshape(out.shape)


def _mirror_all(pixels: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    found = pixels.copy()
    for place, axis in ((0, 2), (1, 1)):
        rows = np.flatnonzero(chosen[:, place])
        found[rows] = np.flip(found[rows], axis)
    return found
