"""One file in IDX, the format of MNIST: http://yann.lecun.com/exdb/mnist/, read a few rows at a time."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import numpy as np

from pipeline.data.sources.source import check_file
from pipeline.errors import DataError

# The third byte of the magic number; values are stored with the highest byte first.
_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


@dataclass(frozen=True)
class IdxHeader:
    """What stands in the header of an IDX file."""

    file: Path
    dtype: np.dtype
    shape: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        """The size that the file must have, unpacked."""
        return 4 + 4 * len(self.shape) + math.prod(self.shape) * self.dtype.itemsize


def idx_header(file: Path) -> IdxHeader:
    """Reads the header, and compares the size of a file that is not packed.

    Raises:
      DataError: missing, empty, cut short, too long, or no IDX.
    """
    check_file(file, "IDX")
    with _opened(file) as handle:
        magic = handle.read(4)
        axes = magic[3] if len(magic) == 4 else 0
        if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES or not axes:
            raise DataError(
                f"{file} is no IDX file: it begins with 0x{magic.hex()}.",
                expected="0x00000801 (labels), 0x00000803 (images), or another type in the third byte",
            )
        sizes = handle.read(4 * axes)
    if len(sizes) < 4 * axes:
        raise _cut_short(file, 4 + len(sizes), 4 + 4 * axes)
    header = IdxHeader(file, np.dtype(_TYPES[magic[2]]), struct.unpack(f">{axes}I", sizes))
    if not _is_packed(file) and file.stat().st_size != header.num_bytes:
        raise _cut_short(file, file.stat().st_size, header.num_bytes)
    return header


def idx_parts(header: IdxHeader, rows: int) -> Iterator[np.ndarray]:
    """The values in parts of `rows` rows, in the machine's order of bytes.

    Raises:
      DataError: the file is damaged, ends early, or goes on.
    """
    with _opened(header.file) as handle:
        handle.read(4 + 4 * len(header.shape))
        done = 4 + 4 * len(header.shape)
        for start in range(0, header.shape[0], rows):
            shape = (min(rows, header.shape[0] - start), *header.shape[1:])
            wanted = math.prod(shape) * header.dtype.itemsize
            content = _read(handle, wanted)
            done += len(content)
            if len(content) < wanted:
                raise _cut_short(header.file, done, header.num_bytes)
            yield np.frombuffer(content, header.dtype).reshape(shape).astype(header.dtype.newbyteorder("="))
        if _read(handle, 1):
            raise DataError(f"{header.file} goes on after the {done:,} bytes that its header tells of.",
                            expected=f"{header.num_bytes:,} bytes")  # fmt: skip


def _read(handle: IO[bytes], wanted: int) -> bytes:
    """What is left of `wanted` bytes; a packed file that ends early gives fewer instead of an error."""
    parts: list[bytes] = []
    try:
        while wanted > 0 and (part := handle.read(min(wanted, 1 << 16))):
            parts.append(part)
            wanted -= len(part)
    except EOFError:
        pass
    return b"".join(parts)


def _cut_short(file: Path, found: int, expected: int) -> DataError:
    what = "ends after" if found < expected else "has"
    return DataError(f"{file} {what} {found:,} bytes.", expected=f"{expected:,} bytes, as its header tells")


def _is_packed(file: Path) -> bool:
    with file.open("rb") as handle:
        return handle.read(2) == b"\x1f\x8b"


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    try:
        with gzip.open(file) if _is_packed(file) else file.open("rb") as handle:
            yield cast("IO[bytes]", handle)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file} cannot be read: {error}", expected="a whole IDX file") from error
