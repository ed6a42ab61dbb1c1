"""Arrow files: Feather (version 2), which is Arrow's file format, and Arrow's stream format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from pipeline.data.kinds import Kind
from pipeline.data.sources.common_schema import as_schema, check_values, common_schema, flat_schema
from pipeline.data.sources.files import expand, fingerprint_of, places_in, side_by_side, some_rows, with_sides
from pipeline.data.sources.source import BATCH_ROWS, OnReject, Place
from pipeline.errors import DataError
from pipeline.hashing import FileHashes

ENDINGS = (".arrow", ".feather", ".ipc", ".arrows")
_FILE, _FEATHER_1 = b"ARROW1", b"FEA1"


@dataclass(frozen=True)
class Arrow:
    """Rows of Arrow files, in the types of their schema; structures become dotted columns (`address.city`).

    Args:
      path: a file, a pattern (`logs/*.feather`) or a folder. The files have the same columns; where types differ, the
        wider one is used. File and stream format are told apart by the first bytes.
      label: the column to predict.

    Example:
      >>> from pipeline.data.sources import Arrow
      >>> Arrow("logs/*.arrow", label="clicked").label
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
        return expand(self.path, ENDINGS, "Arrow")

    def fingerprint(self, hashes: FileHashes) -> str:
        """The hash of the files' bytes."""
        return f"arrow-{fingerprint_of(self.files, hashes)}"

    def batches(self, on_reject: OnReject) -> Iterator[pa.RecordBatch]:
        """Record batches of one schema.

        Raises:
          DataError: missing, empty or damaged file, no rows, a column twice, files with different columns.
        """
        schema = self._schema

        def read(file: Path, _: OnReject) -> Iterator[pa.RecordBatch]:
            with _opened(file) as (_, stored):
                for batch in stored:
                    check_values(batch)
                    for start in range(0, batch.num_rows, BATCH_ROWS):
                        yield as_schema(batch.slice(start, BATCH_ROWS), schema, file)

        yield from some_rows(with_sides(self.files, side_by_side(self.files, read, on_reject)), self.path)

    def places(self, rows: Sequence[int]) -> list[Place]:
        """The file, and the number of the row in it, from 1."""
        return places_in(((str(file), _num_rows(file)) for file in self.files), rows)

    @cached_property
    def _schema(self) -> pa.Schema:
        files, schemas = self.files, []
        for file in files:
            with _opened(file) as (schema, _):
                schemas.append(flat_schema(schema, file))
        return common_schema(files, schemas)


def _num_rows(file: Path) -> int:
    with _opened(file) as (_, stored):
        return sum(batch.num_rows for batch in stored)


@contextmanager
def _opened(file: Path) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
    """The schema and the batches as stored; mapped into memory, not read."""
    try:
        with pa.memory_map(str(file)) as mapped:
            start = mapped.read(len(_FILE))
            mapped.seek(0)
            if start.startswith(_FEATHER_1):
                raise DataError(
                    f"{file} is a Feather file of version 1.",
                    expected="version 2",
                    fix="Write it again, e.g. pyarrow.feather.write_feather(table, path).",
                )
            if start == _FILE:
                opened = pa.ipc.open_file(mapped)
                yield opened.schema, (opened.get_batch(i) for i in range(opened.num_record_batches))
            else:
                stream = pa.ipc.open_stream(mapped)
                yield stream.schema, iter(stream)
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{file} cannot be read as Arrow: {error}", expected="a whole Arrow file") from error
