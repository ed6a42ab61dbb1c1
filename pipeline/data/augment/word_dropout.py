"""Texts with fewer words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import tensorflow as tf

from pipeline.data.augment.check import check_range
from pipeline.data.augment.examples import Examples
from pipeline.data.augment.keyed import uniform


@dataclass(frozen=True)
class WordDropout:
    """Leaves out words, or tags: each place of a bag is emptied with the same chance.

    Iyyer and others, "Deep Unordered Composition Rivals Syntactic Methods for Text Classification" (ACL 2015). A row of
    which nothing would be left keeps all.

    Args:
      fraction: of the places that are emptied, 0 to 0.9.
    """

    fraction: float = 0.1
    part: ClassVar[str] = "bags"
    mixes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_range(self, "fraction", 0, 0.9)

    def __call__(self, examples: Examples, keys: tf.Tensor) -> Examples:
        """The same examples, with fewer words."""
        bags = examples.features["bags"]
        kept = uniform(keys, bags.shape[1]) >= self.fraction
        left = tf.where(kept, bags, 0)
        is_empty = tf.reduce_all(left == 0, axis=1, keepdims=True)
        return examples.with_features(bags=tf.where(is_empty, bags, left))
