"""Mirror images."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from pipeline.data.augment.warp import check_fraction


@dataclass(frozen=True)
class Flip:
    """Mirrors images left to right.

    Args:
      fraction: of the images that are mirrored, 0 to 1.

    Example:
      >>> batch = {"image": tf.constant([[[[1], [2]]]], tf.uint8)}
      >>> Flip(fraction=1.0)(batch, tf.constant([0, 0]))["image"].numpy().ravel().tolist()
      [2, 1]
    """

    fraction: float = 0.5

    def __post_init__(self) -> None:
        check_fraction(self.fraction, "Flip", 1.0)

    def __call__(self, features: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Changes `image` [rows, height, width, channels]; `seed` is int [2]."""
        image = features["image"]
        chosen = tf.random.stateless_uniform([tf.shape(image)[0], 1, 1, 1], seed) < self.fraction
        return {**features, "image": tf.where(chosen, tf.reverse(image, [2]), image)}
