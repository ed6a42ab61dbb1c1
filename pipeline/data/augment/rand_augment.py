"""Several random changes of one strength."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import tensorflow as tf

from pipeline.data.augment.check import check_range
from pipeline.data.augment.colour import recolour
from pipeline.data.augment.contrast import stretch
from pipeline.data.augment.examples import Examples
from pipeline.data.augment.images import LEVELS, change_each, look_up, to_bytes, warp_affine
from pipeline.data.augment.keyed import uniform
from pipeline.data.augment.rotate import turn
from pipeline.errors import ConfigError

# The strength at which the paper's operations are at their strongest.
_LARGEST_MAGNITUDE = 10


@dataclass(frozen=True)
class RandAugment:
    """Applies some operations to each image, drawn from a list with equal chances, all of one strength.

    Cubuk, Zoph, Shlens and Le, "RandAugment: Practical automated data augmentation with a reduced search space"
    (NeurIPS 2020). The operations: none, rotate, shear and shift both ways, brightness, contrast, saturation,
    sharpness, posterize, solarize, auto-contrast and equalize, with the paper's ranges.

    Args:
      num_ops: operations of each image, 1 to 10.
      magnitude: their strength, 0 to 10; at 0 nothing changes.
    """

    num_ops: int = 2
    magnitude: float = 5.0
    part: ClassVar[str] = "image"
    mixes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if isinstance(self.num_ops, bool) or not isinstance(self.num_ops, int) or not 1 <= self.num_ops <= 10:
            raise ConfigError(f"RandAugment: num_ops is {self.num_ops!r}.", expected="a whole number from 1 to 10")
        check_range(self, "magnitude", 0, _LARGEST_MAGNITUDE)

    def __call__(self, examples: Examples, keys: tf.Tensor) -> Examples:
        """The same examples, their images changed."""
        if self.magnitude == 0:
            return examples
        numbers = uniform(keys, 2 * self.num_ops)
        return examples.with_features(image=change_each(examples.features["image"], numbers, self._change))

    def _change(self, pixels: np.ndarray, numbers: np.ndarray, out: np.ndarray) -> None:
        strength = self.magnitude / _LARGEST_MAGNITUDE
        for place in range(self.num_ops):
            operation = _OPERATIONS[int(numbers[2 * place] * len(_OPERATIONS))]
            sign = 1.0 if numbers[2 * place + 1] < 0.5 else -1.0
            operation(pixels, sign * strength, out)
            pixels = out.copy() if place + 1 < self.num_ops else out


def _nothing(pixels: np.ndarray, strength: float, out: np.ndarray) -> None:
    out[:] = pixels


def _rotate(pixels: np.ndarray, strength: float, out: np.ndarray) -> None:
    turn(pixels, np.asarray([30 * strength]), out)


def _affine(xy: float = 0.0, yx: float = 0.0, right: float = 0.0, down: float = 0.0) -> Callable[..., None]:
    def warp(pixels: np.ndarray, strength: float, out: np.ndarray) -> None:
        height, width = pixels.shape[:2]
        matrix = [[1.0, xy * strength, right * strength * width], [yx * strength, 1.0, down * strength * height]]
        warp_affine(pixels, np.asarray(matrix), out)

    return warp


def _brightness(pixels: np.ndarray, strength: float, out: np.ndarray) -> None:
    look_up(pixels, to_bytes(LEVELS * (1 + 0.9 * strength)), out)


def _contrast(pixels: np.ndarray, strength: float, out: np.ndarray) -> None:
    stretch(pixels, np.asarray([1 + 0.9 * strength]), out)


def _saturation(pixels: np.ndarray, strength: float, out: np.ndarray) -> None:
    if pixels.shape[2] == 3:
        recolour(pixels, 1 + 0.9 * strength, 0.0, out)
    else:
        out[:] = pixels


def _sharpness(pixels: np.ndarray, strength: float, out: np.ndarray) -> None:
    import cv2

    kernel = np.asarray([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13
    blurred = cv2.filter2D(pixels, -1, kernel, borderType=cv2.BORDER_REPLICATE).reshape(pixels.shape)
    factor = 1 + 0.9 * strength
    out[:] = cv2.addWeighted(pixels, factor, blurred, 1 - factor, 0).reshape(out.shape)


def _posterize(pixels: np.ndarray, strength: float, out: np.ndarray) -> None:
    np.bitwise_and(pixels, np.uint8(0xFF << round(4 * abs(strength)) & 0xFF), out=out)


def _solarize(pixels: np.ndarray, strength: float, out: np.ndarray) -> None:
    threshold = 256 * (1 - abs(strength))
    look_up(pixels, to_bytes(np.where(threshold <= LEVELS, 255 - LEVELS, LEVELS)), out)


def _auto_contrast(pixels: np.ndarray, strength: float, out: np.ndarray) -> None:
    low, high = float(pixels.min()), float(pixels.max())
    look_up(pixels, to_bytes((LEVELS - low) * (255 / max(high - low, 1.0))), out)


def _equalize(pixels: np.ndarray, strength: float, out: np.ndarray) -> None:
    import cv2

    for channel in range(pixels.shape[2]):
        out[..., channel] = cv2.equalizeHist(np.ascontiguousarray(pixels[..., channel]))


_OPERATIONS: tuple[Callable[[np.ndarray, float, np.ndarray], None], ...] = (
    _nothing,
    _rotate,
    _affine(xy=0.3),
    _affine(yx=0.3),
    _affine(right=0.45),
    _affine(down=0.45),
    _brightness,
    _contrast,
    _saturation,
    _sharpness,
    _posterize,
    _solarize,
    _auto_contrast,
    _equalize,
)
