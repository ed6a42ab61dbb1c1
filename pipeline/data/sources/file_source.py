"""What sources of files of rows have in common: a path that may mean several files, read one after another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from pipeline.data.kinds import Kind
from pipeline.data.sources.common_schema import as_schema, check_values, common_schema, flat_schema
from pipeline.data.sources.files import expand, fingerprint_of, places_in, side_by_side, some_rows, with_sides
from pipeline.data.sources.source import BATCH_ROWS, OnReject, Place
from pipeline.hashing import FileHashes


@dataclass(frozen=True)
class FileSource:
    """Rows of files in one format. A subclass says which, and reads them.

    Attributes:
      path: a file, a pattern or a folder, see `files.expand`.
      label: the column to predict.
      format: the format's name, for people.
      endings: of the files to take from a folder, in lower case.
    """

    format: ClassVar[str]
    endings: ClassVar[tuple[str, ...]]

    path: str
    label: str | None = None

    @property
    def kinds(self) -> dict[str, Kind]:
        """None: the types, or the values, tell."""
        return {}

    @property
    def files(self) -> tuple[Path, ...]:
        """What `path` stands for."""
        return expand(self.path, self.endings, self.format)

    def fingerprint(self, hashes: FileHashes) -> str:
        """The hash of the files' bytes."""
        return f"{self.format.lower().replace(' ', '-')}-{fingerprint_of(self.files, hashes)}"


@dataclass(frozen=True)
class TypedFileSource(FileSource, ABC):
    """Files that carry their schema. A subclass opens one; here the rows of all of them are brought to one schema."""

    @staticmethod
    @abstractmethod
    def opened(file: Path) -> AbstractContextManager[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
        """Opens a file: the schema and the batches as stored, which are to be taken while it is open.

        Raises:
          DataError: it is damaged; this may come up only as its batches are taken.
        """

    @classmethod
    def num_rows(cls, file: Path) -> int:
        """Of a file."""
        with cls.opened(file) as (_, stored):
            return sum(batch.num_rows for batch in stored)

    def batches(self, on_reject: OnReject) -> Iterator[pa.RecordBatch]:
        """Record batches of one schema.

        Raises:
          DataError: missing, empty or damaged file, no rows, a column twice, files with different columns.
        """
        schema = self._schema

        def read(file: Path, _: OnReject) -> Iterator[pa.RecordBatch]:
            with self.opened(file) as (_, stored):
                for batch in stored:
                    check_values(batch)
                    for start in range(0, batch.num_rows, BATCH_ROWS):
                        yield as_schema(batch.slice(start, BATCH_ROWS), schema, file)

        yield from some_rows(with_sides(self.files, side_by_side(self.files, read, on_reject)), self.path)

    def places(self, rows: Sequence[int]) -> list[Place]:
        """The file, and the number of the row in it, from 1."""
        return places_in(((str(file), self.num_rows(file)) for file in self.files), rows)

    @cached_property
    def _schema(self) -> pa.Schema:
        files, schemas = self.files, []
        for file in files:
            with self.opened(file) as (schema, _):
                schemas.append(flat_schema(schema, file))
        return common_schema(files, schemas)
