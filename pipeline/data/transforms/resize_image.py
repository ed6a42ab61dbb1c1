"""Encoded images to pixels of one size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from pipeline.data.pixels import load_pixels, pixels_of
from pipeline.data.rows import pixels_name
from pipeline.errors import DataError

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class ResizeImage:
    """JPEG or PNG bytes to uint8 pixels: see `pipeline.data.pixels`.

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

        present = {row: image for row, image in enumerate(column.to_pylist()) if image}
        rows, images = list(present), list(present.values())

        pixels = np.zeros((len(column), *self.shape), np.uint8)
        try:
            pixels[rows] = pixels_of(images, *self.shape)
        except tf.errors.OpError as error:
            raise self._name_culprit(images, rows, error) from error
        return pixels

    def decode(self, encoded: tf.Tensor) -> tf.Tensor:
        """One encoded image (scalar string) to uint8 [height, width, channels]."""
        return load_pixels(encoded, self.height, self.width, self.channels)

    def of_batch(self, batch: pa.RecordBatch, name: str) -> np.ndarray:
        """As a call with the column `name`, but with the pixels that ingest kept beside it, where they are the same.

        They are if their size is, and if an image that is to be grey is grey.
        """
        kept = pixels_name(name, self.height, self.width)
        if kept not in batch.schema.names:
            return self(batch.column(name))
        column = batch.column(kept)
        usable = np.asarray(column.is_valid())
        if self.channels == 1:
            usable &= np.asarray(batch.column(f"{name}.channels").fill_null(0)) == 1
        pixels = np.zeros((batch.num_rows, *self.shape), np.uint8)
        raw = np.frombuffer(b"".join(column.filter(pa.array(usable)).to_pylist()), np.uint8)
        pixels[usable] = raw.reshape(-1, self.height, self.width, 3)[..., : self.channels]
        if not usable.all():
            pixels[~usable] = self(batch.column(name).filter(pa.array(~usable)))
        return pixels

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

    def _name_culprit(self, images: Sequence[str | bytes], rows: Sequence[int], error: Exception) -> DataError:
        """The decoder does not say which image it refused, so each is tried again alone."""
        import tensorflow as tf

        for row, image in zip(rows, images, strict=True):
            try:
                pixels_of([image], *self.shape)  # type: ignore[arg-type]
            except tf.errors.OpError as refused:
                name = image if isinstance(image, str) else f"image {row + 1}"
                reason = refused.message.split(" [Op:")[0].splitlines()[0]
                return DataError(
                    f"{name} cannot be decoded: {reason}", expected="a whole JPEG or PNG", fix="Replace or remove it."
                )
        return DataError(f"Images cannot be decoded: {error}")
