"""64-bit hashes of whole columns: of numbers and of texts, equal on every machine and in every process.

Every bit of the input moves every bit of the hash (see `mixing`), which a sample by hash (see `distinct`) relies upon.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa

from pipeline.data.mixing import STEP, mix

# Longer texts are hashed one by one: one very long text would otherwise be walked through in steps of 8 bytes.
_LONG_BYTES = 64
_WORD_BYTES = 8


def hash_numbers(values: np.ndarray) -> np.ndarray:
    """uint64 [n] of float64 [n] without NaN; -0.0 and 0.0 are one number.

    Example:
      >>> zero, minus_zero, one = hash_numbers(np.array([0.0, -0.0, 1.0]))
      >>> bool(zero == minus_zero), bool(zero == one)
      (True, False)
    """
    # Zero would be a fixed point of `mix`, and always in the sample; a constant moves it.
    return mix((values + 0.0).view(np.uint64) + STEP)


def hash_strings(values: pa.Array) -> np.ndarray:
    """uint64 [n] of an Arrow array of n texts without nulls.

    Example:
      >>> first, second, third = hash_strings(pa.array(["ab", "b", "ab"]))
      >>> bool(first == third), bool(first == second)
      (True, False)
    """
    texts = values.cast(pa.large_string())
    if len(texts) == 0:
        return np.zeros(0, np.uint64)
    offsets = np.frombuffer(texts.buffers()[1], np.int64)[texts.offset : texts.offset + len(texts) + 1]
    content = np.frombuffer(texts.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]
    starts, lengths = offsets[:-1] - offsets[0], np.diff(offsets)
    hashes = _hash_short(content, starts, lengths)
    for row in np.flatnonzero(lengths > _LONG_BYTES):
        text = content[starts[row] : starts[row] + lengths[row]]
        hashes[row] = int.from_bytes(hashlib.blake2b(text.tobytes(), digest_size=8).digest(), "little")
    return hashes


def _hash_short(content: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Each text's 8-byte words folded one after another, for all texts at once."""
    padded = np.concatenate([content, np.zeros(_WORD_BYTES, np.uint8)])
    # A word at every byte: texts begin anywhere.
    words = np.ndarray(len(content) + 1, "<u8", padded.data, strides=(1,))
    hashes = mix(lengths.astype(np.uint64) + np.uint64(1))
    for place in range(0, min(int(lengths.max()), _LONG_BYTES), _WORD_BYTES):
        rows = np.flatnonzero((lengths > place) & (lengths <= _LONG_BYTES))
        missing = np.clip(_WORD_BYTES + place - lengths[rows], 0, _WORD_BYTES - 1).astype(np.uint64)
        # The first bytes are the low ones: what belongs to the next text is shifted out at the top.
        shift = missing * np.uint64(8)
        word = (words[starts[rows] + place] << shift) >> shift
        hashes[rows] = mix(hashes[rows] ^ word) + np.uint64(place)
    return hashes
