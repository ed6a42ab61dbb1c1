"""Larger and smaller images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import tensorflow as tf

from pipeline.data.augment.check import check_range
from pipeline.data.augment.examples import Examples
from pipeline.data.augment.images import change_each, scaled_around_center, warp_affine
from pipeline.data.augment.keyed import uniform


@dataclass(frozen=True)
class Zoom:
    """Enlarges or shrinks each image around its center, bilinearly; the border's pixels go on around a shrunken one.

    Args:
      fraction: at most so much smaller or larger is the part of the plane that is seen, 0 to 0.9.
    """

    fraction: float = 0.15
    part: ClassVar[str] = "image"
    mixes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_range(self, "fraction", 0, 0.9)

    def __call__(self, examples: Examples, keys: tf.Tensor) -> Examples:
        """The same examples, their images larger or smaller."""
        scales = uniform(keys, 1, 1 - self.fraction, 1 + self.fraction)
        return examples.with_features(image=change_each(examples.features["image"], scales, _zoom))


def _zoom(pixels: np.ndarray, scale: np.ndarray, out: np.ndarray) -> None:
    warp_affine(pixels, scaled_around_center(pixels, np.eye(2) * float(scale[0])), out)
