"""Pixels as the first layer of a network wants them."""

from __future__ import annotations

import keras

from pipeline.spec import Spec

_CENTER = 127.5


def normalize_pixels(image: keras.KerasTensor, spec: Spec) -> keras.KerasTensor:
    """Each channel less its mean over train, divided by its standard deviation, both constants of the layer.

    Pixels come as uint8 and become float32 here, so that a store and a batch hold one byte for each and not four.

    Args:
      image: uint8 [rows, height, width, channels].
      spec: of the same data; where it knows no mean, values come between -1 and 1.

    Returns:
      float32, of the same shape.

    Example:
      >>> spec = Spec("binary", 2, image_shape=(1, 1, 1), image_mean=(100.0,), image_scale=(50.0,))
      >>> normalize_pixels(keras.ops.array([[[[200]]]], "uint8"), spec).numpy().item()
      2.0
    """
    if not spec.image_mean:
        return keras.layers.Rescaling(1 / _CENTER, offset=-1.0)(image)
    moments = list(zip(spec.image_mean, spec.image_scale, strict=True))
    return keras.layers.Rescaling([1 / scale for _, scale in moments], [-mean / scale for mean, scale in moments])(
        image
    )
