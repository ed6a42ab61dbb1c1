"""Text as runs of neighboring words or characters, by TensorFlow: the same operations in training and serving."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.data.missing import MISSING
from pipeline.data.sources.ordered import ordered_map
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    import tensorflow as tf

Unit = Literal["words", "characters"]

# Letters with their accents, and digits; Arrow and TensorFlow both read it by RE2.
_WORD = r"[\pL\pM\pN]+"
BETWEEN_WORDS = r"[^\pL\pM\pN]+"
_BLANKS = r"\s+"
_LARGEST = 8
# Words of so many texts are held as strings at once.
_CHUNK_ROWS = 4096
# This share of the train texts fits whole; the few longer ones are cut, so that one essay makes no wide store.
_WHOLE_FRACTION = 0.99


@dataclass(frozen=True)
class Grams:
    """Text in lower case, cut into units, of which neighbors are joined.

    Words are what stands between everything that is neither a letter nor a digit of any script. Characters are all that
    a text has, a run of blanks taken for one.

    Args:
      unit: "words" or "characters".
      sizes: how many neighbors are joined. All grams of the first size come first, in the order of the text.
      most: a text is cut after so many units.

    Example:
      >>> import tensorflow as tf
      >>> Grams("words", (1, 2), most=3)(tf.constant(["Where is it, then?"])).to_list()
      [[b'where', b'is', b'it', b'where is', b'is it']]
      >>> Grams("characters", (2,), most=9)(tf.constant(["Oh  no"])).to_list()
      [[b'oh', b'h ', b' n', b'no']]
    """

    unit: Unit
    sizes: tuple[int, ...]
    most: int

    @property
    def slots(self) -> int:
        """So many grams a text of `most` units has; 1 at least."""
        return max(sum(max(self.most - size + 1, 0) for size in self.sizes), 1)

    def __call__(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Strings [rows] -> ragged strings [rows, grams]; a missing text (see `pipeline.data.missing`) has none."""
        return self.join(self.units(texts))

    def units(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Strings [rows] -> ragged strings [rows, at most `most` units]."""
        import tensorflow as tf

        stripped = tf.strings.strip(texts)
        missing = tf.reduce_any(stripped[:, tf.newaxis] == tf.constant(MISSING), axis=1)
        lower = tf.strings.lower(tf.where(missing, "", stripped), encoding="utf-8")
        if self.unit == "words":
            found = tf.strings.split(tf.strings.regex_replace(lower, BETWEEN_WORDS, " "))
        else:
            found = tf.strings.unicode_split(tf.strings.regex_replace(lower, _BLANKS, " "), "UTF-8")
        return found[:, : self.most]

    def join(self, units: tf.RaggedTensor) -> tf.RaggedTensor:
        """The grams of units."""
        import tensorflow as tf

        if self.sizes == (1,):
            return units
        return tf.strings.ngrams(units, self.sizes, separator=" " if self.unit == "words" else "")


def sizes_of(ngrams: int | tuple[int, ...], name: str = "ngrams") -> tuple[int, ...]:
    """`n` stands for all sizes from 1 to n, as in Keras' `TextVectorization`.

    Raises:
      ConfigError: there is none, or one is not between 1 and 8.

    >>> sizes_of(3), sizes_of((2, 1))
    ((1, 2, 3), (1, 2))
    """
    sizes = tuple(range(1, ngrams + 1)) if isinstance(ngrams, int) else tuple(sorted(set(ngrams)))
    if not sizes or not 1 <= sizes[0] <= sizes[-1] <= _LARGEST:
        raise ConfigError(
            f'"{name}" is {list(ngrams) if isinstance(ngrams, tuple) else ngrams}.',
            expected=f"a whole number from 1 to {_LARGEST} for all sizes up to it, or a list of such sizes",
        )
    return sizes


def encode_texts(column: pa.Array, encode: Callable[[Any], Any], width: int, dtype: str) -> np.ndarray:
    """Encodes a column chunk by chunk in threads: TensorFlow works outside the interpreter's lock.

    Args:
      column: text [rows], null where missing.
      encode: string tensor [n] -> tensor [n, width].
      width, dtype: of what it returns.

    Returns:
      [rows, width].
    """
    found = np.zeros((len(column), width), dtype)
    start = 0
    for part in ordered_map(lambda texts: encode(texts).numpy(), chunks_of(column)):
        found[start : start + len(part)] = part
        start += len(part)
    return found


def chunks_of(column: pa.Array) -> Iterator[tf.Tensor]:
    """A column of text as string tensors of some thousand rows; "" where missing."""
    import tensorflow as tf

    texts = pc.fill_null(column, "")
    for start in range(0, len(column), _CHUNK_ROWS):
        yield tf.constant(texts[start : start + _CHUNK_ROWS].to_pylist(), tf.string)


def count_units(values: pa.Array, unit: Unit = "words") -> Counter[int]:
    """How many texts have how many words or characters; missing ones have none. Counters merge by `+`.

    >>> sorted(count_units(pa.array(["Where is it?", None, "Où?"])).items())
    [(0, 1), (1, 1), (3, 1)]
    >>> sorted(count_units(pa.array(["a   b", None, "Où?"]), "characters").items())
    [(0, 1), (3, 2)]
    """
    if unit == "words":
        found = pc.count_substring_regex(values, _WORD)
    else:
        found = pc.utf8_length(pc.replace_substring_regex(values, _BLANKS, " "))
    lengths, counts = np.unique(pc.fill_null(found, 0), return_counts=True)
    return Counter(dict(zip(lengths.tolist(), counts.tolist(), strict=True)))


def whole_length(lengths: Counter[int], most: int) -> int:
    """The length that is enough for nearly all texts, between 1 and `most`.

    >>> whole_length(Counter({3: 99, 1000: 1}), 256)
    3
    """
    seen, needed = 0, 0
    for length, count in sorted(lengths.items()):
        seen, needed = seen + count, length
        if seen >= _WHOLE_FRACTION * lengths.total():
            break
    return min(max(needed, 1), most)
