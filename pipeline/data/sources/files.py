"""Many files as one source: which they are, in what order, and several read side by side."""

from __future__ import annotations

import glob
import hashlib
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.data.sides import SIDE_OF_NAME, TRAIN
from pipeline.data.sources.source import OnReject, Place, Reject, check_file
from pipeline.errors import DataError
from pipeline.hashing import FileHashes

# Files in the air at once, and batches that each may have ready before someone takes them: memory stays flat.
_FILES, _READY = 4, 2
_MAGIC = "*?["


def expand(path: str, endings: Sequence[str], kind: str) -> tuple[Path, ...]:
    """The files that a path means: itself, the matches of a pattern (`logs/*.csv`, `**` for any depth), or the
    files with one of the endings in a folder. In the order of their names.

    Args:
      path: of a file, a folder, or a pattern.
      endings: in lower case, e.g. (".csv", ".csv.gz").
      kind: for errors: "CSV".

    Hidden files and folders are passed over, as are the folders that a pattern matches.

    Raises:
      DataError: nothing is there, or a file is empty or unreadable.
    """
    here = Path(path)
    try:
        if here.is_dir():
            found = sorted(file for file in here.iterdir() if _wanted(file, endings))
            problem, expected = f"{path} holds no {kind} file.", f"files ending in {', '.join(endings)}"
        elif not here.exists() and any(sign in path for sign in _MAGIC):
            matches = glob.glob(path, recursive=True)  # noqa: PTH207 (pathlib takes no absolute patterns)
            found = sorted(Path(match) for match in matches if Path(match).is_file())
            problem, expected = f"{path} matches no file.", f"at least one {kind} file"
        else:
            found, problem, expected = [here], "", ""
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", expected=f"readable {kind} files") from error
    if not found:
        raise DataError(problem, expected=expected)
    for file in found:
        check_file(file, kind)
    return tuple(found)


def _wanted(file: Path, endings: Sequence[str]) -> bool:
    return file.name.lower().endswith(tuple(endings)) and not file.name.startswith(".") and file.is_file()


def some_rows(batches: Iterable[pa.RecordBatch], path: str) -> Iterator[pa.RecordBatch]:
    """The batches that have rows.

    Raises:
      DataError: none has.
    """
    empty = True
    for batch in batches:
        if batch.num_rows:
            empty = False
            yield batch
    if empty:
        raise DataError(f"{path} has no rows.", expected="at least one row")


def places_in(files: Iterable[tuple[str, int]], rows: Sequence[int]) -> list[Place]:
    """Where rows stand whose files have as many lines as rows: the line is the row's number in its file, from 1.

    Args:
      files: name and number of rows of each; taken up to the last one that is needed.
      rows: in rising order.

    >>> [str(place) for place in places_in([("a", 2), ("b", 3)], [1, 2, 4])]
    ['a:2', 'b:1', 'b:3']
    """
    found: list[Place] = []
    first = 0
    for name, num_rows in files:
        while len(found) < len(rows) and rows[len(found)] < first + num_rows:
            found.append(Place(name, rows[len(found)] - first + 1))
        first += num_rows
        if len(found) == len(rows):
            return found
    raise IndexError(f"There are {first} rows, so none is number {rows[len(found)]}")


def fingerprint_of(files: Sequence[Path], hashes: FileHashes) -> str:
    """One hash of the contents, in their order."""
    digest = hashlib.blake2b(digest_size=16)
    for file in files:
        try:
            digest.update(hashes.of(file).encode())
        except OSError as error:
            raise DataError(f"{file} cannot be read: {error.strerror}.") from error
    return digest.hexdigest()


def side_by_side(
    files: Sequence[Path], read: Callable[[Path, OnReject], Iterator[pa.RecordBatch]], on_reject: OnReject
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Reads several files at once, yet gives their batches, and their rejects, in the order of the files.

    An error comes up where the batch would have come.

    Args:
      files: in order.
      read: yields the batches of one file.
      on_reject: see `Source.batches`; called in this thread only.

    Yields:
      The place of the file among `files`, and a batch.
    """
    if len(files) == 1:
        yield from ((0, batch) for batch in read(files[0], on_reject))
        return
    stop = threading.Event()
    queues: list[queue.Queue[Any]] = [queue.Queue(_READY) for _ in files]

    def work(place: int) -> None:
        rejects: list[Reject] = []
        try:
            for batch in read(files[place], rejects.append):
                if not _put(queues[place], (batch, _drained(rejects)), stop):
                    return
            _put(queues[place], (None, _drained(rejects)), stop)
        except BaseException as error:
            _put(queues[place], (error, _drained(rejects)), stop)

    started = 0
    try:
        for place in range(len(files)):
            while started < min(place + _FILES, len(files)):
                threading.Thread(target=work, args=(started,), daemon=True).start()
                started += 1
            while True:
                item, rejects = queues[place].get()
                for reject in rejects:
                    on_reject(reject)
                if isinstance(item, BaseException):
                    raise item
                if item is None:
                    break
                yield place, item
    finally:
        stop.set()


def with_sides(files: Sequence[Path], batches: Iterable[tuple[int, pa.RecordBatch]]) -> Iterator[pa.RecordBatch]:
    """The batches; where the files are named train, test and the like, with a column `split` of these names.

    Args:
      files: of the source.
      batches: from `side_by_side`.
    """
    names = [file.name.split(".")[0].lower() for file in files]
    sides = {SIDE_OF_NAME.get(name) for name in names}
    are_sides = len(sides) > 1 and TRAIN in sides and None not in sides
    for place, batch in batches:
        if are_sides and "split" not in batch.schema.names:
            column = pa.array([names[place]], pa.string()).take(pa.array(np.zeros(batch.num_rows, np.int8)))
            batch = batch.append_column("split", column)
        yield batch


def _drained(rejects: list[Reject]) -> list[Reject]:
    found = rejects.copy()
    rejects.clear()
    return found


def _put(target: queue.Queue[Any], item: Any, stop: threading.Event) -> bool:
    """Waits for room, but not for a reader that has left."""
    while not stop.is_set():
        try:
            target.put(item, timeout=0.1)
        except queue.Full:
            continue
        return True
    return False
