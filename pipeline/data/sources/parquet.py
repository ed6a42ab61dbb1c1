"""Parquet files, read a group of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.data.sources.source import BATCH_ROWS, check_file
from pipeline.errors import DataError
from pipeline.hashing import FileHashes


@dataclass(frozen=True)
class Parquet:
    """Rows of a Parquet file, in the types of its schema.

    Args:
      path: the file.
      label: the column to predict.
    """

    path: str
    label: str | None = None

    categorical = ()
    images = ()

    def fingerprint(self, hashes: FileHashes) -> str:
        """The hash of the file's bytes."""
        check_file(Path(self.path), "Parquet")
        return f"parquet-{hashes.of(Path(self.path))}"

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Record batches as stored.

        Raises:
          DataError: missing, empty or damaged file, no rows, a column twice.
        """
        check_file(Path(self.path), "Parquet")
        try:
            with pq.ParquetFile(self.path) as file:
                names = file.schema_arrow.names
                repeated = sorted({name for name in names if names.count(name) > 1})
                if repeated:
                    raise DataError(f'{self.path}: the column "{repeated[0]}" stands there twice.')
                if file.metadata.num_rows == 0:
                    raise DataError(f"{self.path} has columns but no rows.", expected="at least one row")
                yield from file.iter_batches(batch_size=BATCH_ROWS)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
            raise DataError(
                f"{self.path} cannot be read as Parquet: {error}", expected="a whole Parquet file"
            ) from error

    def locate(self, row: int) -> str:
        """`"rows.parquet, row 17"`, counted from 1."""
        return f"{self.path}, row {row + 1}"
