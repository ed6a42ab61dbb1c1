"""Parquet files, read a group of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.data.kinds import Kind
from pipeline.data.sources.common_schema import as_schema, check_values, common_schema, flat_schema
from pipeline.data.sources.files import expand, fingerprint_of, places_in, side_by_side, some_rows, with_sides
from pipeline.data.sources.source import BATCH_ROWS, OnReject, Place
from pipeline.errors import DataError
from pipeline.hashing import FileHashes

ENDINGS = (".parquet", ".pq")


@dataclass(frozen=True)
class Parquet:
    """Rows of Parquet files, in the types of their schema; structures become dotted columns (`address.city`).

    Args:
      path: a file, a pattern (`logs/*.parquet`) or a folder. The files have the same columns; where types differ, the
        wider one is used.
      label: the column to predict.

    Example:
      >>> from pipeline.data.sources import Parquet
      >>> Parquet("logs/*.parquet", label="clicked").label
      'clicked'
    """

    path: str
    label: str | None = None

    @property
    def kinds(self) -> dict[str, Kind]:
        """None: the types tell."""
        return {}

    @property
    def files(self) -> tuple[Path, ...]:
        """What `path` stands for."""
        return expand(self.path, ENDINGS, "Parquet")

    def fingerprint(self, hashes: FileHashes) -> str:
        """The hash of the files' bytes."""
        return f"parquet-{fingerprint_of(self.files, hashes)}"

    def batches(self, on_reject: OnReject) -> Iterator[pa.RecordBatch]:
        """Record batches of one schema.

        Raises:
          DataError: missing, empty or damaged file, no rows, a column twice, files with different columns.
        """
        schema = self._schema

        def read(file: Path, _: OnReject) -> Iterator[pa.RecordBatch]:
            with _opened(file) as opened:
                # Arrow decodes the columns in parallel.
                for batch in opened.iter_batches(batch_size=BATCH_ROWS):
                    check_values(batch)
                    yield as_schema(batch, schema, file)

        yield from some_rows(with_sides(self.files, side_by_side(self.files, read, on_reject)), self.path)

    def places(self, rows: Sequence[int]) -> list[Place]:
        """The file, and the number of the row in it, from 1."""
        return places_in(((str(file), _num_rows(file)) for file in self.files), rows)

    @cached_property
    def _schema(self) -> pa.Schema:
        files, schemas = self.files, []
        for file in files:
            with _opened(file) as opened:
                schemas.append(flat_schema(opened.schema_arrow, file))
        return common_schema(files, schemas)


def _num_rows(file: Path) -> int:
    with _opened(file) as opened:
        return int(opened.metadata.num_rows)


@contextmanager
def _opened(file: Path) -> Iterator[pq.ParquetFile]:
    try:
        # Without buffering ahead, which would hold every row group of the file at once.
        with pq.ParquetFile(file, pre_buffer=False, page_checksum_verification=True) as opened:
            yield opened
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{file} cannot be read as Parquet: {error}", expected="a whole Parquet file") from error
