"""Noisy numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import tensorflow as tf

from pipeline.data.augment.check import check_range
from pipeline.data.augment.examples import Examples
from pipeline.data.augment.keyed import normal
from pipeline.data.augment.values import split_values


@dataclass(frozen=True)
class Noise:
    """Adds normally distributed noise to every scaled number; indicators and other columns stay as they are.

    The oldest augmentation of all: Bishop, "Training with Noise is Equivalent to Tikhonov Regularization" (Neural
    Computation, 1995).

    Args:
      scale: the noise's standard deviation, where that of a standardized column is 1; 0 to 10.
    """

    scale: float = 0.1
    part: ClassVar[str] = "numeric"
    mixes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_range(self, "scale", 0, 10)

    def __call__(self, examples: Examples, keys: tf.Tensor) -> Examples:
        """The same examples, their numbers with noise."""
        values, others = split_values(examples)
        noisy = values + self.scale * normal(keys, values.shape[1])
        return examples.with_features(numeric=tf.concat([noisy, others], axis=1))
