"""Encoded images to pixels of one size, by TensorFlow: the same operations in ingest, prepare and serving.

A JPEG is decoded at the smallest of its scales 1/1, 1/2, 1/4 and 1/8 that is no smaller than what is wanted: the
decoder then computes fewer coefficients, and averages over what is left out; the rest is resized bilinearly. Any other
image is resized with antialiasing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

Mode = Literal["stretch", "crop", "pad"]

_SCALES = (8, 4, 2)
_AT_ONCE, _PARALLEL = 256, 10


def load_pixels(encoded: tf.Tensor, height: int, width: int, channels: int, mode: Mode = "stretch") -> tf.Tensor:
    """One image.

    Args:
      encoded: string [], a JPEG or PNG.
      height, width: wanted, in pixels.
      channels: 1 or 3.
      mode: what happens to an image of other proportions: it is stretched; cropped around its middle; or padded with
        black on both sides.

    Returns:
      uint8 [height, width, channels].

    Raises:
      tf.errors.OpError: it cannot be decoded.
    """
    import tensorflow as tf

    def decoded(scale: int) -> Callable[[], tf.Tensor]:
        return lambda: _shaped(tf.io.decode_jpeg(encoded, channels=channels, ratio=scale), channels)

    def of_jpeg() -> tf.Tensor:
        used, size = _placed(tf.io.extract_jpeg_shape(encoded)[:2], height, width, mode)
        fits = [tf.reduce_all(used >= size * scale) for scale in _SCALES]
        cases = [(fit, decoded(scale)) for fit, scale in zip(fits, _SCALES, strict=True)]
        return _resized(_shaped(tf.case(cases, default=decoded(1)), channels), height, width, mode, antialias=False)

    def of_others() -> tf.Tensor:
        image = tf.io.decode_image(encoded, channels=channels, expand_animations=False)
        return _resized(_shaped(image, channels), height, width, mode, antialias=True)

    return tf.cond(tf.io.is_jpeg(encoded), of_jpeg, of_others)


def _placed(shape: tf.Tensor, height: int, width: int, mode: Mode) -> tuple[tf.Tensor, tf.Tensor]:
    """How much of an image of this shape is used, and the size that this is brought to: int32 [2] each."""
    import tensorflow as tf

    wanted = tf.constant([height, width])
    if mode == "stretch":
        return shape, wanted
    # The side along which the image is too long for the wanted proportions is cropped, or else sets the size.
    across = tf.cast(shape, tf.int64) * tf.constant([width, height], tf.int64)
    if mode == "crop":
        used = tf.cast(tf.round(tf.reduce_min(across) / tf.constant([width, height], tf.int64)), tf.int32)
        return tf.maximum(used, 1), wanted
    size = tf.cast(tf.round(tf.constant([height, width], tf.int64) * across / tf.reduce_max(across)), tf.int32)
    return shape, tf.maximum(size, 1)


def _resized(image: tf.Tensor, height: int, width: int, mode: Mode, *, antialias: bool) -> tf.Tensor:
    """Of a decoded image: uint8 [height, width, channels]."""
    import tensorflow as tf

    size = [height, width]
    if mode != "stretch":
        shape = tf.shape(image)[:2]
        used, size = _placed(shape, height, width, mode)
        first = (shape - used) // 2
        image = tf.image.crop_to_bounding_box(image, first[0], first[1], used[0], used[1])
    resized = tf.image.resize(image, size, antialias=antialias)
    pixels = tf.cast(tf.clip_by_value(tf.round(resized), 0.0, 255.0), tf.uint8)
    if mode == "pad":
        before = (tf.constant([height, width]) - size) // 2
        pixels = tf.image.pad_to_bounding_box(pixels, before[0], before[1], height, width)
    return tf.ensure_shape(pixels, [height, width, image.shape[-1]])


def pixels_of(
    images: Sequence[str] | Sequence[bytes], height: int, width: int, channels: int, mode: Mode = "stretch"
) -> np.ndarray:
    """Of several images, side by side.

    Args:
      images: paths (str) or encoded images (bytes).
      height, width: in pixels.
      channels: 1 or 3.
      mode: see `load_pixels`.

    Returns:
      uint8 [images, height, width, channels].

    Raises:
      tf.errors.OpError: one cannot be read or decoded; it does not say which.
    """
    import tensorflow as tf

    found = np.empty((len(images), height, width, channels), np.uint8)
    if len(images) == 0:
        return found
    load = _loader(height, width, channels, mode, isinstance(images[0], str))
    for start in range(0, len(images), _AT_ONCE):
        found[start : start + _AT_ONCE] = load(tf.constant(images[start : start + _AT_ONCE], tf.string)).numpy()
    return found


def map_pixels(
    images: tf.Tensor, height: int, width: int, channels: int, mode: Mode, *, paths: bool = False
) -> tf.Tensor:
    """Of several images within a graph, side by side.

    Args:
      images: string [images], encoded images, "" where there is none; or paths.
      height, width, channels, mode: see `load_pixels`.
      paths: whether these are paths, none of them missing.

    Returns:
      uint8 [images, height, width, channels]; black where there is no image.
    """
    import tensorflow as tf

    def pixels(image: tf.Tensor) -> tf.Tensor:
        if paths:
            return load_pixels(tf.io.read_file(image), height, width, channels, mode)
        black = tf.zeros([height, width, channels], tf.uint8)
        there = tf.strings.length(image) > 0
        return tf.cond(there, lambda: load_pixels(image, height, width, channels, mode), lambda: black)

    # Not a tf.data pipeline, which takes 50 ms to start: the iterations of a graph's loop run side by side, too.
    signature = tf.TensorSpec([height, width, channels], tf.uint8)
    return tf.map_fn(pixels, images, fn_output_signature=signature, parallel_iterations=_PARALLEL)


def _shaped(image: tf.Tensor, channels: int) -> tf.Tensor:
    image.set_shape([None, None, channels])
    return image


@functools.cache
def _loader(height: int, width: int, channels: int, mode: Mode, paths: bool) -> Callable[[tf.Tensor], tf.Tensor]:
    """Traced once, and not for every few hundred images again."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def load(images: tf.Tensor) -> tf.Tensor:
        return map_pixels(images, height, width, channels, mode, paths=paths)

    loader: Callable[[tf.Tensor], tf.Tensor] = load
    return loader
