"""What every source is: a frozen dataclass that streams raw rows as Arrow record batches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from pipeline.errors import DataError
from pipeline.hashing import FileHashes

BATCH_ROWS = 65_536


class Source(Protocol):
    """An origin of rows.

    Attributes:
      label: name of the column to predict, or None.
    """

    @property
    def label(self) -> str | None:
        """Name of the column to predict."""

    @property
    def categorical(self) -> tuple[str, ...]:
        """Columns that the source knows to be categories, whatever their values look like."""

    @property
    def images(self) -> tuple[str, ...]:
        """Columns of images: paths (string) or encoded bytes (binary)."""

    def fingerprint(self, hashes: FileHashes) -> str:
        """A hash of the content, and of nothing else: neither the place nor the time."""

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, in an order that never changes. DataError names file and line of what cannot be read."""

    def locate(self, row: int) -> str:
        """Where a row stands, for people: `"rows.csv:17"`."""


def check_file(path: Path, kind: str) -> None:
    """Refuses a file that is missing, a folder, unreadable or empty.

    Raises:
      DataError: it is.
    """
    if not path.exists():
        siblings = sorted(found.name for found in path.parent.glob(f"*{path.suffix}")) if path.parent.is_dir() else []
        listed = f"{path.parent} holds {', '.join(siblings[:5])}" if siblings else None
        raise DataError(f"{path} does not exist.", expected=f"a {kind} file", fix=listed)
    if path.is_dir():
        raise DataError(f"{path} is a folder.", expected=f"a {kind} file")
    try:
        with path.open("rb") as handle:
            empty = not handle.read(1)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", expected=f"a readable {kind} file") from error
    if empty:
        raise DataError(f"{path} is empty.", expected="a header and rows" if kind == "CSV" else f"a {kind} file")
