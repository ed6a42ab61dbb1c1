"""What an augmentation takes and gives, and what every augmentation is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import tensorflow as tf

from pipeline.spec import Spec


@dataclass(frozen=True)
class Examples:
    """Train rows on their way to the model.

    Attributes:
      features: part -> tensor [rows, ...], see `pipeline.spec.Spec`.
      label: int32 or float32 [rows]; where an augmentation mixes labels of classes, float32 [rows, classes].
      spec: of the features.
      partners: keys (uint64 [rows]) -> for each row another row of train, as it looks in this epoch before the
        operation.
    """

    features: dict[str, tf.Tensor]
    label: tf.Tensor
    spec: Spec
    partners: Callable[[tf.Tensor], Examples]

    def with_features(self, **changed: tf.Tensor) -> Examples:
        """The same with other features: nothing is changed in place."""
        return replace(self, features={**self.features, **changed})

    def with_label(self, label: tf.Tensor) -> Examples:
        """The same with other labels."""
        return replace(self, label=label)


class Augmentation(Protocol):
    """A random change of train rows; a frozen dataclass.

    `keys` (uint64 [rows]) are a hash of seed, epoch, row and place of the operation. Whatever is random must come from
    a row's own key: then what happens to a row depends neither on its batch nor on any parallelism.
    """

    part: Any
    """ClassVar[str]: the part of the features it needs: image, numeric, bags, table (numeric or categorical) or any."""
    mixes: Any
    """ClassVar[bool]: whether it mixes labels; those of classes then come as float32 [rows, classes]."""

    def __call__(self, examples: Examples, keys: tf.Tensor) -> Examples:
        """The changed rows; no dtype and no shape differs."""
