"""The records of prepared TFDS data: serialized `tf.train.Example`s, whatever the format of the files."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.data.sources.tfrecord import read_tfrecord
from pipeline.errors import DataError

# Records taken from a file at once.
_RECORDS = 1024


@dataclass(frozen=True)
class Part:
    """A run of records: of `file`, from number `first` (from 0), `count` of `in_file`; all of one TFDS split."""

    file: Path
    first: int
    count: int
    in_file: int
    split: str


def read_records(part: Part, file_format: str) -> Iterator[bytes]:
    """The serialized examples of a part.

    Raises:
      DataError: the file is damaged (TFRecord and ArrayRecord have checksums, Parquet as TFDS writes it has none, so
        that a changed byte may go unseen there), is in a format that is not read (Riegeli), or holds more or fewer
        records than were written.
    """
    if file_format not in _READERS:
        raise DataError(f"{part.file}: the format {file_format} cannot be read.",
                        expected=f"one of {', '.join(_READERS)}",
                        fix="Prepare the data set again in one of them.")  # fmt: skip
    records = _READERS[file_format](part.file)
    found = 0
    for record in itertools.islice(records, part.first, part.first + part.count):
        found += 1
        yield record
    rest = sum(1 for _ in records) if part.first + part.count == part.in_file else 0
    if found != part.count or rest:
        lost = " in another format: TFDS 4.9.10 loses rows where it writes Parquet" if file_format == "parquet" else ""
        raise DataError(
            f"{part.file} holds {part.first + found + rest} records.",
            expected=f"{part.in_file}, as dataset_info.json says",
            fix=f"Prepare the data set again{lost}.",
        )


def _array_record(path: Path) -> Iterator[bytes]:
    from array_record.python import array_record_module

    try:
        reader = array_record_module.ArrayRecordReader(str(path))
        for first in range(0, reader.num_records(), _RECORDS):
            yield from reader.read(first, min(first + _RECORDS, reader.num_records()))
    except (RuntimeError, ValueError, IndexError) as error:
        raise _damaged(path, "ArrayRecord", error) from error


def _parquet(path: Path) -> Iterator[bytes]:
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_RECORDS):
                yield from batch.column(0).to_pylist()  # TFDS writes serialized examples into the first column
    except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: names that are not UTF-8
        raise _damaged(path, "Parquet", error) from error


def _damaged(path: Path, kind: str, error: Exception) -> DataError:
    return DataError(f"{path} cannot be read as {kind}: {error}", expected=f"a whole {kind} file",
                     fix="Prepare the data set again.")  # fmt: skip


_READERS = {"tfrecord": read_tfrecord, "array_record": _array_record, "parquet": _parquet}
