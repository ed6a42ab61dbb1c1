"""A step of a chain for numbers, and the order in which steps may stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import numpy as np

from pipeline.data.kinds import Kind
from pipeline.data.transforms.impute import Impute
from pipeline.errors import ConfigError


class FittedStep(Protocol):
    """A frozen dataclass of plain values."""

    def __call__(self, values: Any, /) -> Any:
        """float64 [rows] -> the same, for NumPy arrays and TensorFlow tensors, with equal bits: see `numerics`."""


class Step(Protocol):
    """A frozen dataclass of arguments, for a column of numbers.

    One with `scales: ClassVar[bool] = True` is a scaler, which ends a chain. It may have `typical: ClassVar[str]`, mean
    or median: what a missing number becomes where the chain has no `Impute`.
    """

    kinds: ClassVar[tuple[Kind, ...]]

    def fit_values(self, values: np.ndarray, /) -> FittedStep:
        """From train values, float64 [n], none missing, as the steps before it left them; perhaps there are none."""


def is_step(choice: Any) -> bool:
    """Whether something is a step rather than a whole transform; `Standardize` is both."""
    return isinstance(choice, Impute) or hasattr(choice, "fit_values")


def is_scaler(step: Any) -> bool:
    """Whether a step is one that ends a chain."""
    return getattr(step, "scales", False)


def check_order(steps: Sequence[Any], key: str) -> None:
    """Refuses steps that make no chain.

    Args:
      steps: in their order.
      key: where they stand in the config, for errors.

    Raises:
      ConfigError: one of them is no step, a scaler stands before the end, or `Impute` stands twice.
    """
    named = ", ".join(type(step).__name__ for step in steps)
    for step in steps:
        if not is_step(step):
            raise ConfigError(
                f"{key}: {type(step).__name__} is no step of a chain, as in {named}.",
                expected="steps, or this transform alone",
            )
    scalers = [type(step).__name__ for step in steps if is_scaler(step)]
    if len(scalers) > 1 or (scalers and not is_scaler(steps[-1])):
        raise ConfigError(
            f"{key}: {', '.join(scalers)} stands before the end of the chain {named}.",
            expected="one scaler at the most, as the last step",
            fix="Move it to the end, and remove other scalers.",
        )
    if sum(isinstance(step, Impute) for step in steps) > 1:
        raise ConfigError(f"{key}: Impute stands more than once in the chain {named}.", expected="one Impute")
