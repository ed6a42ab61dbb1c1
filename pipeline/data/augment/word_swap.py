"""Texts with words in another order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import tensorflow as tf

from pipeline.data.augment.check import check_range
from pipeline.data.augment.examples import Examples
from pipeline.data.augment.keyed import uniform


@dataclass(frozen=True)
class WordSwap:
    """Exchanges words with the next one of the same text.

    After Wei and Zou, "EDA: Easy Data Augmentation Techniques for Boosting Performance on Text Classification Tasks"
    (EMNLP 2019), of neighbors only. A model that does not look at the order of words, such as a bag of embeddings, does
    not notice.

    Args:
      fraction: of the pairs of neighbors that are exchanged, 0 to 1.
    """

    fraction: float = 0.1
    part: ClassVar[str] = "bags"
    mixes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_range(self, "fraction", 0, 1)

    def __call__(self, examples: Examples, keys: tf.Tensor) -> Examples:
        """The same examples, some of their words exchanged."""
        bags = examples.features["bags"]
        slots = [bag.slots for bag in examples.spec.bags] or [bags.shape[1]]
        first, second = _pairs(slots, 0), _pairs(slots, 1)
        # Even pairs or odd ones, by a number of the row; two pairs that overlap are never both exchanged.
        numbers = uniform(keys, 1 + bags.shape[1])
        is_odd = numbers[:, :1] < 0.5
        partner = tf.where(is_odd, tf.constant(second), tf.constant(first))
        # Both places of a pair have the number of the left one.
        left = tf.minimum(partner, tf.range(bags.shape[1])[tf.newaxis])
        chosen = tf.gather(numbers[:, 1:], left, batch_dims=1) < self.fraction
        other = tf.gather(bags, partner, batch_dims=1)
        return examples.with_features(bags=tf.where(chosen & (bags != 0) & (other != 0), other, bags))


def _pairs(slots: list[int], begin: int) -> np.ndarray:
    """The place with which each place makes a pair, itself where it has none: int32 [1, places].

    >>> _pairs([3, 2], begin=0).tolist(), _pairs([3, 2], begin=1).tolist()
    ([[1, 0, 2, 4, 3]], [[0, 2, 1, 3, 4]])
    """
    partners = np.arange(sum(slots), dtype=np.int32)
    start = 0
    for num in slots:
        for left in range(start + begin, start + num - 1, 2):
            partners[left], partners[left + 1] = left + 1, left
        start += num
    return partners[np.newaxis]
