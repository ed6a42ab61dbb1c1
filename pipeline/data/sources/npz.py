"""NumPy's archives of arrays, read row by row as they lie in the file."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.data.kinds import Kind
from pipeline.data.sources.array_columns import columns_of, rows_in_a_part
from pipeline.data.sources.files import some_rows
from pipeline.data.sources.npy_stream import Npy, npy_header, npy_parts
from pipeline.data.sources.npz_sides import by_side, check_label, check_sides
from pipeline.data.sources.source import OnReject, Place, check_file
from pipeline.errors import DataError, did_you_mean
from pipeline.hashing import FileHashes

# What zipfile and NumPy raise on a file that is damaged, encrypted or something else.
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, struct.error)


@dataclass(frozen=True)
class Npz:
    """Arrays of equal length in an `.npz` file, as `numpy.savez` writes it.

    An array [n] is a column, [n, k] is k columns `name_0`, `name_1`, ..., and uint8 [n, height, width] or [n, height,
    width, channels] is a column of images. Arrays that are named for their side, as Keras names them (`x_train`,
    `y_train`, `x_test`, `y_test`), give columns `x` and `y` and a `split`: the rows of train come first, those of
    test last.

    Args:
      path: the file.
      label: the array to predict.
      images: arrays of text that hold paths of images.

    Example:
      >>> from pipeline.data.sources import Npz
      >>> Npz("mnist.npz").label
      'y'
    """

    path: str
    label: str | None = "y"
    images: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.label is None:
            object.__setattr__(self, "label", "y")

    @property
    def kinds(self) -> dict[str, Kind]:
        """The columns of images; opens the file, to see which those are."""
        found = next(iter(self._sides.values()))
        return {name: "image" for name, array in found.items() if name in self.images or len(array.shape) > 2}

    def fingerprint(self, hashes: FileHashes) -> str:
        """The hash of the file's bytes and of how they are read."""
        check_file(Path(self.path), "NPZ")
        return f"npz-{self.images!r}-{hashes.of(Path(self.path))}"

    def batches(self, on_reject: OnReject) -> Iterator[pa.RecordBatch]:
        """Record batches of some megabytes; the file is never in memory as a whole.

        Raises:
          DataError: missing, empty or damaged file; arrays of different lengths, of pickled objects, or of a type or
            shape that makes no column; no rows.
        """
        yield from some_rows(self._batches(), self.path)

    def places(self, rows: Sequence[int]) -> list[Place]:
        """The file, and the number of the row, from 1; with sides: train first, then validation, then test."""
        return [Place(self.path, row + 1) for row in rows]

    def _batches(self) -> Iterator[pa.RecordBatch]:
        for side, arrays in self._sides.items():
            for part in self._parts(arrays):
                columns: dict[str, pa.Array] = {}
                for name, values in part.items():
                    columns |= columns_of(name, values, self.path)
                if side:
                    columns["split"] = pa.array([side] * len(next(iter(part.values()))))
                yield pa.RecordBatch.from_pydict(columns)

    def _parts(self, arrays: Mapping[str, Npy]) -> Iterator[dict[str, np.ndarray]]:
        dtypes = {name: self._dtypes[name] for name in arrays}
        rows = rows_in_a_part({name: array.shape for name, array in arrays.items()}, dtypes)
        with ExitStack() as stack, self._opened() as archive:
            streams = []
            for array in arrays.values():
                handle = stack.enter_context(archive.open(f"{array.name}.npy"))
                streams.append(npy_parts(handle, array, rows, f'{self.path}: "{array.name}"'))
            for values in zip(*streams, strict=True):
                yield {name: part.astype(dtypes[name]) for name, part in zip(arrays, values, strict=True)}

    @cached_property
    def _dtypes(self) -> dict[str, np.dtype]:
        """One type a column, whatever its sides have."""
        sides = list(self._sides.values())
        return {name: np.result_type(*(side[name].dtype for side in sides)) for name in sides[0]}

    @cached_property
    def _sides(self) -> dict[str, dict[str, Npy]]:
        """The arrays of each side by the names of their columns; where there are no sides, of the side ""."""
        check_file(Path(self.path), "NPZ")
        with self._opened() as archive:
            arrays = {}
            for name in (name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")):
                with archive.open(f"{name}.npy") as handle:
                    arrays[name] = npy_header(handle, name, f'{self.path}: "{name}"')
        if not arrays:
            raise DataError(f"{self.path} holds no array.", expected="arrays as numpy.savez writes them")
        sides = by_side(arrays)
        check_sides(sides, self.path)
        found = next(iter(sides.values()))  # which gives the order of the columns
        for name in (name for name in self.images if name not in found):
            hint = did_you_mean(name, found).strip() or None
            raise DataError(f'"source.images": {self.path} has no array "{name}".', expected=", ".join(found), fix=hint)
        if self.label in found:
            check_label(found[self.label], self.path)
        return {side: {name: arrays[name] for name in found} for side, arrays in sides.items()}

    @contextmanager
    def _opened(self) -> Iterator[zipfile.ZipFile]:
        try:
            with zipfile.ZipFile(self.path) as archive:
                yield archive
        except _DAMAGED as error:
            raise DataError(
                f"{self.path} cannot be read as NPZ: {error}", expected="a whole .npz file, as numpy.savez writes it"
            ) from error
