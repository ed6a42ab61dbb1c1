"""Which images are worth a comparison: those that stand near each other when sorted by bits of random projections.

Bits: Charikar, "Similarity estimation techniques from rounding algorithms", 2002; sorting instead of buckets: Bawa et
al., "LSH Forest", 2005. What is found grows with the number of images and not with its square, however alike they are.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipeline.data.twins.clusters import sorted_distinct
from pipeline.data.twins.waves import coarse, mirror_signs

# Of 60,000 pieces of photos, 800 with a twin cropped by 5 % in both directions: 24 orders find 0.92 of these, 48 0.97.
_NUM_BITS, _NUM_ORDERS, _NEIGHBORS = 256, 48, 4
# Of 256: a twin differs in up to 70, a stranger in 128, give or take 20.
_MOST_BITS_APART, _MOST_BITS_APART_IF_SMALL = 84, 24


def candidates(plain: np.ndarray, small: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs worth a comparison.

    Args:
      plain: float32 [n, coefficients] unit vectors, see `waves`.
      small: bool [n], True for images of which only nearly equal ones count.

    Returns:
      int64 [pairs, 2], and bool [pairs]: whether the second image is to be mirrored.
    """
    num_images = len(plain)
    both = np.concatenate([plain, plain * mirror_signs()]) * coarse()
    random = np.random.Generator(np.random.Philox(0))
    bits = (both @ random.standard_normal((both.shape[1], _NUM_BITS), np.float32) > 0).T
    words = np.packbits(np.ascontiguousarray(bits.T), axis=1).view(np.uint64)
    most = np.where(np.tile(small, 2), _MOST_BITS_APART_IF_SMALL, _MOST_BITS_APART).astype(np.uint8)
    found = []
    for _ in range(_NUM_ORDERS):
        order = np.argsort(_first_bits(bits[random.permutation(_NUM_BITS)[:64]]), kind="stable")
        for first, second in _near(order, words, most):
            # Two mirrored images are alike where they are so unmirrored.
            useful = ((first < num_images) | (second < num_images)) & (first % num_images != second % num_images)
            found.append(_code(first[useful], second[useful], num_images))
    codes = sorted_distinct(np.concatenate(found))
    return np.stack(np.divmod(codes // 2, max(num_images, 1)), axis=1), codes % 2 == 1


def _near(order: np.ndarray, words: np.ndarray, most: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """First and second entries, int64 [pairs], that stand near each other and differ in few bits."""
    words, most = words[order], most[order]
    for gap in range(1, _NEIGHBORS + 1):
        apart = np.bitwise_count(words[gap:] ^ words[:-gap]).sum(axis=1, dtype=np.uint16)
        near = np.flatnonzero(apart <= np.minimum(most[gap:], most[:-gap]))
        yield order[near], order[near + gap]


def _code(first: np.ndarray, second: np.ndarray, num_images: int) -> np.ndarray:
    """One number for a pair of entries, of which those from `num_images` on are mirrored images."""
    mirrored = (first >= num_images) | (second >= num_images)
    first, second = first % num_images, second % num_images
    return (np.minimum(first, second) * num_images + np.maximum(first, second)) * 2 + mirrored


def _first_bits(bits: np.ndarray) -> np.ndarray:
    """uint64 [n] of bool [64, n], the first bit being the highest: numbers near each other begin with the same bits."""
    octets = np.packbits(bits, axis=0).astype(np.uint64)
    return np.bitwise_or.reduce(octets << np.arange(56, -1, -8, dtype=np.uint64)[:, None])
