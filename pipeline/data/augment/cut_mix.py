"""Images with a piece of another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import tensorflow as tf

from pipeline.data.augment.check import check_range
from pipeline.data.augment.erase import rectangle
from pipeline.data.augment.examples import Examples
from pipeline.data.augment.keyed import beta, fold, uniform


@dataclass(frozen=True)
class CutMix:
    """Pastes a rectangle of another train image into each image; the labels are mixed by the areas.

    Yun and others, "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features" (ICCV 2019).
    Other columns stay those of the example.

    Args:
      alpha: the area of the rectangle has the distribution Beta(alpha, alpha), 0 to 10; at 0 nothing is pasted. The
        paper has 1.
    """

    alpha: float = 1.0
    part: ClassVar[str] = "image"
    mixes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_range(self, "alpha", 0, 10)

    def __call__(self, examples: Examples, keys: tf.Tensor) -> Examples:
        """Examples with a piece of another one."""
        if self.alpha == 0:
            return examples
        other = examples.partners(fold(keys, 0))
        drawn = beta(fold(keys, 1), self.alpha)
        # The larger part is the example's own; the rectangle keeps the ratio of the image, as in the paper.
        area = tf.minimum(drawn, 1 - drawn)[:, tf.newaxis]
        parameters = tf.concat([area, tf.fill(tf.shape(area), 0.5), uniform(fold(keys, 2), 2)], axis=1)
        image, pasted = tf.numpy_function(
            _paste, [examples.features["image"], other.features["image"], parameters], [tf.uint8, tf.float32]
        )
        share = tf.reshape(pasted, [-1, *[1] * (examples.label.shape.rank - 1)])
        label = (1 - share) * examples.label + share * other.label
        image = tf.ensure_shape(image, examples.features["image"].shape)
        return examples.with_label(label).with_features(image=image)


def _paste(images: np.ndarray, others: np.ndarray, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The images with their rectangles, and the area of each as a part of the image's: float32 [rows]."""
    found, areas = images.copy(), np.zeros(len(images), np.float32)
    height, width = images.shape[1:3]
    for row, numbers in enumerate(parameters.tolist()):
        top, bottom, left, right = rectangle(height, width, *numbers)
        found[row, top:bottom, left:right] = others[row, top:bottom, left:right]
        areas[row] = (bottom - top) * (right - left) / (height * width)
    return found, areas
