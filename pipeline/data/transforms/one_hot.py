"""Categories as columns of 0 and 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from pipeline.data.kinds import Kind
from pipeline.data.transforms.vocabulary import CountLearner, FittedVocabulary

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class OneHot:
    """A column for each category, for few of them; with many, `Vocabulary` gives the model vectors to train.

    Args:
      max_size: at most so many, the most frequent ones.
      min_count: a category seen less often counts as unknown; so the column of the unknown is trained, too.

    Example:
      >>> from pipeline.data.transforms.transform import fit_on
      >>> fit_on(OneHot(min_count=1), pa.array(["a", "b", "a"]))(pa.array(["a", "never seen", None])).tolist()
      [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """

    max_size: int = 100
    min_count: int = 2
    kinds: ClassVar[tuple[Kind, ...]] = ("categorical",)

    def learner(self) -> CountLearner:
        """What must see train."""
        return CountLearner()

    def fit(self, learner: CountLearner) -> FittedOneHot:
        """From the categories of train."""
        return FittedOneHot(learner.most_common(self.max_size, self.min_count), learner.num_missing > 0)


@dataclass(frozen=True)
class FittedOneHot:
    """A column for what is missing, if anything was in train; one for the unknown; one for each token.

    Attributes:
      tokens: the categories that are known, by falling frequency.
      indicator: whether there is the column for what is missing; else all columns are 0 then.
    """

    tokens: tuple[str, ...]
    indicator: bool
    part: ClassVar[str] = "numeric"
    dtype: ClassVar[str] = "string"
    lead: ClassVar[int] = 0

    @property
    def width(self) -> int:
        """The number of columns."""
        return self.indicator + 1 + len(self.tokens)

    def __call__(self, values: pa.Array) -> np.ndarray:
        """Encodes a column of normalized text, as it is or as a dictionary: float32 [rows, width]."""
        shown = np.arange(not self.indicator, self._vocabulary.size)
        return (self._vocabulary(values) == shown).astype(np.float32)

    def layer(self) -> Any:
        """The same in TensorFlow, raw text included: string [rows] -> float32 [rows, width]."""
        import tensorflow as tf

        class Layer(tf.Module):
            """The serving form; the table is within an attribute, so that a SavedModel takes it along."""

            def __init__(_) -> None:
                super().__init__()
                _.indices = self._vocabulary.layer()

            def __call__(_, values: tf.Tensor) -> tf.Tensor:
                return tf.one_hot(_.indices(values)[:, 0], self._vocabulary.size)[:, int(not self.indicator) :]

        return Layer()

    @property
    def _vocabulary(self) -> FittedVocabulary:
        return FittedVocabulary(self.tokens)
