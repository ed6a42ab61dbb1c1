"""The one place where l1, l2 and dropout numbers become Keras objects.

Keras' own string forms are not used: `keras.regularizers.get("l1l2")` has a penalty of exactly 0.
"""

from __future__ import annotations

import keras

from pipeline.errors import ConfigError


def kernel(l1: float, l2: float) -> keras.regularizers.Regularizer | None:
    """The penalty `l1 * sum(|w|) + l2 * sum(w^2)` on a kernel; None where both are 0.

    Raises:
      ConfigError: one of them is negative.

    Example:
      >>> float(kernel(0.5, 1.0)(keras.ops.array([2.0, -1.0])))
      6.5
    """
    for name, value in (("l1", l1), ("l2", l2)):
        if value < 0:
            raise ConfigError(f'"model.{name}" is {value}.', expected="a penalty of 0 or more")
    return keras.regularizers.L1L2(l1=l1, l2=l2) if l1 or l2 else None


def dropout(x: keras.KerasTensor, rate: float, *, spatial: bool = False) -> keras.KerasTensor:
    """Drops units, or whole channels where `spatial`; adds no layer where the rate is 0.

    Raises:
      ConfigError: the rate is not in [0, 1).
    """
    if not 0 <= rate < 1:
        raise ConfigError(f'"model.dropout" is {rate}.', expected="0 or more and below 1")
    if rate == 0:
        return x
    return (keras.layers.SpatialDropout2D(rate) if spatial else keras.layers.Dropout(rate))(x)
