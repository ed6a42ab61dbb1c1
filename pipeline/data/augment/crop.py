"""Enlarged cuttings of images."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from pipeline.data.augment.warp import check_fraction, warp


@dataclass(frozen=True)
class Crop:
    """Cuts a random window out of each image and brings it back to the image's size.

    Args:
      fraction: at most so much of the height and of the width is cut away, 0 to 0.9.
    """

    fraction: float = 0.2

    def __post_init__(self) -> None:
        check_fraction(self.fraction, "Crop", 0.9)

    def __call__(self, features: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Changes `image` [rows, height, width, channels]; `seed` is int [2]."""
        image = features["image"]
        size = tf.cast(tf.shape(image)[1:3], tf.float32)
        uniform = tf.random.stateless_uniform([tf.shape(image)[0], 3], seed)
        scale = 1.0 - self.fraction * uniform[:, 0]
        offset = uniform[:, 1:] * (1.0 - scale)[:, tf.newaxis] * size
        return {**features, "image": warp(image, scale, offset)}
