"""Encoded images to pixels of one size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import DataError

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class ResizeImage:
    """JPEG or PNG bytes to uint8 pixels: decoded, then resized bilinearly with antialiasing.

    Training and serving run the same TensorFlow operations, decoder included.

    Args:
      height, width: in pixels.
      channels: 1 for grey, 3 for colour.
    """

    height: int
    width: int
    channels: int

    def __call__(self, images: Sequence[str] | Sequence[bytes]) -> np.ndarray:
        """Encodes a column.

        Args:
          images: paths (str) or encoded images (bytes).

        Returns:
          uint8 [rows, height, width, channels].

        Raises:
          DataError: a file cannot be read or decoded; it is named.
        """
        import tensorflow as tf

        paths = len(images) > 0 and isinstance(images[0], str)

        def decode(image: tf.Tensor) -> tf.Tensor:
            return self.decode(tf.io.read_file(image) if paths else image)

        dataset = tf.data.Dataset.from_tensor_slices(tf.constant(images, tf.string))
        pixels = np.empty((len(images), self.height, self.width, self.channels), np.uint8)
        try:
            for row, image in enumerate(dataset.map(decode, num_parallel_calls=tf.data.AUTOTUNE).as_numpy_iterator()):
                pixels[row] = image
        except tf.errors.OpError as error:
            raise _name_culprit(images, decode, error) from error
        return pixels

    def decode(self, encoded: tf.Tensor) -> tf.Tensor:
        """One encoded image (scalar string) to uint8 [height, width, channels]."""
        import tensorflow as tf

        image = tf.io.decode_image(encoded, channels=self.channels, expand_animations=False)
        image.set_shape([None, None, self.channels])
        resized = tf.image.resize(image, [self.height, self.width], antialias=True)
        return tf.cast(tf.clip_by_value(tf.round(resized), 0.0, 255.0), tf.uint8)

    def layer(self) -> Any:
        """The same for a batch when serving: string [rows] -> uint8 [rows, height, width, channels]."""
        import tensorflow as tf

        class Layer(tf.Module):
            """The serving form."""

            def __call__(_, values: tf.Tensor) -> tf.Tensor:
                signature = tf.TensorSpec([self.height, self.width, self.channels], tf.uint8)
                return tf.map_fn(self.decode, values, fn_output_signature=signature)

        return Layer()


def _name_culprit(images: Sequence[str] | Sequence[bytes], decode: Any, error: Exception) -> DataError:
    """The decoder does not say which image it refused, so each is tried again alone."""
    import tensorflow as tf

    for row, image in enumerate(images):
        try:
            decode(tf.constant(image))
        except tf.errors.OpError as refused:
            name = image if isinstance(image, str) else f"image {row + 1}"
            reason = refused.message.split(" [Op:")[0]
            return DataError(
                f"{name} cannot be decoded: {reason}", expected="a whole JPEG or PNG", fix="Replace or remove it."
            )
    return DataError(f"Images cannot be decoded: {error}")
