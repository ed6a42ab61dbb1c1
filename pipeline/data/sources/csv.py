"""CSV and TSV files with a header, read in blocks by Arrow."""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import pyarrow as pa
import pyarrow.csv

from pipeline.data.sources.source import check_file
from pipeline.errors import DataError
from pipeline.hashing import FileHashes

_BLOCK_BYTES = 8 << 20


@dataclass(frozen=True)
class Csv:
    r"""Rows of a CSV file; every value comes as the text that stands there.

    Args:
      path: the file, in UTF-8, its first line the header. `.tsv` is read with tabs.
      label: the column to predict.
      delimiter: one character; None: a tab for `.tsv`, else a comma.

    Example:
      >>> from pipeline.data.sources import Csv
      >>> Csv("rows.tsv", label="income").separator
      '\t'
    """

    path: str
    label: str | None = None
    delimiter: str | None = None

    categorical = ()
    images = ()

    @property
    def separator(self) -> str:
        """The delimiter in force."""
        return self.delimiter or ("\t" if self.path.lower().endswith(".tsv") else ",")

    def fingerprint(self, hashes: FileHashes) -> str:
        """The hash of the file's bytes and of how they are read."""
        check_file(Path(self.path), "CSV")
        return f"csv-{self.separator!r}-{hashes.of(Path(self.path))}"

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Record batches of strings.

        Raises:
          DataError: missing or empty file, no rows, duplicate header, ragged row, not UTF-8.
        """
        names = self._header()
        types = {name: pa.string() for name in names}
        try:
            with pa.csv.open_csv(
                self.path,
                read_options=pa.csv.ReadOptions(block_size=_BLOCK_BYTES),
                parse_options=pa.csv.ParseOptions(delimiter=self.separator, newlines_in_values=True),
                convert_options=pa.csv.ConvertOptions(column_types=types, strings_can_be_null=False),
            ) as reader:
                rows = 0
                for batch in reader:
                    rows += batch.num_rows
                    if batch.num_rows:
                        yield batch
        except pa.ArrowInvalid as error:
            raise self._diagnose(str(error)) from error
        if rows == 0:
            raise self._no_rows()

    def locate(self, row: int) -> str:
        """`"rows.csv:17"`: the line on which a row (from 0) ends, quoted line breaks counted."""
        with self._open() as handle:
            reader = csv.reader(handle, delimiter=self.separator)
            filled = (line for line in reader if line)
            next(itertools.islice(filled, row + 1, None), None)
            return f"{self.path}:{reader.line_num}"

    def _open(self, errors: str = "replace") -> TextIO:
        # Bytes that are no UTF-8 must not stop the search for a line, so they become "\ufffd".
        return Path(self.path).open(encoding="utf-8-sig", errors=errors, newline="")

    def _header(self) -> list[str]:
        check_file(Path(self.path), "CSV")
        try:
            with self._open(errors="strict") as handle:
                names = next((line for line in csv.reader(handle, delimiter=self.separator) if line), [])
        except UnicodeDecodeError as error:
            raise self._diagnose(str(error)) from error
        repeated = sorted(name for name, count in Counter(names).items() if count > 1)
        if repeated:
            columns = [number for number, name in enumerate(names, start=1) if name == repeated[0]]
            raise DataError(
                f'{self.path}:1: the header names "{repeated[0]}" {len(columns)} times '
                f"(columns {', '.join(map(str, columns))}).",
                expected="a name of its own for every column",
                fix="Rename or remove the repeated columns.",
            )
        if not any(name.strip() for name in names):
            raise DataError(f"{self.path}:1: there is no header.", expected="a first line with the columns' names")
        return names

    def _no_rows(self) -> DataError:
        return DataError(f"{self.path} has a header but no rows.", expected="at least one row below the header")

    def _diagnose(self, reason: str) -> DataError:
        """Finds the line of what Arrow refused."""
        with Path(self.path).open("rb") as raw:
            for number, content in enumerate(raw, start=1):
                try:
                    content.decode("utf-8")
                except UnicodeDecodeError as error:
                    return DataError(
                        f"{self.path}:{number}: byte {error.start + 1}, {content[error.start]:#04x}, is not UTF-8.",
                        expected="a file in UTF-8",
                        fix="Convert it, e.g. iconv -f latin1 -t utf-8.",
                    )
        with self._open() as handle:
            reader = csv.reader(handle, delimiter=self.separator)
            width = lines = 0
            try:
                for lines, line in enumerate(filter(None, reader), start=1):  # noqa: B007
                    width = width or len(line)
                    if len(line) != width:
                        return DataError(
                            f"{self.path}:{reader.line_num}: {len(line)} values where the header has {width} columns: "
                            f"{self.separator.join(line)[:80]}",
                            expected=f"{width} values separated by {self.separator!r}",
                            fix="Mend the row; a value that holds the separator needs quotes around it.",
                        )
            except csv.Error as error:
                reason = f"line {reader.line_num}: {error}"
        if lines == 1:  # Arrow refuses a header that has not even a line break
            return self._no_rows()
        return DataError(
            f"{self.path} cannot be read as CSV: {reason}", expected="comma-separated values with a header"
        )
