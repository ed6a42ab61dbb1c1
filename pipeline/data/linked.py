"""Files that a table names: their content is part of the source's, although the table's own bytes do not change."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.data.convert import is_text
from pipeline.data.sources.source import Source, folder_of
from pipeline.hashing import FileHashes


def linked_fingerprint(source: Source, columns: Collection[str], hashes: FileHashes) -> str:
    """A hash of the content of every file that stands in these columns; "" where there are none.

    Args:
      source: of the table; what it knows itself to be images (`Source.kinds`) is in its own fingerprint already.
      columns: of paths.
      hashes: remembers the files.

    Raises:
      DataError: the source cannot be read.
    """
    wanted = sorted(set(columns) - set(source.kinds))
    if not wanted:
        return ""
    folder, digest = folder_of(source) or Path(), hashlib.blake2b(digest_size=16)
    for batch in source.batches(lambda reject: None):
        for name in wanted:
            if name in batch.schema.names and is_text(batch.schema.field(name).type):
                for path in pc.unique(batch.column(name).cast(pa.string())).drop_null().to_pylist():
                    digest.update(_content(folder / path, hashes).encode())
    return digest.hexdigest()


def _content(path: Path, hashes: FileHashes) -> str:
    try:
        return hashes.of(path)
    except (OSError, ValueError):
        return "unreadable"  # the row is set aside when it is read
