"""Categories to indices, with one index for all rare ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from pipeline.data.kinds import Kind
from pipeline.data.transforms.vocabulary import FIRST_INDEX, CountLearner, FittedVocabulary
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    import tensorflow as tf

RARE_INDEX = FIRST_INDEX


@dataclass(frozen=True)
class FoldRare:
    """Learns the categories, and which of them are too rare for an index of their own.

    To be rare is not to be unknown: an old model meets more and more unknown categories, and not more rare ones.

    Args:
      min_fraction: a category with a smaller share of the train rows that have one is rare.
      max_size: of the rare ones so many are remembered, the most frequent ones; the others are unknown.
      min_count: a category seen less often counts as unknown; so the place of the unknown is trained, too.

    Raises:
      ConfigError: `min_fraction` is no share.

    Example:
      >>> from pipeline.data.transforms.transform import fit_on
      >>> fitted = fit_on(FoldRare(0.3), pa.array(["a"] * 6 + ["b"] * 2 + ["c"] * 2 + ["once"]))
      >>> fitted(pa.array(["a", "b", "c", "once", None])).ravel().tolist()
      [3, 2, 2, 1, 0]
    """

    min_fraction: float = 0.01
    max_size: int = 10_000
    min_count: int = 2
    kinds: ClassVar[tuple[Kind, ...]] = ("categorical",)

    def __post_init__(self) -> None:
        if not 0 < self.min_fraction < 1:
            raise ConfigError(f"FoldRare: min_fraction is {self.min_fraction}.", expected="more than 0, less than 1")

    def learner(self) -> CountLearner:
        """What must see train."""
        return CountLearner()

    def fit(self, learner: CountLearner) -> FittedFoldRare:
        """From the categories of train."""
        least = self.min_fraction * (learner.num_rows - learner.num_missing)
        known = learner.most_common(len(learner.counts), self.min_count)
        num_tokens = sum(learner.counts[token] >= least for token in known)
        return FittedFoldRare(known[:num_tokens], known[num_tokens : num_tokens + self.max_size])


@dataclass(frozen=True)
class FittedFoldRare:
    """0 for missing, 1 for unknown, 2 for rare, from 3 the tokens by falling frequency.

    Attributes:
      tokens: the categories with an index of their own.
      rare: those that share one.
    """

    tokens: tuple[str, ...]
    rare: tuple[str, ...]
    part: ClassVar[str] = "categorical"
    dtype: ClassVar[str] = "string"

    @property
    def size(self) -> int:
        """The number of indices."""
        return RARE_INDEX + 1 + len(self.tokens)

    def __call__(self, values: pa.Array) -> np.ndarray:
        """Encodes a column of normalized text, as it is or as a dictionary: int32 [rows, 1]."""
        return self._folded()[self._vocabulary(values)]

    def layer(self) -> Any:
        """The same in TensorFlow, raw text included: string [rows] -> int32 [rows, 1]."""
        import tensorflow as tf

        class Layer(tf.Module):
            """The serving form; the table is within an attribute, so that a SavedModel takes it along."""

            def __init__(_) -> None:
                super().__init__()
                _.indices = self._vocabulary.layer()

            def __call__(_, values: tf.Tensor) -> tf.Tensor:
                return tf.gather(tf.constant(self._folded()), _.indices(values))

        return Layer()

    @property
    def _vocabulary(self) -> FittedVocabulary:
        return FittedVocabulary((*self.tokens, *self.rare))

    def _folded(self) -> np.ndarray:
        """Index in the vocabulary -> index, int32: tokens move by one, the rare to theirs."""
        known = np.arange(len(self.tokens), dtype=np.int32) + RARE_INDEX + 1
        return np.concatenate([np.arange(FIRST_INDEX), known, np.full(len(self.rare), RARE_INDEX)]).astype(np.int32)
