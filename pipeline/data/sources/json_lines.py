"""Files with one JSON object a line, read in blocks by Arrow."""

from __future__ import annotations

import gzip
import json
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa

from pipeline.data.sources.file_source import FileSource
from pipeline.data.sources.files import side_by_side, some_rows, with_sides
from pipeline.data.sources.json_block import Rows, parse_block
from pipeline.data.sources.json_types import Column, columns_of_objects, parse_line
from pipeline.data.sources.ordered import ordered_map
from pipeline.data.sources.source import OnReject, Place
from pipeline.errors import DataError

_BLOCK_BYTES = 8 << 20
# What tells the columns: so many lines and bytes over all files, at least a thousand lines of each.
_SAMPLE_LINES, _SAMPLE_BYTES, _LINES_OF_EACH = 100_000, 32 << 20, 1_000
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class JsonLines(FileSource):
    """Rows of JSON objects, one a line.

    Keys become columns in the order in which they appear; a key that a row lacks is null there. The values in the
    first lines (some 100,000) tell the types: numbers float64, whole ones beyond 2^53 int64, true and false bool, text
    string, lists list<string>. An object in an object becomes dotted columns (`address.city`); what lies deeper, and
    columns of several types, become text. A later line whose value does not fit, or that has a new key, is rejected.

    Args:
      path: a file in UTF-8, a pattern (`logs/*.jsonl`) or a folder; `.gz` is unpacked on the way. Keys that every line
        of one file has must appear in the other files.
      label: the column to predict.

    Example:
      >>> from pipeline.data.sources import JsonLines
      >>> JsonLines("logs/*.jsonl", label="clicked").label
      'clicked'
    """

    format = "JSON lines"
    endings = (".jsonl", ".ndjson", ".json", ".jsonl.gz", ".ndjson.gz", ".json.gz")

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The columns, from the first lines of every file.

        Raises:
          DataError: missing, empty or damaged file, a JSON array, files with different keys, two keys of one name.
        """
        files, objects = self.files, []
        first: list[dict[str, Any]] = []
        for file in files:
            found = _sample(file, len(files))
            first = first or found
            _check_same_keys(files[0], first, file, found)
            objects += found
        columns = columns_of_objects(objects)
        names = Counter(column.name for column in columns)
        for name in (name for name, count in names.items() if count > 1):
            raise DataError(f'{self.path}: "{name}" is a key, and also a key within an object.', fix="Rename one.")
        return columns

    def batches(self, on_reject: OnReject) -> Iterator[pa.RecordBatch]:
        """Record batches of one schema. Rejected: no JSON, no object, not UTF-8, a value or a key that does not fit.

        Raises:
          DataError: see `columns`; no rows.
        """
        columns = self.columns

        def read(file: Path, on_reject: OnReject) -> Iterator[pa.RecordBatch]:
            for rows in _rows(file, columns):
                for reject in rows.rejects:
                    on_reject(reject)
                yield rows.batch

        yield from some_rows(with_sides(self.files, side_by_side(self.files, read, on_reject)), self.path)

    def places(self, rows: Sequence[int]) -> list[Place]:
        """The file and the line. Rejects are no rows, so the files are read once more, up to the last of the rows."""
        found: list[Place] = []
        first = 0
        for file in self.files:
            for part in _rows(file, self.columns):
                while len(found) < len(rows) and rows[len(found)] < first + part.batch.num_rows:
                    found.append(Place(str(file), int(part.lines[rows[len(found)] - first])))
                first += part.batch.num_rows
                if len(found) == len(rows):
                    return found
        raise IndexError(f"{self.path} has {first} rows, so none is number {rows[len(found)]}")


def _rows(file: Path, columns: tuple[Column, ...]) -> Iterator[Rows]:
    yield from ordered_map(lambda block: parse_block(block[1], block[0], columns, str(file)), _blocks(file))


def _blocks(file: Path) -> Iterator[tuple[int, bytes]]:
    """Whole lines, some megabytes at a time, with the number of the first of them."""
    line = 1
    with _opened(file) as handle:
        while block := handle.read(_BLOCK_BYTES):
            if not block.endswith(b"\n"):
                block += handle.readline()
            yield line, block.removeprefix(_BOM) if line == 1 else block
            line += block.count(b"\n")


def _sample(file: Path, num_files: int) -> list[dict[str, Any]]:
    """The objects on the first lines; what is none is left for the reading to reject."""
    objects: list[dict[str, Any]] = []
    lines = num_bytes = 0
    with _opened(file) as handle:
        for line in handle:
            line = line.removeprefix(_BOM) if lines == 0 else line
            lines += 1
            num_bytes += len(line)
            try:
                objects.append(parse_line(line))
            except ValueError:
                if not objects and line.lstrip().startswith(b"["):
                    _check_no_array(file, line)
            if lines >= max(_SAMPLE_LINES // num_files, _LINES_OF_EACH) or num_bytes >= _SAMPLE_BYTES // num_files:
                break
    return objects


def _check_no_array(file: Path, line: bytes) -> None:
    """Tells a file that is one JSON array from a line that happens to be a list."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if value is None or any(isinstance(found, dict) for found in value):
        raise DataError(
            f"{file} is a JSON array.",
            expected="one JSON object a line",
            fix="Convert it, e.g. jq -c '.[]' rows.json > rows.jsonl.",
        )


def _check_same_keys(
    first: Path, expected: Sequence[dict[str, Any]], file: Path, found: Sequence[dict[str, Any]]
) -> None:
    """Refuses files of which one always has a key that the other never has; some rows may lack a key."""
    if not expected or not found:
        return
    for here, lines, there, others in ((file, found, first, expected), (first, expected, file, found)):
        known = {key for line in lines for key in line}
        lacking = [key for key in others[0] if key not in known and all(key in line for line in others)]
        if lacking:
            raise DataError(
                f'{here} has no key "{lacking[0]}", which every line of {there} has.',
                expected="files with the same keys",
                fix="Leave one of them out, or write null where there is no value.",
            )


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    try:
        with gzip.open(file) if file.name.lower().endswith(".gz") else file.open("rb") as handle:
            yield cast("IO[bytes]", handle)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file} cannot be read: {error}", expected="a whole file") from error
