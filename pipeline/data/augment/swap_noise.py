"""Values of other rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import tensorflow as tf

from pipeline.data.augment.check import check_range
from pipeline.data.augment.examples import Examples
from pipeline.data.augment.keyed import fold, uniform
from pipeline.data.augment.values import split_values


@dataclass(frozen=True)
class SwapNoise:
    """Replaces single values by those that another train row has in the same column, so by ones that do occur.

    The corruption of Bahri, Jiang, Tay and Metzler, "SCARF: Self-Supervised Contrastive Learning using Random Feature
    Corruption" (ICLR 2022), here with one other row for each row.

    Args:
      fraction: of the values that are replaced, 0 to 1.
    """

    fraction: float = 0.1
    part: ClassVar[str] = "table"
    mixes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_range(self, "fraction", 0, 1)

    def __call__(self, examples: Examples, keys: tf.Tensor) -> Examples:
        """The same examples, some of their values those of others."""
        other, changed = examples.partners(fold(keys, 0)), {}
        if "numeric" in examples.features:
            values, others = split_values(examples)
            chosen = uniform(fold(keys, 1), values.shape[1]) < self.fraction
            changed["numeric"] = tf.concat([tf.where(chosen, split_values(other)[0], values), others], axis=1)
        if "categorical" in examples.features:
            column = examples.features["categorical"]
            chosen = uniform(fold(keys, 2), column.shape[1]) < self.fraction
            changed["categorical"] = tf.where(chosen, other.features["categorical"], column)
        return examples.with_features(**changed)
