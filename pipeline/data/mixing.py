"""Spreading the bits of numbers: what hashes, samples by hash and shuffled orders are made with.

The finalizer of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): every
bit of the input moves every bit of the output, and no two inputs share one.
"""

from __future__ import annotations

import numpy as np

# 2**64 over the golden ratio, odd: SplitMix64's step. Zero is a fixed point of `mix`; what may be zero is moved by it.
STEP = np.uint64(0x9E3779B97F4A7C15)
FIRST, SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def mix(bits: np.ndarray) -> np.ndarray:
    """Scrambles numbers, one to one.

    Args:
      bits: uint64, of any shape; left as it is.

    Returns:
      uint64 of the same shape.

    Example:
      >>> [hex(word) for word in mix(STEP * np.arange(1, 3, dtype=np.uint64))]  # as SplitMix64 seeded with 0
      ['0xe220a8397b1dcdaf', '0x6e789e6aa1b965f4']
    """
    mixed = bits ^ (bits >> np.uint64(30))
    mixed *= FIRST
    mixed ^= mixed >> np.uint64(27)
    mixed *= SECOND
    mixed ^= mixed >> np.uint64(31)
    return mixed
