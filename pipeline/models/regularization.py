"""The one place where l1, l2 and dropout numbers become Keras objects.

Keras' own string forms are not used: `keras.regularizers.get("l1l2")` has a penalty of exactly 0.
"""

from __future__ import annotations

from typing import Any, Literal

import keras

from pipeline.errors import ConfigError, did_you_mean

# A number for all kernels, or one for each kind of layer: {hidden = 1e-4, output = 0.0}.
Penalty = float | dict[str, float]
Kind = Literal["hidden", "output", "convolution", "embedding"]
KINDS: tuple[Kind, ...] = ("hidden", "output", "convolution", "embedding")


@keras.saving.register_keras_serializable(package="pipeline")
class ProximalL1L2(keras.regularizers.Regularizer):
    """L1 by its proximal operator, so that weights become exactly 0, and L2 as a penalty.

    The gradient of a plain penalty `l1 * sum(|w|)` pushes weights towards 0 and past it; hardly one ever is 0. Here the
    call gives the L2 part alone, and `training.fit` moves every weight by `learning_rate * l1` towards 0 after each
    step, and not beyond (soft threshold): proximal gradient descent, ISTA; Parikh and Boyd, "Proximal Algorithms"
    (2014), section 4.2; Duchi and Singer, "Efficient Online and Batch Learning Using Forward Backward Splitting" (JMLR
    2009). Under another training loop only the L2 part works.

    Args:
      l1, l2: as in `keras.regularizers.L1L2`.

    Example:
      >>> float(ProximalL1L2(l1=0.5, l2=1.0)(keras.ops.array([2.0, -1.0])))
      5.0
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1, self.l2 = float(l1), float(l2)

    def __call__(self, x: Any) -> Any:
        """The L2 part."""
        return self.l2 * keras.ops.sum(keras.ops.square(x)) if self.l2 else keras.ops.zeros(())

    def get_config(self) -> dict[str, float]:
        """Its arguments, for serialization."""
        return {"l1": self.l1, "l2": self.l2}


def kernel(
    l1: Penalty, l2: Penalty, kind: Kind = "hidden", proximal: bool = False
) -> keras.regularizers.Regularizer | None:
    """The penalty `l1 * sum(|w|) + l2 * sum(w^2)` on a kernel; None where both are 0.

    Args:
      l1, l2: a number, or a table by kind of layer, in which a kind that is not named has 0.
      kind: of the layer whose kernel it is: hidden, output, convolution or embedding.
      proximal: whether l1 makes exact zeros (see `ProximalL1L2`), rather than small numbers.

    Raises:
      ConfigError: one of them is negative, or a table names another kind.

    Example:
      >>> float(kernel(0.5, 1.0)(keras.ops.array([2.0, -1.0])))
      6.5
      >>> kernel({"embedding": 1e-4}, 0.0, "hidden") is None
      True
    """
    first, second = _number("l1", l1, kind), _number("l2", l2, kind)
    if first and proximal:
        return ProximalL1L2(l1=first, l2=second)
    return keras.regularizers.L1L2(l1=first, l2=second) if first or second else None


def dropout(x: keras.KerasTensor, rate: float, *, spatial: bool = False) -> keras.KerasTensor:
    """Drops units, or whole channels where `spatial`; adds no layer where the rate is 0.

    Args:
      x: [rows, ...]; for whole channels [rows, places, channels] or [rows, height, width, channels].
      rate: part of the units that are dropped (Srivastava et al., JMLR 2014; whole channels: Tompson et al., "Efficient
        Object Localization Using Convolutional Networks", CVPR 2015).
      spatial: see above.

    Raises:
      ConfigError: the rate is not in [0, 1).
    """
    check_rate(rate)
    if rate == 0:
        return x
    whole = keras.layers.SpatialDropout1D if len(x.shape) == 3 else keras.layers.SpatialDropout2D
    return (whole(rate) if spatial else keras.layers.Dropout(rate))(x)


def check_rate(rate: float) -> None:
    """Refuses a rate of dropout that is not in [0, 1), by a ConfigError."""
    if not 0 <= rate < 1:
        raise ConfigError(f'"model.dropout" is {rate}.', expected="0 or more and below 1")


def _number(name: str, penalty: Penalty, kind: Kind) -> float:
    """The penalty of one kind of layer; all of a table are checked."""
    by_kind = penalty if isinstance(penalty, dict) else {kind: penalty}
    for key, value in by_kind.items():
        if key not in KINDS:
            raise ConfigError(
                f'"model.{name}" names the kind of layer "{key}".',
                expected=f"one of {', '.join(KINDS)}",
                fix=did_you_mean(key, KINDS).strip() or None,
            )
        if not 0 <= value < float("inf"):
            shown = f"{name}.{key}" if isinstance(penalty, dict) else name
            raise ConfigError(f'"model.{shown}" is {value}.', expected="a penalty of 0 or more")
    return float(by_kind.get(kind, 0.0))
