"""Parquet files, read a group of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.data.sources.file_source import TypedFileSource
from pipeline.data.sources.source import BATCH_ROWS
from pipeline.errors import DataError


@dataclass(frozen=True)
class Parquet(TypedFileSource):
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

    format = "Parquet"
    endings = (".parquet", ".pq")

    @staticmethod
    @contextmanager
    def opened(file: Path) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
        """The schema and the rows, a part of a row group at a time; Arrow decodes the columns in parallel."""
        with _parquet(file) as opened:
            yield opened.schema_arrow, opened.iter_batches(batch_size=BATCH_ROWS)

    @classmethod
    def num_rows(cls, file: Path) -> int:
        """Of a file, as its end tells."""
        with _parquet(file) as opened:
            return int(opened.metadata.num_rows)


@contextmanager
def _parquet(file: Path) -> Iterator[pq.ParquetFile]:
    try:
        # Without buffering ahead, which would hold every row group of the file at once.
        with pq.ParquetFile(file, pre_buffer=False, page_checksum_verification=True) as opened:
            yield opened
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{file} cannot be read as Parquet: {error}", expected="a whole Parquet file") from error
