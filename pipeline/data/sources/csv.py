"""CSV and TSV files: cut into blocks at the ends of rows, each block parsed by Arrow, several side by side."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import pyarrow as pa

from pipeline.data.sources.csv_block import BLOCK_BYTES, Dialect, Row, blocks, count_lines, parse_block, rows_of_block
from pipeline.data.sources.file_source import FileSource
from pipeline.data.sources.files import fingerprint_of, side_by_side, with_sides
from pipeline.data.sources.ordered import ordered_map
from pipeline.data.sources.source import OnReject, Place, Reject
from pipeline.errors import ConfigError, DataError, did_you_mean
from pipeline.hashing import FileHashes

_HEADER_BYTES = 1 << 20


@dataclass(frozen=True)
class Csv(FileSource):
    r"""Rows of CSV files; every value comes as the text that stands there.

    Args:
      path: a file in UTF-8, a pattern (`logs/*.csv`) or a folder; `.gz` is unpacked on the way.
      label: the column to predict.
      delimiter: one character; None: a tab for `.tsv`, else a comma.
      header: whether the first line of each file names the columns.
      columns: names for files without a header; without them the columns are `column_1`, `column_2`, ...
      quoting: whether a value may stand in double quotes.

    Example:
      >>> from pipeline.data.sources import Csv
      >>> Csv("rows.tsv", label="income").separator
      '\t'
    """

    format = "CSV"
    endings = (".csv", ".tsv", ".csv.gz", ".tsv.gz")

    delimiter: str | None = None
    header: bool = True
    columns: tuple[str, ...] = ()
    quoting: bool = True

    def __post_init__(self) -> None:
        sign = "," if self.delimiter is None else self.delimiter
        if len(sign) != 1 or not sign.isascii() or sign in '\0"\r\n':
            raise ConfigError(
                f'"source.delimiter" is {sign!r}.',
                expected="one ASCII character, neither quotation mark nor line break",
            )
        if self.columns and self.header:
            raise ConfigError(
                '"source.columns" names the columns of files without a header.', fix="Add header = false, or remove it."
            )

    @property
    def separator(self) -> str:
        """The delimiter in force."""
        return self.delimiter or ("\t" if ".tsv" in Path(self.path).name.lower() else ",")

    def fingerprint(self, hashes: FileHashes) -> str:
        """The hash of the files' bytes and of how they are read."""
        how = (self.separator, self.header, self.columns, self.quoting)
        return f"csv-{how!r}-{fingerprint_of(self.files, hashes)}"

    def batches(self, on_reject: OnReject) -> Iterator[pa.RecordBatch]:
        """Record batches of text.

        Raises:
          DataError: missing or empty file, no rows, a header that repeats a name, differing headers.
        """
        return self.typed_batches(on_reject)

    def typed_batches(
        self, on_reject: OnReject, numeric: Collection[str] = (), repeating: Collection[str] = ()
    ) -> Iterator[pa.RecordBatch]:
        """The same, with columns as float64, or as dictionaries of text, in every batch whose values allow it.

        Args:
          on_reject: see `Source.batches`.
          numeric: columns of numbers.
          repeating: columns of few different texts.
        """
        files = self.files
        names = self._names(files[0])
        for file in files[1:]:
            self._check_same(names, files[0], file)
        dialect = Dialect(self.separator, self.quoting, tuple(names), frozenset(numeric), frozenset(repeating))
        rows, rejects = 0, list[Reject]()

        def keep_first(reject: Reject) -> None:
            rejects.extend([] if rejects else [reject])
            on_reject(reject)

        read = side_by_side(files, lambda file, reject: self._file(file, dialect, reject), keep_first)
        for batch in with_sides(files, read):
            rows += batch.num_rows
            yield batch
        if rows == 0 and rejects:
            raise rejects[0].error()
        if rows == 0:
            raise DataError(f"{self.path} has a header but no rows.", expected="at least one row below the header")

    def places(self, rows: Sequence[int]) -> list[Place]:
        """The file, and the line on which a row ends, quoted line breaks counted."""
        files, first = self.files, 0
        found: list[Place] = []
        wanted = list(rows)
        if not wanted:
            return found
        dialect = Dialect(self.separator, self.quoting, tuple(self._names(files[0])))
        for file in files:
            with _open(file) as handle:
                for row in self._rows(handle, dialect, file):
                    if wanted[len(found)] == first:
                        found.append(Place(str(file), row.line))
                    first += 1
                    if len(found) == len(wanted):
                        return found
        raise IndexError(f"{self.path} has {first} rows, so none is number {wanted[len(found)]}")

    def _file(self, file: Path, dialect: Dialect, on_reject: OnReject) -> Iterator[pa.RecordBatch]:
        with _open(file) as handle:
            cut = blocks(handle, dialect, self._skip_header(handle), _problem_of(file))
            for batch, rejects in ordered_map(lambda block: parse_block(block, dialect, str(file)), cut):
                for reject in rejects:
                    on_reject(reject)
                if batch.num_rows:
                    yield batch

    def _rows(self, handle: IO[bytes], dialect: Dialect, file: Path) -> Iterator[Row]:
        """The good rows, one by one."""
        for block in blocks(handle, dialect, self._skip_header(handle), _problem_of(file)):
            yield from (row for row in rows_of_block(block.data, dialect, block.line) if row.problem is None)

    def _skip_header(self, handle: IO[bytes]) -> int:
        """Goes past the byte order mark and the header; the number of the line behind it."""
        start = handle.read(_HEADER_BYTES)
        skipped = 3 if start.startswith(b"\xef\xbb\xbf") else 0
        if self.header:
            skipped = _end_of_header(start, skipped, self.quoting)
        handle.seek(skipped)
        return 1 + count_lines(start[:skipped])

    def _names(self, file: Path) -> list[str]:
        with _open(file) as handle:
            try:
                start = handle.read(_HEADER_BYTES)
            except (OSError, EOFError, zlib.error) as error:
                raise DataError(f"{file} cannot be read: {error}", expected="a whole CSV file") from error
        try:
            first = start[: _end_of_header(start, 0, self.quoting)].decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{file}:1: byte {error.start + 1}, {start[error.start]:#04x}, is not UTF-8.",
                expected="a file in UTF-8",
                fix="Convert it, e.g. iconv -f latin1 -t utf-8.",
            ) from error
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if self.quoting else csv.QUOTE_NONE
        try:
            values = next(
                (
                    line
                    for line in csv.reader(io.StringIO(first, newline=""), delimiter=self.separator, quoting=quoting)
                    if line
                ),
                [],
            )
        except csv.Error as error:
            raise DataError(f"{file}:1: the header cannot be read: {error}", expected="the columns' names") from error
        if not self.header:
            return self._given_names(file, len(values))
        return _checked_header(file, values)

    def _given_names(self, file: Path, width: int) -> list[str]:
        if self.columns and len(self.columns) != width:
            raise DataError(
                f"{file}:1: {width} values, but source.columns names {len(self.columns)} columns.",
                expected=f"one name for each of the {width} columns",
            )
        return list(self.columns) or [f"column_{number}" for number in range(1, width + 1)]

    def _check_same(self, names: list[str], first: Path, file: Path) -> None:
        other = self._names(file)
        if other == names:
            return
        differing = sorted(set(other) ^ set(names))
        what = f'the column "{differing[0]}" is in only one of them' if differing else "their order differs"
        raise DataError(
            f"{file}:1: its columns are not those of {first}: {what}.",
            expected=f"the header {self.separator.join(names)[:200]}",
            fix=did_you_mean(differing[0], names).strip() or None if differing else "Write both in the same order.",
        )


