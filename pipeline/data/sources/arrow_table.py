"""An Arrow table in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipeline.data.kinds import Kind
from pipeline.data.sources.source import BATCH_ROWS, OnReject, Place
from pipeline.errors import DataError
from pipeline.hashing import FileHashes


@dataclass(frozen=True, eq=False)
class ArrowTable:
    """A `pyarrow.Table`, its columns in their types; structures become dotted columns. For Python only.

    Args:
      table: at least one row, every column with a name of its own.
      label: the column to predict.

    Raises:
      DataError: there is no row, or a name stands twice.

    Example:
      >>> from pipeline.data.sources.source import refuse
      >>> source = ArrowTable(pa.table({"size": [1, 2], "price": [10.0, 20.0]}), label="price")
      >>> [batch.num_rows for batch in source.batches(refuse)]
      [2]
    """

    table: pa.Table
    label: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.table, pa.Table):
            raise DataError(f"ArrowTable was given a {type(self.table).__name__}.", expected="a pyarrow.Table")
        if self.table.num_rows == 0:
            raise DataError("The table has no rows.", expected="at least one row")
        names = _flat(self.table.slice(0, 0)).column_names
        for name in names:
            if names.count(name) > 1:
                raise DataError(f'The table has {names.count(name)} columns "{name}".', fix="Rename the others.")

    @property
    def kinds(self) -> dict[str, Kind]:
        """None: the types tell."""
        return {}

    def fingerprint(self, hashes: FileHashes) -> str:
        """The hash of names, types and values, however the table is cut into chunks."""
        return f"table-{content_hash(self._slices())}"

    def batches(self, on_reject: OnReject) -> Iterator[pa.RecordBatch]:
        """Record batches of at most 65,536 rows."""
        return self._slices()

    def places(self, rows: Sequence[int]) -> list[Place]:
        """`table:17`, the number of the row, from 1."""
        return [Place("table", row + 1) for row in rows]

    def _slices(self) -> Iterator[pa.RecordBatch]:
        # One after another, not `to_batches`: its batches end where chunks end.
        for start in range(0, self.table.num_rows, BATCH_ROWS):
            part = _flat(self.table.slice(start, BATCH_ROWS)).combine_chunks()
            yield from part.replace_schema_metadata(None).to_batches()


def _flat(table: pa.Table) -> pa.Table:
    while any(pa.types.is_struct(kind) for kind in table.schema.types):
        table = table.flatten()
    return table


def content_hash(batches: Iterable[pa.RecordBatch]) -> str:
    """A hash of names, types and values of batches that are cut in one way."""
    digest = hashlib.blake2b(digest_size=16)
    for batch in batches:
        add_content(digest, batch)
    return digest.hexdigest()


def add_content(digest: hashlib.blake2b, batch: pa.RecordBatch) -> None:
    """Adds a batch to a hash, as Arrow would write it, which is without what lies around a slice."""
    # The order of a dictionary is no content.
    columns = [
        column.dictionary_decode() if pa.types.is_dictionary(column.type) else column for column in batch.columns
    ]
    plain = pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, plain.schema) as writer:
        writer.write_batch(plain)
    digest.update(sink.getvalue())
