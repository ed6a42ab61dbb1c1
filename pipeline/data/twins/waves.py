"""The frequencies by which thumbnails are compared: cosine transforms, of them whole, mirrored and cropped."""

from __future__ import annotations

import functools

import numpy as np

# Pixels of a thumbnail's sides.
SIDE = 16
# Parts cut off before and after, in either direction; every two of them are tried.
CROPS = ((0.0, 0.0), (0.05, 0.0), (0.0, 0.05), (0.025, 0.025), (0.05, 0.05))
_FINEST, _COARSE = 8, 5


def unit(vectors: np.ndarray) -> np.ndarray:
    """The same directions, float32 [..., k], with the length 1; zeros stay zeros."""
    norms = np.sqrt(np.einsum("...k,...k->...", vectors, vectors))
    return vectors / np.maximum(norms, np.float32(1e-6))[..., None]


@functools.cache
def frequencies() -> np.ndarray:
    """int64 [coefficients, 2]: vertical and horizontal half waves of the cosines used; finer ones are noise."""
    all_of_them = np.stack(np.meshgrid(np.arange(_FINEST), np.arange(_FINEST), indexing="ij"), axis=-1).reshape(-1, 2)
    squares = (all_of_them**2).sum(axis=1)
    return all_of_them[(squares > 0) & (squares < _FINEST**2)]


@functools.cache
def weighted_cosines() -> np.ndarray:
    """float32 [256, coefficients]: the discrete cosine transform, each coefficient times its frequency.

    Photos have amplitudes that fall with the frequency (Field, 1987), so this gives all coefficients an equal say.
    """
    cosines = np.cos(np.pi * np.arange(_FINEST)[:, None] * (np.arange(SIDE) + 0.5) / SIDE)
    cosines[0] *= np.sqrt(0.5)
    vertical, horizontal = frequencies().T
    waves = np.einsum("ky,kx,k->yxk", cosines[vertical], cosines[horizontal], np.hypot(vertical, horizontal))
    return waves.reshape(SIDE * SIDE, -1).astype(np.float32)


@functools.cache
def cropped_cosines() -> np.ndarray:
    """float32 [256, crops * coefficients]: cropping, stretching back to 16x16 and transforming, in one."""
    places = (np.arange(SIDE) + 0.5) / SIDE
    stretch = np.stack([_interpolation(before + places * (1 - before - after)) for before, after in CROPS])
    waves = weighted_cosines().reshape(SIDE, SIDE, -1)
    cropped = np.einsum("ayi,bxj,yxk->ijabk", stretch, stretch, waves, optimize=True)
    return np.ascontiguousarray(cropped.reshape(SIDE * SIDE, -1), np.float32)


def _interpolation(places: np.ndarray) -> np.ndarray:
    """[16, 16]: row by row the weights that give the value at a place, from 0 to 1, of 16 pixels."""
    places = np.clip(places * SIDE - 0.5, 0, SIDE - 1)
    distance = np.abs(places[:, None] - np.arange(SIDE))
    return np.maximum(1 - distance, 0)


@functools.cache
def mirror_signs() -> np.ndarray:
    """float32 [coefficients]: mirroring turns the sign of the waves that are odd from left to right."""
    return np.where(frequencies()[:, 1] % 2 == 1, -1, 1).astype(np.float32)


@functools.cache
def coarse() -> np.ndarray:
    """float32 [coefficients]: 1 for those that a crop of 5 % changes little."""
    return ((frequencies() ** 2).sum(axis=1) < _COARSE**2).astype(np.float32)