def _checked_header(file: Path, names: list[str]) -> list[str]:
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        columns = [number for number, name in enumerate(names, start=1) if name == repeated[0]]
        raise DataError(
            f'{file}:1: the header names "{repeated[0]}" {len(columns)} times '
            f"(columns {', '.join(map(str, columns))}).",
            expected="a name of its own for every column",
            fix="Rename or remove the repeated columns; for a file without a header: header = false.",
        )
    if not any(name.strip() for name in names):
        raise DataError(f"{file}:1: there is no header.", expected="a first line with the columns' names")
    return names


def _end_of_header(start: bytes, begin: int, quoting: bool) -> int:
    """The place after the first line that is not blank; a line break in quotes does not end it."""
    place, inside, filled = begin, False, False
    while place < len(start):
        byte = start[place : place + 1]
        if byte == b'"' and quoting:
            inside = not inside
        if byte in b"\r\n" and not inside:
            if filled:
                return place + (2 if start[place : place + 2] == b"\r\n" else 1)
        else:
            filled = True
        place += 1
    return len(start)


def _open(file: Path) -> IO[bytes]:
    if file.suffix.lower() == ".gz":
        return gzip.open(file, "rb")  # type: ignore[return-value]
    return file.open("rb", buffering=BLOCK_BYTES)


def _problem_of(file: Path) -> Callable[[Exception], DataError]:
    def problem(error: Exception) -> DataError:
        return DataError(f"{file} cannot be read: {error}", expected="a whole CSV file")

    return problem
