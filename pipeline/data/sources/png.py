"""Arrays of pixels as PNG bytes, without loss."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pyarrow as pa

from pipeline.data.sources.ordered import ordered_map

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# PNG's numbers for grey, color, and color with transparency, by channels.
_COLORS = {1: 0, 3: 2, 4: 6}
# Below this many bytes an image, threads cost more than they win.
_THREADS_FROM = 1 << 15


def encode_png(images: np.ndarray) -> pa.Array:
    r"""Each image as the bytes of a PNG file.

    Written here because Pillow takes 2.4 times as long for small images: 4.6 s against 1.9 s for 70,000 of 28x28.
    The format: https://www.w3.org/TR/png-3/.

    Args:
      images: uint8 [n, height, width] or [n, height, width, channels] with 1, 3 or 4 channels.

    Returns:
      binary [n].

    Example:
      >>> encode_png(np.zeros((2, 8, 8), np.uint8))[0].as_py()[:4]
      b'\x89PNG'
    """
    num, height, width = images.shape[:3]
    channels = images.shape[3] if images.ndim == 4 else 1
    header = struct.pack(">IIBBBBB", width, height, 8, _COLORS[channels], 0, 0, 0)
    before, after = _SIGNATURE + _chunk(b"IHDR", header), _chunk(b"IEND", b"")
    # Each line begins with the number of its filter: 0, none.
    lines = np.zeros((num, height, 1 + width * channels), np.uint8)
    lines[:, :, 1:] = images.reshape(num, height, -1)

    def encode(pixels: np.ndarray) -> bytes:
        return before + _chunk(b"IDAT", zlib.compress(pixels.data, 1)) + after

    work = ordered_map if lines[:1].nbytes >= _THREADS_FROM else map
    return pa.array(work(encode, lines), pa.binary())


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))
