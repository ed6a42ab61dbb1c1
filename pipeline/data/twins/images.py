"""Near duplicates of images: re-encoded, resized, brightened, slightly cropped or mirrored.

Two images are compared by the low frequencies of their grey thumbnails (Zauner, "Implementation and benchmarking of
perceptual image hash functions", 2010), weighted so that fine structure counts as much as coarse: the correlation of
these is 1 whatever the brightness and the contrast. `lookalikes` says which images to compare.
"""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING

import numpy as np

from pipeline.data.twins.clusters import clusters, distinct_pairs, groups_of_equal
from pipeline.data.twins.lookalikes import candidates
from pipeline.data.twins.waves import CROPS, SIDE, cropped_cosines, mirror_signs, unit, weighted_cosines

if TYPE_CHECKING:
    from PIL import Image

_TAIL = struct.Struct("<8sII")
SIGNATURE_BYTES = SIDE * SIDE + _TAIL.size

# Measured on 800 photos of flowers: planted twins correlate by 0.97 to 1.00 (one in a hundred of those cropped by 5 %
# on all four sides by less), other photos by at most 0.94.
SIMILAR = 0.95
# Small images and crowds of images that are alike by nature (clothes, digits, scans of one form) have to be nearly
# equal: among 10,000 clothes of 28x28 pixels 48,862 pairs correlate by 0.95 or more, three by this.
NEARLY_EQUAL = 0.998
_SMALL_PIXELS = 64
# A cluster larger than this is taken for such a crowd; its pairs are held to the next stricter bound, and so on.
CROWD = 16
_STRICTER = (0.97, 0.98, 0.99, NEARLY_EQUAL)
# Grey levels. Of a thumbnail with less, the correlation is one of rounding errors: such images have to be equal.
_FLAT = 2.0

# Comparing with crops is dear, so each image is only so compared with those most like it.
_MOST_COMPARED = 4
_LEAST_UNCROPPED = 0.4
_CHUNK = 2048


def draft_size(width: int, height: int) -> tuple[int, int]:
    """The size to ask `PIL.Image.Image.draft` for: an eighth, but no less than `signature` needs.

    Example:
      >>> draft_size(640, 480), draft_size(100, 80)
      ((80, 60), (24, 24))
    """
    return max(width // 8, SIDE * 3 // 2), max(height // 8, SIDE * 3 // 2)


def signature(image: Image.Image, *, full_size: tuple[int, int] | None = None) -> bytes:
    """What `near_images` needs to know of an image.

    Args:
      image: loaded, of any mode; possibly drafted (see `draft_size`). Its alpha is ignored, as by the decoder.
      full_size: width and height in pixels before it was drafted; None: those of the image times the scale at which
        Pillow decoded it, up to 7 pixels too many. Small images are judged strictly.

    Returns:
      `SIGNATURE_BYTES` bytes: a grey thumbnail of 16x16, a hash of the pixels, the full size.

    Example:
      >>> from PIL import Image
      >>> len(signature(Image.new("RGB", (40, 30), "green"), full_size=(320, 240))) == SIGNATURE_BYTES
      True
    """
    decoded = getattr(image, "decoderconfig", ()) if getattr(image, "format", None) == "JPEG" else ()
    scale = decoded[0] if decoded else 1
    width, height = full_size or (image.width * scale, image.height * scale)
    scale = max(round(width / image.width), 1)
    box = (0, 0, min(width / scale, image.width), min(height / scale, image.height))
    # Bilinear and not box: Pillow's box filter takes whole pixels, and its thumbnails of two sizes differ.
    thumbnail = _grey(image).resize((SIDE, SIDE), _bilinear(), box=box)
    digest = hashlib.blake2b(image.tobytes(), digest_size=8, key=image.mode.encode()).digest()
    return thumbnail.tobytes() + _TAIL.pack(digest, width, height)


def near_images(signatures: np.ndarray) -> np.ndarray:
    """The pairs of images that are near duplicates.

    Images of one color, or nearly so, are twins only if all their pixels are equal. Images below 64 pixels on their
    longer side, and images that are one of a crowd, have to be nearly equal (`NEARLY_EQUAL`) and are not found cropped.

    Args:
      signatures: uint8 [n, SIGNATURE_BYTES], see `signature`.

    Returns:
      int64 [pairs, 2], i < j, ascending. Of more than two equal images each is paired with the first only.

    Raises:
      ValueError: the array has another shape.

    Example:
      >>> from PIL import Image
      >>> ramp = Image.linear_gradient("L").rotate(30)
      >>> images = [ramp, Image.new("L", (256, 256)), ramp.resize((128, 128)), ramp.point(lambda grey: grey * 0.8)]
      >>> near_images(np.stack([np.frombuffer(signature(image), np.uint8) for image in images])).tolist()
      [[0, 2], [0, 3], [2, 3]]
    """
    signatures = np.ascontiguousarray(signatures, np.uint8)
    if signatures.ndim != 2 or signatures.shape[1] != SIGNATURE_BYTES:
        raise ValueError(f"signatures have the shape {signatures.shape}, not [n, {SIGNATURE_BYTES}].")
    equal = groups_of_equal(_digests(signatures))
    thumbnails = signatures[:, : SIDE * SIDE]
    compared = thumbnails.std(axis=1) >= _FLAT
    compared[equal[:, 1]] = False
    rows = np.flatnonzero(compared)
    small = _longer_side(signatures[rows]) < _SMALL_PIXELS
    return distinct_pairs(equal, rows[_similar(thumbnails[rows].astype(np.float32), small)])


def _similar(thumbnails: np.ndarray, small: np.ndarray) -> np.ndarray:
    """The pairs, int64 [pairs, 2], of thumbnails float32 [n, 256], none of them flat."""
    plain = unit(thumbnails @ weighted_cosines())
    pairs, mirrored = candidates(plain, small)
    scores = _correlations(plain, pairs, mirrored)
    strict = small[pairs].any(axis=1)
    unsure = np.flatnonzero(~strict & (scores >= _LEAST_UNCROPPED) & (scores < SIMILAR))
    unsure = unsure[_among_the_best(pairs[unsure], scores[unsure])]
    scores[unsure] = _cropped_correlations(thumbnails, plain, pairs[unsure], mirrored[unsure])
    kept = scores >= np.where(strict, NEARLY_EQUAL, SIMILAR)
    return _without_crowds(pairs[kept], scores[kept], len(plain))


def _correlations(plain: np.ndarray, pairs: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    scores = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), _CHUNK * 16):
        part = slice(start, start + _CHUNK * 16)
        signs = np.where(mirrored[part, None], mirror_signs(), np.float32(1))
        scores[part] = np.einsum("nk,nk,nk->n", plain[pairs[part, 0]], plain[pairs[part, 1]], signs)
    return scores


