"""Blends of two examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import tensorflow as tf

from pipeline.data.augment.check import check_range
from pipeline.data.augment.examples import Examples
from pipeline.data.augment.keyed import beta, fold, uniform


@dataclass(frozen=True)
class MixUp:
    """Blends each example with another one of train, features and label alike.

    Zhang, Cisse, Dauphin and Lopez-Paz, "mixup: Beyond Empirical Risk Minimization" (ICLR 2018). Numbers and pixels
    become the weighted mean. Categories and words cannot be blended: all categories of a row, and all its words, become
    those of the other example with the other one's weight as their chance.

    Args:
      alpha: the weight has the distribution Beta(alpha, alpha), 0 to 10; at 0 nothing is blended. The paper has 0.2.
    """

    alpha: float = 0.2
    part: ClassVar[str] = "any"
    mixes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_range(self, "alpha", 0, 10)

    def __call__(self, examples: Examples, keys: tf.Tensor) -> Examples:
        """Blended examples."""
        if self.alpha == 0:
            return examples
        other = examples.partners(fold(keys, 0))
        # The larger weight is the example's own: then what an epoch does to a row is a change of that row.
        drawn = beta(fold(keys, 1), self.alpha)
        own = tf.maximum(drawn, 1 - drawn)
        features = {
            name: _blended(column, other.features[name], own)
            if name in ("numeric", "image")
            else _chosen(column, other.features[name], uniform(fold(keys, 2 + place), 1)[:, 0] < own)
            for place, (name, column) in enumerate(examples.features.items())
        }
        return examples.with_label(_blended(examples.label, other.label, own)).with_features(**features)


def _blended(column: tf.Tensor, other: tf.Tensor, own: tf.Tensor) -> tf.Tensor:
    """The weighted mean, in the type of the column; bytes are rounded."""
    weight = tf.reshape(own, [-1, *[1] * (column.shape.rank - 1)])
    mixed = weight * tf.cast(column, tf.float32) + (1 - weight) * tf.cast(other, tf.float32)
    return tf.cast(tf.round(mixed) if column.dtype.is_integer else mixed, column.dtype)


def _chosen(column: tf.Tensor, other: tf.Tensor, own: tf.Tensor) -> tf.Tensor:
    return tf.where(tf.reshape(own, [-1, *[1] * (column.shape.rank - 1)]), column, other)
