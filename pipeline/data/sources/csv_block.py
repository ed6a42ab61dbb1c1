"""One block of a CSV file: cut at the end of a row, parsed by Arrow; what Arrow refuses is looked at row by row."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv

from pipeline.data.missing import MISSING
from pipeline.data.sources.source import Place, Reject

BLOCK_BYTES = 8 << 20
# For a look at the first rows: little is then read in advance that nobody takes.
SMALL_BLOCK_BYTES = 1 << 20
# Behind a quote that is never closed no row seems to end: a block may grow to this, then it is parsed as it is.
_LARGEST_BLOCK = 64 << 20
_SHOWN = 200


@dataclass(frozen=True)
class Dialect:
    """How the bytes are to be read.

    Attributes:
      separator: one character.
      quoting: whether double quotes hide separators and line breaks.
      names: of the columns.
      numeric: columns to be parsed as float64 where a whole block allows it.
      repeating: columns to be parsed as dictionaries of text.
    """

    separator: str
    quoting: bool
    names: tuple[str, ...]
    numeric: frozenset[str] = frozenset()
    repeating: frozenset[str] = frozenset()

    @property
    def is_typed(self) -> bool:
        """Whether any column is to be typed: so it is when all rows are read."""
        return bool(self.numeric or self.repeating)

    @property
    def csv_quoting(self) -> Literal[0, 3]:
        """The constant of Python's csv module."""
        return csv.QUOTE_MINIMAL if self.quoting else csv.QUOTE_NONE


@dataclass(frozen=True)
class Block:
    """Whole rows, and the number of the line on which the first of them begins."""

    data: bytes
    line: int


@dataclass(frozen=True)
class Row:
    """One row as Python's csv module reads it: the line it ends on, its values (as Latin-1), what is wrong with it."""

    line: int
    values: list[str]
    problem: Literal["width", "encoding", "unclosed"] | None = None


def blocks(
    handle: IO[bytes], dialect: Dialect, line: int, problem: Callable[[Exception], Exception]
) -> Iterator[Block]:
    """Cuts a file where rows end."""
    rest, size = b"", BLOCK_BYTES if dialect.is_typed else SMALL_BLOCK_BYTES
    while True:
        try:
            read = handle.read(size)
        except (OSError, EOFError, zlib.error) as error:  # a damaged gzip file
            raise problem(error) from error
        data = rest + read
        end = _last_row_end(data, dialect) if read else len(data)
        if read and end == 0 and len(data) < _LARGEST_BLOCK:
            rest = data
            continue
        end = end or data.rfind(b"\n") + 1 or len(data)
        if end:
            block = data if end == len(data) else data[:end]
            yield Block(block, line)
            line += count_lines(block)
        rest = data[end:]
        if not read:
            return


def parse_block(block: Block, dialect: Dialect, file: str) -> tuple[pa.RecordBatch, list[Reject]]:
    """A block's rows, and what is no row. Columns are text, or typed where the dialect asks and the values allow."""
    ragged: list[int] = []
    try:
        if not block.data.isascii():
            block.data.decode()  # Arrow prints a traceback for a row that is both too long and no UTF-8
        if not _is_regular(block.data, dialect):
            raise pa.ArrowInvalid("Arrow and Python would not read these quotation marks alike")
        try:
            table = _parse(block.data, dialect, ragged, typed=True)
        except pa.ArrowInvalid:
            # A word among numbers: this block comes as text, so that whoever checks values can tell which.
            ragged.clear()
            table = _parse(block.data, dialect, ragged, typed=False)
        rejects = _describe(block, dialect, file) if ragged else []
    except (pa.ArrowInvalid, UnicodeDecodeError):
        good, rejects = _salvage(block, dialect, file)
        table = _parse(good, dialect, [], typed=False) if good else _nothing(dialect)
    return _one_batch(table), rejects


def rows_of_block(data: bytes, dialect: Dialect, line: int) -> Iterator[Row]:
    """Every row that is not blank.

    Where a quotation mark is never closed, only the line that it stands on is lost: reading goes on behind it.
    """
    csv.field_size_limit(max(csv.field_size_limit(), len(data) + 1))
    # As Latin-1, in which no byte is wrong, so that a row that is no UTF-8 is still a row.
    lines = io.StringIO(data.decode("latin-1"), newline="").readlines()
    begin = 0
    while begin < len(lines):
        first, reader = begin, _reader(lines[begin:], dialect)
        for values in reader:
            end = first + reader.line_num
            if end == len(lines) and _is_unclosed(lines[begin:end], dialect):
                yield Row(line + begin, [lines[begin].rstrip("\r\n")], "unclosed")
                begin += 1
                break
            if values:
                yield Row(line + end - 1, values, _problem(values, dialect))
            begin = end


def count_lines(data: bytes) -> int:
    """Line breaks of any kind, as Python counts them."""
    return data.count(b"\n") + (data.count(b"\r") - data.count(b"\r\n") if b"\r" in data else 0)


def _reader(lines: list[str], dialect: Dialect) -> Any:
    return csv.reader(lines, delimiter=dialect.separator, quoting=dialect.csv_quoting)


def _is_unclosed(lines: list[str], dialect: Dialect) -> bool:
    """Whether the last row of a block ends inside quotation marks."""
    reader = _reader([*lines, "\n"], dialect)
    next(reader)
    return reader.line_num > len(lines)


def _problem(values: list[str], dialect: Dialect) -> Literal["width", "encoding"] | None:
    if len(values) != len(dialect.names):
        return "width"
    return None if all(value.isascii() or _is_utf8(value) for value in values) else "encoding"