def _cropped_correlations(
    thumbnails: np.ndarray, plain: np.ndarray, pairs: np.ndarray, mirrored: np.ndarray
) -> np.ndarray:
    """The best correlation of either whole image with any crop of the other."""
    scores = np.zeros(len(pairs), np.float32)
    for start in range(0, len(pairs), _CHUNK):
        part = slice(start, start + _CHUNK)
        signs = np.where(mirrored[part, None], mirror_signs(), np.float32(1))
        for whole, cut in ((0, 1), (1, 0)):
            crops = (thumbnails[pairs[part, cut]] @ cropped_cosines()).reshape(len(signs), len(CROPS) ** 2, -1)
            best = np.einsum("nck,nk->nc", unit(crops), plain[pairs[part, whole]] * signs).max(axis=1)
            scores[part] = np.maximum(scores[part], best)
    return scores


def _among_the_best(pairs: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Whether a pair is one of the few best of one of its images: bool [pairs]."""
    ends = pairs.T.ravel()
    # One sort of whole numbers, by image and then from the best score down, is faster than one by two keys.
    order = np.argsort((ends << 32) + ((1 - np.tile(scores, 2)) * 2**30).astype(np.int64))
    ordered = ends[order]
    best = np.ones(len(ends), bool)
    best[order[_MOST_COMPARED:]] = ordered[_MOST_COMPARED:] != ordered[:-_MOST_COMPARED]
    return np.asarray(best.reshape(2, -1).any(axis=0))


def _without_crowds(pairs: np.ndarray, scores: np.ndarray, num_images: int) -> np.ndarray:
    """In clusters too large to be of twins, only the pairs that a stricter bound leaves."""
    for bound in _STRICTER:
        cluster = clusters(num_images, pairs)
        crowded = np.bincount(cluster, minlength=num_images)[cluster[pairs[:, 0]]] > CROWD
        kept = ~crowded | (scores >= bound)
        pairs, scores = pairs[kept], scores[kept]
    return pairs


def _grey(image: Image.Image) -> Image.Image:
    """The image in mode L; one of 16 bits by its upper eight, which Pillow would clip."""
    if not image.mode.startswith("I"):
        return image.convert("L")
    from PIL import Image as images

    return images.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))


def _bilinear() -> Image.Resampling:
    from PIL import Image as images

    return images.Resampling.BILINEAR


def _digests(signatures: np.ndarray) -> np.ndarray:
    """uint64 [n], equal where pixels and sizes are."""
    words = np.ascontiguousarray(signatures[:, SIDE * SIDE :]).view(np.uint64)
    return words[:, 0] ^ (words[:, 1] * np.uint64(0x9E3779B97F4A7C15))


def _longer_side(signatures: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(signatures[:, -8:]).view(np.uint32).max(axis=1)
