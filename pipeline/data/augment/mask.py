"""Missing values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import tensorflow as tf

from pipeline.data.augment.check import check_range
from pipeline.data.augment.examples import Examples
from pipeline.data.augment.keyed import fold, uniform
from pipeline.data.augment.values import split_values

# What a vocabulary gives a category that it does not know.
_UNKNOWN = 1


@dataclass(frozen=True)
class Mask:
    """Hides single values: a number becomes the mean of its column, a category unknown.

    The corruption of Arik and Pfister, "TabNet: Attentive Interpretable Tabular Learning" (AAAI 2021).

    Args:
      fraction: of the values that are hidden, 0 to 1.
    """

    fraction: float = 0.1
    part: ClassVar[str] = "table"
    mixes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_range(self, "fraction", 0, 1)

    def __call__(self, examples: Examples, keys: tf.Tensor) -> Examples:
        """The same examples, some of their values hidden."""
        changed = {}
        if "numeric" in examples.features:
            values, others = split_values(examples)
            hidden = uniform(fold(keys, 0), values.shape[1]) < self.fraction
            changed["numeric"] = tf.concat([tf.where(hidden, 0.0, values), others], axis=1)
        if "categorical" in examples.features:
            column = examples.features["categorical"]
            hidden = uniform(fold(keys, 1), column.shape[1]) < self.fraction
            changed["categorical"] = tf.where(hidden, _UNKNOWN, column)
        return examples.with_features(**changed)
