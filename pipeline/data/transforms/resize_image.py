"""Encoded images to pixels of one size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np
import pyarrow as pa

from pipeline.data.kinds import Kind
from pipeline.data.pixels import Mode, load_pixels, map_pixels, pixels_of
from pipeline.data.rows import DEFAULT_IMAGE_SIZE, IMAGE_ABOUT, image_column, pixels_name
from pipeline.data.transforms.image_learner import ImageLearner, channel_moments
from pipeline.data.transforms.ranges import check_choice, check_range
from pipeline.errors import ConfigError, DataError

if TYPE_CHECKING:
    import tensorflow as tf


_MOST_SIDE = 2048


@dataclass(frozen=True)
class ResizeImage:
    """Learns the size and the colors of the images, and how bright they are.

    Args:
      height, width: in pixels, both or none; None: by the train images.
      channels: 1 for grey, 3 for color; None: by the train images.
      mode: what happens to an image of other proportions. "stretch": it is stretched; "crop": it fills the frame, and
        what juts out is cut off evenly; "pad": it fits into the frame, with black beside it.
      normalize: "channels": the model subtracts each channel's mean over the train pixels, and divides by their
        standard deviation; "none": it subtracts 127.5, and divides by as much.

    Raises:
      ConfigError: an argument is out of range.
    """

    height: int | None = None
    width: int | None = None
    channels: Literal[1, 3] | None = None
    mode: Mode = "stretch"
    normalize: Literal["channels", "none"] = "channels"
    kinds: ClassVar[tuple[Kind, ...]] = ("image",)

    def __post_init__(self) -> None:
        if (self.height is None) != (self.width is None):
            raise ConfigError(
                f"ResizeImage: height is {self.height}, width is {self.width}.", expected="both of them, or none"
            )
        check_range(self, "height", 1, _MOST_SIDE)
        check_range(self, "width", 1, _MOST_SIDE)
        check_choice(self, "channels", (None, 1, 3))
        check_choice(self, "mode", get_args(Mode))
        check_choice(self, "normalize", ("channels", "none"))

    def learner(self) -> ImageLearner:
        """What must see train."""
        return ImageLearner()

    def fit(self, learner: ImageLearner) -> FittedResizeImage:
        """From the train images.

        Raises:
          DataError: one of them cannot be read or decoded; it is named.
        """
        shapes = {size[:2] for size in learner.sizes}
        alike = len(shapes) == 1 and max(next(iter(shapes))) <= DEFAULT_IMAGE_SIZE
        height, width = next(iter(shapes)) if alike else (DEFAULT_IMAGE_SIZE, DEFAULT_IMAGE_SIZE)
        channels: int = self.channels or max((size[2] for size in learner.sizes), default=3)
        fitted = FittedResizeImage(self.height or height, self.width or width, channels, self.mode)
        if self.normalize == "none":
            return fitted
        mean, scale = channel_moments(learner.sample(), fitted)
        return replace(fitted, mean=mean, scale=scale)


@dataclass(frozen=True)
class FittedResizeImage:
    """JPEG or PNG bytes to uint8 pixels: see `pipeline.data.pixels`.

    Training and serving run the same TensorFlow operations, decoder included. A missing image (null, or empty bytes)
    becomes black.

    Attributes:
      height, width: in pixels.
      channels: 1 for grey, 3 for color.
      mode: see `ResizeImage`.
      mean, scale: what the model subtracts from each channel, and divides by then; empty: 127.5. The pixels that this
        makes are not normalized, so that a store needs one byte for each and not four.
    """

    height: int
    width: int
    channels: int
    mode: Mode = "stretch"
    mean: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
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
            pixels[rows] = pixels_of(images, *self.shape, self.mode)
        except tf.errors.OpError as error:
            raise self._name_culprit(images, rows, error) from error
        return pixels

    def decode(self, encoded: tf.Tensor) -> tf.Tensor:
        """One encoded image (scalar string) to uint8 [height, width, channels]."""
        return load_pixels(encoded, *self.shape, self.mode)

    def of_batch(self, batch: pa.RecordBatch, name: str) -> np.ndarray:
        """As a call with the column `name`, but with the pixels that ingest kept beside it, where they are the same."""
        if pixels_name(name, self.height, self.width) not in batch.schema.names:
            return self(batch.column(name))
        return self.of_images(image_column(batch, name))

    def of_images(self, images: pa.StructArray) -> np.ndarray:
        """As a call with the images of `pipeline.data.rows.image_column`, but with the pixels that ingest kept.

        Those were stretched, in color. They are the same if their size is, if an image that is to be grey is grey, and
        if one that is not to be stretched has the proportions that are wanted.
        """
        kept = pixels_name("", self.height, self.width).removeprefix(".")
        if images.type.get_field_index(kept) < 0:
            return self(images.field("image"))
        usable = np.asarray(images.field(kept).is_valid()) & self._keeps(images)
        pixels = np.zeros((len(images), *self.shape), np.uint8)
        raw = np.frombuffer(b"".join(images.field(kept).filter(pa.array(usable)).to_pylist()), np.uint8)
        pixels[usable] = raw.reshape(-1, self.height, self.width, 3)[..., : self.channels]
        if not usable.all():
            pixels[~usable] = self(images.field("image").filter(pa.array(~usable)))
        return pixels

    def _keeps(self, images: pa.StructArray) -> np.ndarray:
        """Whether stretching an image in color is the same as what is done here. [images]"""
        height, width, channels = (np.asarray(images.field(part).fill_null(0), np.int64) for part in IMAGE_ABOUT)
        same = np.ones(len(images), bool) if self.channels == 3 else channels == 1
        return same if self.mode == "stretch" else same & (height * self.width == width * self.height)

    def encoded(self, column: pa.Array) -> np.ndarray:
        """The images as they are, for a store that keeps them encoded; each is decoded once to see that it can be.

        Args:
          column: paths (string) or encoded images (binary), null where missing.

        Returns:
          bytes (object) [rows, 1], b"" where missing.

        Raises:
          DataError: a file cannot be read or decoded; it is named.
        """
        self(column)
        found = np.full((len(column), 1), b"", object)
        found[:, 0] = [_bytes_of(image) for image in column.to_pylist()]
        return found

    def layer(self) -> Any:
        """The same for a batch when serving: string [rows] -> uint8 [rows, height, width, channels]."""
        import tensorflow as tf

        class Layer(tf.Module):
            """The serving form."""

            def __call__(_, values: tf.Tensor) -> tf.Tensor:
                return map_pixels(values, *self.shape, self.mode)

        return Layer()

    def _name_culprit(self, images: Sequence[str | bytes], rows: Sequence[int], error: Exception) -> DataError:
        """The decoder does not say which image it refused, so each is tried again alone."""
        import tensorflow as tf

        for row, image in zip(rows, images, strict=True):
            try:
                pixels_of([image], *self.shape, self.mode)  # type: ignore[arg-type]
            except tf.errors.OpError as refused:
                name = image if isinstance(image, str) else f"image {row + 1}"
                reason = refused.message.split(" [Op:")[0].splitlines()[0]
                return DataError(
                    f"{name} cannot be decoded: {reason}", expected="a whole JPEG or PNG", fix="Replace or remove it."
                )
        return DataError(f"Images cannot be decoded: {error}")


def _bytes_of(image: str | bytes | None) -> bytes:
    return Path(image).read_bytes() if isinstance(image, str) and image else bytes(image or b"")
