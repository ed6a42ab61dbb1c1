"""Encoded images to pixels of one size, by TensorFlow: the same operations in ingest, prepare and serving.

A JPEG is decoded at the smallest of its scales 1/1, 1/2, 1/4 and 1/8 that is no smaller than what is wanted: the
decoder then computes fewer coefficients, and averages over what is left out; the rest is resized bilinearly. Any other
image is resized with antialiasing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

_SCALES = (8, 4, 2)
_AT_ONCE, _PARALLEL = 256, 10


def load_pixels(encoded: tf.Tensor, height: int, width: int, channels: int) -> tf.Tensor:
    """One image.

    Args:
      encoded: string [], a JPEG or PNG.
      height, width: wanted, in pixels.
      channels: 1 or 3.

    Returns:
      uint8 [height, width, channels].

    Raises:
      tf.errors.OpError: it cannot be decoded.
    """
    import tensorflow as tf

    def decoded(scale: int) -> Callable[[], tf.Tensor]:
        return lambda: _shaped(tf.io.decode_jpeg(encoded, channels=channels, ratio=scale), channels)

    def of_jpeg() -> tf.Tensor:
        shape = tf.io.extract_jpeg_shape(encoded)[:2]
        fits = [tf.reduce_all(shape >= tf.constant([height, width]) * scale) for scale in _SCALES]
        cases = [(fit, decoded(scale)) for fit, scale in zip(fits, _SCALES, strict=True)]
        return tf.image.resize(_shaped(tf.case(cases, default=decoded(1)), channels), [height, width])

    def of_others() -> tf.Tensor:
        image = tf.io.decode_image(encoded, channels=channels, expand_animations=False)
        return tf.image.resize(_shaped(image, channels), [height, width], antialias=True)

    resized = tf.cond(tf.io.is_jpeg(encoded), of_jpeg, of_others)
    return tf.cast(tf.clip_by_value(tf.round(resized), 0.0, 255.0), tf.uint8)


def pixels_of(images: Sequence[str] | Sequence[bytes], height: int, width: int, channels: int) -> np.ndarray:
    """Of several images, side by side.

    Args:
      images: paths (str) or encoded images (bytes).
      height, width: in pixels.
      channels: 1 or 3.

    Returns:
      uint8 [images, height, width, channels].

    Raises:
      tf.errors.OpError: one cannot be read or decoded; it does not say which.
    """
    import tensorflow as tf

    found = np.empty((len(images), height, width, channels), np.uint8)
    if len(images) == 0:
        return found
    load = _loader(height, width, channels, isinstance(images[0], str))
    for start in range(0, len(images), _AT_ONCE):
        found[start : start + _AT_ONCE] = load(tf.constant(images[start : start + _AT_ONCE], tf.string)).numpy()
    return found


def _shaped(image: tf.Tensor, channels: int) -> tf.Tensor:
    image.set_shape([None, None, channels])
    return image


@functools.cache
def _loader(height: int, width: int, channels: int, paths: bool) -> Callable[[tf.Tensor], tf.Tensor]:
    """Traced once, and not for every few hundred images again."""
    import tensorflow as tf

    def pixels(image: tf.Tensor) -> tf.Tensor:
        return load_pixels(tf.io.read_file(image) if paths else image, height, width, channels)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def load(images: tf.Tensor) -> tf.Tensor:
        # Not a tf.data pipeline, which takes 50 ms to start: its iterations run side by side, too.
        signature = tf.TensorSpec([height, width, channels], tf.uint8)
        return tf.map_fn(pixels, images, fn_output_signature=signature, parallel_iterations=_PARALLEL)

    loader: Callable[[tf.Tensor], tf.Tensor] = load
    return loader
