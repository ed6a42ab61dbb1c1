"""Runs of neighboring characters within a word: what is left of it where it is misspelt or inflected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.data.transforms.grams import BETWEEN_WORDS

if TYPE_CHECKING:
    import tensorflow as tf

# Between the characters of a run, so that "c-a-r" is none of the words, which hold letters and digits alone.
_SEPARATOR = "-"


def hashed_inside_words(words: tf.RaggedTensor, sizes: tuple[int, ...], buckets: int) -> tf.RaggedTensor:
    """Runs of characters of each word, with a blank before and after it, each hashed.

    They are those of scikit-learn's `analyzer="char_wb"`, but that a word shorter than a size has none of it. The idea
    is that of Bojanowski, Grave, Joulin and Mikolov, "Enriching Word Vectors with Subword Information" (TACL 2017).

    Args:
      words: strings [rows, words], of letters and digits.
      sizes: characters of a run, blanks included.
      buckets: to hash into.

    Returns:
      int64 [rows, runs], from 0 to buckets - 1: word by word, of each those of the first size first.

    Example:
      >>> import tensorflow as tf
      >>> [len(row) for row in hashed_inside_words(tf.ragged.constant([["a", "card"], []]), (4,), 99).to_list()]
      [3, 0]
    """
    import tensorflow as tf

    # A word comes again and again: each is cut once.
    different, places = tf.unique(words.flat_values)
    characters = tf.strings.unicode_split(tf.strings.join([" ", different, " "]), "UTF-8")
    runs = tf.strings.ngrams(characters, sizes, separator=_SEPARATOR)
    hashed = runs.with_flat_values(tf.strings.to_hash_bucket_fast(runs.flat_values, buckets))
    return words.with_flat_values(tf.gather(hashed, places)).merge_dims(1, 2)


def count_inside_words(values: pa.Array, sizes: tuple[int, ...]) -> np.ndarray:
    """How many such runs each text has, int64 [rows]; a missing one has none.

    >>> count_inside_words(pa.array(["a card?", None, "Où"]), (4, 5)).tolist()
    [5, 0, 1]
    """
    words = pc.split_pattern_regex(pc.fill_null(values, ""), BETWEEN_WORDS)
    # Before the first word and after the last there may be an empty one.
    lengths = np.asarray(pc.utf8_length(words.flatten()), np.int64)
    found = sum(np.where(lengths > 0, np.maximum(lengths + 3 - size, 0), 0) for size in sizes)
    return np.bincount(pc.list_parent_indices(words), found, len(values)).astype(np.int64)
