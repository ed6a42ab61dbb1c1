"""What is learnt of images: their sizes, and the mean and the standard deviation of each channel's pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pyarrow as pa

from pipeline.data.rows import IMAGE_ABOUT

# Mean and deviation of so many images are as good as those of all. They are held encoded, and as the pixels that
# ingest kept, in so many bytes at the most.
SAMPLE_ROWS = 2048
_SAMPLE_BYTES = 2**27
_DECODED_AT_ONCE = 128


class OfImages(Protocol):
    """What makes pixels of images, see `FittedResizeImage`."""

    @property
    def channels(self) -> int:
        """Of the pixels."""

    def of_images(self, images: pa.StructArray) -> np.ndarray:
        """Gives uint8 [images, height, width, channels]."""


@dataclass
class ImageLearner:
    """Sees the images of train.

    Every row is in the sample until that is too large; then every second one is taken out, and so on: which rows are in
    it depends on nothing but the rows.

    Attributes:
      sizes: the (height, width, channels) that occur.
      num_rows: seen so far.
    """

    sizes: set[tuple[int, ...]] = field(default_factory=set)
    num_rows: int = 0
    _stride: int = 1
    _sampled: list[pa.StructArray] = field(default_factory=list)

    def add(self, column: pa.StructArray) -> None:
        """Takes images [rows]; see `pipeline.data.rows.image_column`."""
        there = np.asarray(column.field(IMAGE_ABOUT[0]).is_valid())
        about = [np.asarray(column.field(part).fill_null(0))[there] for part in IMAGE_ABOUT]
        self.sizes |= set(map(tuple, np.stack(about, axis=1).tolist()))
        self._sampled.append(column.take(pa.array(np.arange(-self.num_rows % self._stride, len(column), self._stride))))
        self.num_rows += len(column)
        while self._is_too_large():
            self._stride *= 2
            whole = pa.concat_arrays(self._sampled)
            self._sampled = [whole.take(pa.array(np.arange(0, len(whole), 2)))]

    def sample(self) -> list[pa.StructArray]:
        """Evenly spread rows, some at a time; those without an image left out."""
        rows = [part.filter(part.field(IMAGE_ABOUT[0]).is_valid()) for part in self._sampled]
        return [part for part in rows if len(part)]

    def _is_too_large(self) -> bool:
        num_rows = sum(map(len, self._sampled))
        num_bytes = sum(part.nbytes for part in self._sampled)
        return num_rows > SAMPLE_ROWS or (num_rows > 1 and num_bytes > _SAMPLE_BYTES)


def channel_moments(sample: list[pa.StructArray], fitted: OfImages) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over all pixels of a sample.

    Counts of the 256 values give them exactly. A channel that never varies has deviation 127.5.

    Returns:
      Each a number a channel; both empty without images.
    """
    values = np.arange(256)
    counts = np.zeros((fitted.channels, 256), np.int64)
    for part in _parts(sample):
        pixels = fitted.of_images(part)
        counts += [np.bincount(pixels[..., channel].ravel(), minlength=256) for channel in range(fitted.channels)]
    total = counts.sum(axis=1)
    if not total.all():
        return (), ()
    mean = counts @ values / total
    deviation = np.sqrt((counts * (values - mean[:, None]) ** 2).sum(axis=1) / total)
    return tuple(mean.tolist()), tuple(np.where(deviation > 0, deviation, 127.5).tolist())


def _parts(sample: list[pa.StructArray]) -> Iterator[pa.StructArray]:
    for part in sample:
        for start in range(0, len(part), _DECODED_AT_ONCE):
            yield part[start : start + _DECODED_AT_ONCE]
