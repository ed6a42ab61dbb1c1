"""Other colours."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import tensorflow as tf

from pipeline.data.augment.check import check_range
from pipeline.data.augment.examples import Examples
from pipeline.data.augment.images import change_each, mix_channels
from pipeline.data.augment.keyed import uniform

# The weights of red, green and blue in a grey value (ITU-R BT.601).
_GREY = np.asarray([0.299, 0.587, 0.114])
# RGB to YIQ, the colours of NTSC: the first row is the grey value, the others are turned to change the hue.
_YIQ = np.stack([_GREY, [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_RGB = np.linalg.inv(_YIQ)


@dataclass(frozen=True)
class Colour:
    """Makes the colours of each image more or less vivid, and turns them around the colour wheel.

    Grey images, and images of other than three channels, stay as they are.

    Args:
      saturation: the colours are multiplied by 1 - saturation to 1 + saturation; 0 to 1.
      hue: they are turned by at most so much of the whole wheel, either way; 0 to 0.5.
    """

    saturation: float = 0.3
    hue: float = 0.02
    part: ClassVar[str] = "image"
    mixes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_range(self, "saturation", 0, 1)
        check_range(self, "hue", 0, 0.5)

    def __call__(self, examples: Examples, keys: tf.Tensor) -> Examples:
        """The same examples, their images in other colours."""
        image = examples.features["image"]
        if image.shape[-1] != 3 or (self.saturation == 0 and self.hue == 0):
            return examples
        numbers = uniform(keys, 2, -1.0, 1.0) * tf.constant([self.saturation, self.hue]) + tf.constant([1.0, 0.0])
        return examples.with_features(image=change_each(image, numbers, _change))


def _change(pixels: np.ndarray, numbers: np.ndarray, out: np.ndarray) -> None:
    saturation, hue = numbers.tolist()
    recolour(pixels, saturation, hue, out)


def recolour(pixels: np.ndarray, saturation: float, hue: float, out: np.ndarray) -> None:
    """Multiplies the saturation of one image, uint8 [height, width, 3], and turns its hue by a part of the wheel."""
    cosine, sine = saturation * math.cos(2 * math.pi * hue), saturation * math.sin(2 * math.pi * hue)
    turned = np.asarray([[1.0, 0.0, 0.0], [0.0, cosine, -sine], [0.0, sine, cosine]])
    mix_channels(pixels, _RGB @ turned @ _YIQ, out)
