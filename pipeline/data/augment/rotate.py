"""Turned images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import tensorflow as tf

from pipeline.data.augment.check import check_range
from pipeline.data.augment.examples import Examples
from pipeline.data.augment.images import change_each, scaled_around_center, warp_affine
from pipeline.data.augment.keyed import uniform


@dataclass(frozen=True)
class Rotate:
    """Turns each image around its center, bilinearly; the border's pixels fill the corners.

    Args:
      degrees: at most so far either way, 0 to 180.
    """

    degrees: float = 10.0
    part: ClassVar[str] = "image"
    mixes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_range(self, "degrees", 0, 180)

    def __call__(self, examples: Examples, keys: tf.Tensor) -> Examples:
        """The same examples, their images turned."""
        angles = uniform(keys, 1, -self.degrees, self.degrees)
        return examples.with_features(image=change_each(examples.features["image"], angles, turn))


def turn(pixels: np.ndarray, degrees: np.ndarray, out: np.ndarray) -> None:
    """Turns one image, counterclockwise; see `change_each`."""
    angle = math.radians(float(degrees[0]))
    matrix = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    warp_affine(pixels, scaled_around_center(pixels, matrix), out)
