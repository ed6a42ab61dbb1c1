"""Encoded images to pixels of one size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from pipeline.errors import DataError

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class ResizeImage:
    """JPEG or PNG bytes to uint8 pixels: decoded, then resized bilinearly with antialiasing.

    Training and serving run the same TensorFlow operations, decoder included. A missing image (null, or empty bytes)
    becomes black.

    Args:
      height, width: in pixels.
      channels: 1 for grey, 3 for colour.
    """

    height: int
    width: int
    channels: int
    part: ClassVar[str] = "image"
    dtype: ClassVar[str] = "string"

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.height, self.width, self.channels

    def __call__(self, column: pa.Array) -> np.ndarray:
        """Encodes a column.

        Args:
          column: paths (string) or encoded images (binary), null where missing.

        Returns:
          uint8 [rows, height, width, channels].

        Raises:
          DataError: a file cannot be read or decoded; it is named.
        """
        import tensorflow as tf

        paths = not _is_binary(column.type)
        present = {row: image for row, image in enumerate(column.to_pylist()) if image}
        rows, images = list(present), list(present.values())

        def decode(image: tf.Tensor) -> tf.Tensor:
            return self.decode(tf.io.read_file(image) if paths else image)

        dataset = tf.data.Dataset.from_tensor_slices(tf.constant(images, tf.string))
        pixels = np.zeros((len(column), *self.shape), np.uint8)
        try:
            decoded = dataset.map(decode, num_parallel_calls=tf.data.AUTOTUNE).as_numpy_iterator()
            for row, image in zip(rows, decoded, strict=True):
                pixels[row] = image
        except tf.errors.OpError as error:
            raise _name_culprit(images, rows, decode, error) from error
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

        def decode(image: tf.Tensor) -> tf.Tensor:
            missing = tf.strings.length(image) == 0
            return tf.cond(missing, lambda: tf.zeros(self.shape, tf.uint8), lambda: self.decode(image))

        class Layer(tf.Module):
            """The serving form."""

            def __call__(_, values: tf.Tensor) -> tf.Tensor:
                return tf.map_fn(decode, values, fn_output_signature=tf.TensorSpec(self.shape, tf.uint8))

        return Layer()


def _is_binary(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _name_culprit(
    images: Sequence[str] | Sequence[bytes], rows: Sequence[int], decode: Any, error: Exception
) -> DataError:
    """The decoder does not say which image it refused, so each is tried again alone."""
    import tensorflow as tf

    for row, image in zip(rows, images, strict=True):
        try:
            decode(tf.constant(image))
        except tf.errors.OpError as refused:
            name = image if isinstance(image, str) else f"image {row + 1}"
            reason = refused.message.split(" [Op:")[0]
            return DataError(
                f"{name} cannot be decoded: {reason}", expected="a whole JPEG or PNG", fix="Replace or remove it."
            )
    return DataError(f"Images cannot be decoded: {error}")
