"""Categories to indices without a vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.data.kinds import Kind
from pipeline.data.missing import MISSING
from pipeline.data.transforms.transform import LearnsNothing
from pipeline.data.transforms.vocabulary import MISSING_INDEX, by_distinct
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class HashCategory:
    """For columns of very many categories: nothing to store, no unknown ones, but some share an index.

    Weinberger and others, "Feature Hashing for Large Scale Multitask Learning" (ICML 2009). Learns nothing: it is its
    own fitted form. 0 for missing, then a bucket: FarmHash's 64-bit fingerprint of the text, which is the same on every
    machine, modulo their number.

    Args:
      buckets: how many; of n categories about n / (2 * buckets) share theirs with another given one.

    Raises:
      ConfigError: there are no buckets.

    Example:
      >>> found = HashCategory(buckets=1000)(pa.array(["a", None, "a", "b"]))[:, 0].tolist()
      >>> found[1], found[0] == found[2], found[0] == found[3]
      (0, True, False)
    """

    buckets: int = 1024
    kinds: ClassVar[tuple[Kind, ...]] = ("categorical",)
    part: ClassVar[str] = "categorical"
    dtype: ClassVar[str] = "string"

    def __post_init__(self) -> None:
        if self.buckets < 1:
            raise ConfigError(f"HashCategory: buckets is {self.buckets}.", expected="1 or more")

    def learner(self) -> LearnsNothing:
        """What must see train: nobody."""
        return LearnsNothing()

    def fit(self, learner: LearnsNothing) -> HashCategory:
        """Itself."""
        return self

    @property
    def size(self) -> int:
        """The number of indices."""
        return 1 + self.buckets

    def __call__(self, values: pa.Array) -> np.ndarray:
        """Encodes a column of normalized text, as it is or as a dictionary: int32 [rows, 1]."""
        return by_distinct(values, self._indices)

    def _indices(self, values: pa.Array) -> np.ndarray:
        import tensorflow as tf

        texts = tf.constant(pc.fill_null(values, "").to_pylist(), tf.string, shape=[len(values)])
        indices = np.array(self._hash(texts))
        indices[np.asarray(values.is_null())] = MISSING_INDEX
        return indices

    def layer(self) -> Any:
        """The same in TensorFlow, raw text included: string [rows] -> int32 [rows, 1]."""
        import tensorflow as tf

        class Layer(tf.Module):
            """The serving form."""

            def __call__(_, values: tf.Tensor) -> tf.Tensor:
                texts = tf.strings.strip(values)
                missing = tf.reduce_any(texts[:, tf.newaxis] == tf.constant(MISSING), axis=1)
                return tf.where(missing, MISSING_INDEX, self._hash(texts))[:, tf.newaxis]

        return Layer()

    def _hash(self, texts: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        return tf.cast(tf.strings.to_hash_bucket_fast(texts, self.buckets), tf.int32) + 1
