"""How often the grams of a text column occur in train, in bounded memory: what vocabularies of text are made from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.data.sources.ordered import ordered_map
from pipeline.data.transforms.grams import Grams, chunks_of
from pipeline.data.transforms.vocabulary import CountLearner

if TYPE_CHECKING:
    import tensorflow as tf

# Different grams that are counted exactly; beyond, those seen once are forgotten from time to time.
_COUNTED = 1_000_000


@dataclass
class GramCounts:
    """Sees the texts of train.

    Attributes:
      grams: how a text is cut.
      once_a_text: whether a gram counts once in each text that holds it, and not every time.
      counts: how often each gram occurs.
      lengths: how many texts have how many units.

    Example:
      >>> counts = GramCounts(Grams("words", (1,), most=99))
      >>> counts.add(pa.array(["to be or not to be", None]))
      >>> counts.counts["be"], counts.lengths[6], counts.num_texts
      (2, 1, 2)
    """

    grams: Grams
    once_a_text: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    lengths: Counter[int] = field(default_factory=Counter)

    @property
    def num_texts(self) -> int:
        """Rows seen, those without a text included."""
        return self.lengths.total()

    def add(self, column: pa.Array) -> None:
        """Sees some rows: text, null where missing."""
        for counts, lengths in ordered_map(self._count, chunks_of(column)):
            self.counts.update(counts)
            self.lengths.update(lengths)
        if len(self.counts) > _COUNTED:  # what is seen once is in no vocabulary that is worth learning
            self.counts = Counter({gram: count for gram, count in self.counts.items() if count > 1})

    def most_frequent(self, max_size: int, min_count: int) -> tuple[str, ...]:
        """At most so many grams that were counted so often; ties are broken by the alphabet."""
        return CountLearner(self.counts).most_common(max_size, min_count)

    def _count(self, texts: tf.Tensor) -> tuple[dict[str, int], list[int]]:
        """Of one chunk: how often each gram occurs, and the units of each text."""
        units = self.grams.units(texts)
        found = self.grams.join(units)
        encoded = _to_arrow(found.flat_values).dictionary_encode()
        codes, size = np.asarray(encoded.indices, np.int64), len(encoded.dictionary)
        if self.once_a_text and size:
            codes = np.unique(found.value_rowids().numpy() * size + codes) % size
        counts = np.bincount(codes, minlength=size).tolist()
        lengths: list[int] = units.row_lengths().numpy().tolist()
        return dict(zip(encoded.dictionary.to_pylist(), counts, strict=True)), lengths


def _to_arrow(strings: tf.Tensor) -> pa.Array:
    """Strings [n] without an object for each: they are joined, and their lengths tell where to cut."""
    import tensorflow as tf

    offsets = np.concatenate([[0], np.cumsum(tf.strings.length(strings).numpy())]).astype(np.int32)
    joined = tf.strings.reduce_join(strings).numpy()
    return pa.Array.from_buffers(pa.string(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(joined)])
