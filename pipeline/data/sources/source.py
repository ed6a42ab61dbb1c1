"""What every source is: a frozen dataclass that streams raw rows as Arrow record batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

import pyarrow as pa

from pipeline.data.kinds import Kind
from pipeline.errors import DataError
from pipeline.hashing import FileHashes

BATCH_ROWS = 65_536


@dataclass(frozen=True)
class Place:
    """Where a row stands, for people.

    >>> str(Place("rows.csv", 17)), str(Place("photos/rose/1.jpg"))
    ('rows.csv:17', 'photos/rose/1.jpg')
    """

    file: str
    line: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Reject:
    """Something that stands where a row should be and is none.

    Attributes:
      place: where.
      value: what stands there, perhaps cut short.
      reason: what is wrong with it, as a sentence without a full stop.
      expected, fix: as in `DataError`.
    """

    place: Place
    value: str
    reason: str
    expected: str | None = None
    fix: str | None = None

    def error(self) -> DataError:
        """The same as an error, for whoever sets no rows aside."""
        shown = f": {self.value[:80]}" if self.value else ""
        return DataError(f"{self.place}: {self.reason}{shown}", expected=self.expected, fix=self.fix)


OnReject = Callable[[Reject], None]


class Source(Protocol):
    """An origin of rows."""

    @property
    def label(self) -> str | None:
        """Name of the column to predict, or None."""

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """Columns of which the source knows the kind, whatever their values look like."""

    def fingerprint(self, hashes: FileHashes) -> str:
        """A hash of the content and of how it is read, and of nothing else: neither the place nor the time."""

    def batches(self, on_reject: OnReject) -> Iterator[pa.RecordBatch]:
        """The rows, in an order that never changes.

        What is no row (a line with too few values, broken JSON, bytes that are no UTF-8) goes to `on_reject` and is
        left out; what makes reading on impossible (no file, no header, a damaged file) raises a DataError.
        """

    def places(self, rows: Sequence[int]) -> list[Place]:
        """Where rows stand; `rows` are numbers among those that `batches` gave, from 0, in rising order."""


def refuse(reject: Reject) -> NoReturn:
    """The `on_reject` of whoever sets no rows aside: raises the reject as a DataError."""
    raise reject.error()


def check_file(path: Path, kind: str) -> None:
    """Refuses a file that is missing, a folder, unreadable or empty.

    Raises:
      DataError: it is.
    """
    if not path.exists():
        siblings = sorted(found.name for found in path.parent.glob(f"*{path.suffix}")) if path.parent.is_dir() else []
        listed = f"{path.parent} holds {', '.join(siblings[:5])}" if siblings else None
        raise DataError(f"{path} does not exist.", expected=f"a {kind} file", fix=listed)
    if path.is_dir():
        raise DataError(f"{path} is a folder.", expected=f"a {kind} file")
    if not path.is_file():  # it would be waited for without end
        raise DataError(f"{path} is a pipe or a device.", expected=f"a {kind} file, which can be read twice")
    try:
        with path.open("rb") as handle:
            empty = not handle.read(1)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", expected=f"a readable {kind} file") from error
    if empty:
        raise DataError(f"{path} is empty.", expected="a header and rows" if kind == "CSV" else f"a {kind} file")


def typed_batches(source: Source, on_reject: OnReject, kinds: Mapping[str, Kind]) -> Iterator[pa.RecordBatch]:
    """The batches of a source, numbers and categories parsed by the source itself where it can (`Csv` can)."""
    typed = getattr(source, "typed_batches", None)
    if typed is None:
        return source.batches(on_reject)
    numeric = [name for name, kind in kinds.items() if kind == "numeric"]
    categorical = [name for name, kind in kinds.items() if kind == "categorical"]
    found: Iterator[pa.RecordBatch] = typed(on_reject, numeric, categorical)
    return found


def folder_of(source: Source) -> Path | None:
    """Where relative paths inside a source begin: beside its file. None for a source without one."""
    path = getattr(source, "path", None)
    if not isinstance(path, str):
        return None
    here = Path(path)
    while not here.exists() and any(sign in str(here) for sign in "*?["):
        here = here.parent
    return here.absolute() if here.is_dir() else here.parent.absolute()
