"""Arrow files: Feather (version 2), which is Arrow's file format, and Arrow's stream format."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from pipeline.data.sources.file_source import TypedFileSource
from pipeline.errors import DataError

_FILE, _FEATHER_1 = b"ARROW1", b"FEA1"


@dataclass(frozen=True)
class Arrow(TypedFileSource):
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

    format = "Arrow"
    endings = (".arrow", ".feather", ".ipc", ".arrows")

    @staticmethod
    @contextmanager
    def opened(file: Path) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
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
