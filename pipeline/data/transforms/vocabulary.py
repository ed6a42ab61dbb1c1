"""Categories to indices, with a place for what is missing and one for what train never showed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.data.missing import MISSING

if TYPE_CHECKING:
    import tensorflow as tf

MISSING_INDEX, UNKNOWN_INDEX, FIRST_INDEX = 0, 1, 2


@dataclass(frozen=True)
class Vocabulary:
    """Learns the categories.

    Args:
      max_size: at most so many, the most frequent ones.
      min_count: a category seen less often counts as unknown; so the place of the unknown is trained, too.
    """

    max_size: int = 10_000
    min_count: int = 2

    def fit(self, counts: Counter[str]) -> FittedVocabulary:
        """From the counts of the column's values on train; ties are broken by the alphabet."""
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return FittedVocabulary(tuple(token for token, count in ordered[: self.max_size] if count >= self.min_count))


@dataclass(frozen=True)
class FittedVocabulary:
    """0 for missing, 1 for unknown, from 2 the tokens by falling frequency."""

    tokens: tuple[str, ...]
    part: ClassVar[str] = "categorical"
    dtype: ClassVar[str] = "string"

    @property
    def size(self) -> int:
        """The number of indices."""
        return FIRST_INDEX + len(self.tokens)

    def __call__(self, values: pa.Array) -> np.ndarray:
        """Encodes a column of normalized text, as it is or as a dictionary: int32 [rows, 1]."""
        if pa.types.is_dictionary(values.type):  # each distinct value is looked up once
            places = np.asarray(pc.fill_null(values.indices, -1))
            return np.append(self._indices(values.dictionary), np.int32(MISSING_INDEX))[places][:, None]
        return self._indices(values)[:, None]

    def _indices(self, values: pa.Array) -> np.ndarray:
        found = pc.index_in(values, value_set=pa.array(self.tokens, pa.string()), skip_nulls=True)
        known = np.asarray(pc.fill_null(found, -1), np.int32)
        indices = np.where(known < 0, UNKNOWN_INDEX, known + FIRST_INDEX)
        indices[np.asarray(values.is_null())] = MISSING_INDEX
        return indices.astype(np.int32)

    def layer(self) -> Any:
        """The same in TensorFlow, raw text included: string [rows] -> int32 [rows, 1]."""
        import tensorflow as tf

        # Missing spellings are entries too, so that one lookup answers all three cases.
        keys = [*MISSING, *self.tokens]
        values = [MISSING_INDEX] * len(MISSING) + list(range(FIRST_INDEX, self.size))
        entries = tf.lookup.KeyValueTensorInitializer(tf.constant(keys), tf.constant(values, tf.int32))

        class Layer(tf.Module):
            """The serving form; the table is an attribute, so that a SavedModel takes it along."""

            def __init__(_) -> None:
                super().__init__()
                _.table = tf.lookup.StaticHashTable(entries, default_value=UNKNOWN_INDEX)

            def __call__(_, values: tf.Tensor) -> tf.Tensor:
                return _.table.lookup(tf.strings.strip(values))[:, tf.newaxis]

        return Layer()
