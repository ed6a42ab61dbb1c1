"""What the tests of sources of files need: files written, sources read."""

from __future__ import annotations

import gzip
import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from pipeline.data.sources import Idx, Npz
from pipeline.data.sources.source import Reject, refuse
from pipeline.errors import DataError


def rows_of(source: Any, on_reject: Any = refuse) -> list[dict[str, Any]]:
    """Every row, as plain values."""
    return [row for batch in source.batches(on_reject) for row in batch.to_pylist()]


def read(source: Any) -> tuple[list[dict[str, Any]], list[Reject]]:
    """Rows and rejects; every source gives one schema, and places for its rows."""
    rejects: list[Reject] = []
    batches = list(source.batches(rejects.append))
    assert all(batch.schema == batches[0].schema for batch in batches)
    rows = [row for batch in batches for row in batch.to_pylist()]
    assert len(source.places(range(len(rows)))) == len(rows)
    assert source.places([len(rows) - 1]) == source.places(range(len(rows)))[-1:]
    return rows, rejects


def refusal(source: Any, on_reject: Any = refuse) -> str:
    """What reading it is refused with."""
    with pytest.raises(DataError) as caught:
        list(source.batches(on_reject))
    return str(caught.value)


def pixels(encoded: bytes) -> np.ndarray:
    """An encoded image, decoded."""
    return np.asarray(Image.open(io.BytesIO(encoded)))


def write(path: Path, content: str | bytes) -> Path:
    """Writes a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def write_stream(table: pa.Table, path: str) -> None:
    """In Arrow's stream format."""
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table)


def write_file(table: pa.Table, path: str) -> None:
    """In Arrow's file format, two rows a batch."""
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


def npz(tmp_path: Path, compressed: bool = True, /, **arrays: Any) -> Npz:
    """An archive of the arrays, as a source."""
    (np.savez_compressed if compressed else np.savez)(tmp_path / "rows.npz", **arrays)
    return Npz(str(tmp_path / "rows.npz"))


def idx(values: np.ndarray, magic: int | None = None) -> bytes:
    """The content of an IDX file; with another magic number, a damaged one."""
    codes = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}
    magic = codes[values.dtype.name] << 8 | values.ndim if magic is None else magic
    return (
        struct.pack(f">{values.ndim + 1}I", magic, *values.shape)
        + values.astype(values.dtype.newbyteorder(">")).tobytes()
    )


IMAGES = np.random.default_rng(0).integers(0, 256, (5, 4, 6), np.uint8)


def mnist(root: Path, packed: bool = True, images: np.ndarray = IMAGES) -> Idx:
    """A folder like MNIST's: three images to train on, two to test with."""
    for side, name in ((slice(3), "train"), (slice(3, 5), "t10k")):
        for part, values in (("images-idx3", images[side]), ("labels-idx1", np.arange(5, dtype=np.uint8)[side])):
            content = idx(values)
            path = root / f"{name}-{part}-ubyte{'.gz' if packed else ''}"
            write(path, gzip.compress(content) if packed else content)
    return Idx(str(root))
