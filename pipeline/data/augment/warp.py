"""The one warp that shifts and crops share: each output pixel read at `scale * place + offset` of the input."""

from __future__ import annotations

import tensorflow as tf

from pipeline.errors import ConfigError


def warp(image: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """Resamples a batch bilinearly; beyond the border the border's pixels go on.

    Args:
      image: uint8 [rows, height, width, channels].
      scale: float32 [rows]; 0.9 shows nine tenths of the image.
      offset: float32 [rows, 2], down and right, in pixels.

    Returns:
      uint8, of the same shape.
    """
    zeros = tf.zeros_like(scale)
    transforms = tf.stack([scale, zeros, offset[:, 1], zeros, scale, offset[:, 0], zeros, zeros], axis=1)
    warped = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(image, tf.float32),
        transforms=transforms,
        output_shape=tf.shape(image)[1:3],
        interpolation="BILINEAR",
        fill_mode="NEAREST",
        fill_value=0.0,
    )
    return tf.ensure_shape(tf.cast(tf.round(tf.clip_by_value(warped, 0.0, 255.0)), tf.uint8), image.shape)


def check_fraction(fraction: float, name: str, below: float) -> None:
    """Refuses what is no fraction.

    Raises:
      ConfigError: it is below 0 or above the bound.
    """
    if not 0 <= fraction <= below:
        raise ConfigError(f"{name}: fraction is {fraction}.", expected=f"0 to {below:g}")
