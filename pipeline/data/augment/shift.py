"""Moved images."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from pipeline.data.augment.warp import check_fraction, warp


@dataclass(frozen=True)
class Shift:
    """Moves each image by a random part of its size, both ways independently; the border's pixels fill the gap.

    Args:
      fraction: at most so much of the height and of the width, 0 to 0.5.
    """

    fraction: float = 0.1

    def __post_init__(self) -> None:
        check_fraction(self.fraction, "Shift", 0.5)

    def __call__(self, features: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Changes `image` [rows, height, width, channels]; `seed` is int [2]."""
        image = features["image"]
        size = tf.cast(tf.shape(image)[1:3], tf.float32)
        offset = tf.random.stateless_uniform([tf.shape(image)[0], 2], seed, -self.fraction, self.fraction) * size
        # Whole pixels: a shift must not blur.
        return {**features, "image": warp(image, tf.ones_like(offset[:, 0]), tf.round(offset))}