def _is_utf8(latin: str) -> bool:
    try:
        latin.encode("latin-1").decode()
    except UnicodeDecodeError:
        return False
    return True


def _last_row_end(data: bytes, dialect: Dialect) -> int:
    """The place after the last line break that is not in quotes; 0 where there is none."""
    if not dialect.quoting or b'"' not in data:
        return data.rfind(b"\n") + 1
    if not _is_regular(data, dialect, whole=False):
        return _last_row_begin(data, dialect)
    signs = np.frombuffer(data, np.uint8)
    breaks = np.flatnonzero(signs == ord("\n"))
    quotes = np.flatnonzero(signs == ord('"'))
    outside = breaks[np.searchsorted(quotes, breaks) % 2 == 0]
    return int(outside[-1]) + 1 if len(outside) else 0


def _is_regular(data: bytes, dialect: Dialect, whole: bool = True) -> bool:
    """Whether every quotation mark opens or closes a value or is doubled: then all readers agree on the rows.

    Args:
      data: from the beginning of a row.
      dialect: how it is to be read.
      whole: whether the last row is all there.
    """
    if not dialect.quoting or b'"' not in data:
        return True
    signs = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(signs == ord('"'))
    beside = np.zeros(256, bool)
    beside[[ord(sign) for sign in ('"', "\r", "\n", dialect.separator)]] = True
    before, after = quotes[::2] - 1, quotes[1::2] + 1
    closed = len(quotes) % 2 == 0 or not whole
    return closed and bool(beside[signs[before[before >= 0]]].all() and beside[signs[after[after < len(signs)]]].all())


def _last_row_begin(data: bytes, dialect: Dialect) -> int:
    """Where the last row begins, for Python's csv module: it may go on behind the data."""
    csv.field_size_limit(max(csv.field_size_limit(), len(data) + 1))
    lines = io.StringIO(data.decode("latin-1"), newline="").readlines()
    reader = _reader(lines, dialect)
    begin = end = 0
    for _ in reader:
        if end and lines[end - 1].endswith("\n"):  # as everywhere, blocks end in a line feed
            begin = end
        end = reader.line_num
    return sum(map(len, lines[:begin]))


def _parse(data: bytes, dialect: Dialect, ragged: list[int], typed: bool) -> pa.Table:
    def skip(row: pa.csv.InvalidRow) -> str:
        ragged.append(row.actual_columns)
        return "skip"

    text = pa.string()
    types = dict.fromkeys(dialect.names, text)
    if typed:
        types |= {name: pa.dictionary(pa.int32(), text) for name in dialect.names if name in dialect.repeating}
        types |= {name: pa.float64() for name in dialect.names if name in dialect.numeric}
    return pa.csv.read_csv(
        pa.BufferReader(data),
        read_options=pa.csv.ReadOptions(
            # One piece, one thread: the blocks themselves are parsed side by side.
            use_threads=False,
            block_size=len(data) + 1,
            column_names=list(dialect.names),
        ),
        parse_options=pa.csv.ParseOptions(
            delimiter=dialect.separator,
            quote_char='"' if dialect.quoting else False,
            newlines_in_values=dialect.quoting and b'"' in data,
            invalid_row_handler=skip,
        ),
        # Text keeps its spelling of "missing": only numbers are given a null for it here.
        convert_options=pa.csv.ConvertOptions(column_types=types, null_values=MISSING, strings_can_be_null=False),
    )


def _describe(block: Block, dialect: Dialect, file: str) -> list[Reject]:
    """The rejects of a block that Arrow parsed, with their lines."""
    rows = rows_of_block(block.data, dialect, block.line)
    return [_reject(dialect, file, row) for row in rows if row.problem]


def _salvage(block: Block, dialect: Dialect, file: str) -> tuple[bytes, list[Reject]]:
    """The good rows of a block that Arrow refuses as a whole, written anew; and the others."""
    out, rejects = io.StringIO(newline=""), []
    writer = csv.writer(
        out, delimiter=dialect.separator, quoting=csv.QUOTE_ALL if dialect.quoting else csv.QUOTE_NONE,
        lineterminator="\n", quotechar='"' if dialect.quoting else None,
    )  # fmt: skip
    for row in rows_of_block(block.data, dialect, block.line):
        if row.problem:
            rejects.append(_reject(dialect, file, row))
        else:
            writer.writerow(row.values)
    return out.getvalue().encode("latin-1"), rejects


def _reject(dialect: Dialect, file: str, row: Row) -> Reject:
    text = dialect.separator.join(row.values)
    place, shown = Place(file, row.line), text.encode("latin-1").decode("utf-8", "replace")[:_SHOWN]
    width = len(dialect.names)
    if row.problem == "width":
        return Reject(
            place, shown,
            f"{len(row.values)} values where there are {width} columns",
            expected=f"{width} values separated by {dialect.separator!r}",
            fix="Mend the row; a value that holds the separator needs quotes around it.",
        )  # fmt: skip
    if row.problem == "unclosed":
        return Reject(
            place, shown, "a quotation mark is never closed",
            expected="a second one, where the value ends",
            fix="Mend the row; where quotation marks mean nothing in the file: quoting = false.",
        )  # fmt: skip
    return Reject(
        place, shown, "the row is not UTF-8",
        expected="text in UTF-8", fix="Convert the file, e.g. iconv -f latin1 -t utf-8.",
    )  # fmt: skip


def _nothing(dialect: Dialect) -> pa.Table:
    return pa.table({name: pa.array([], pa.string()) for name in dialect.names})


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)
