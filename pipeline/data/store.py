"""The prepared columns of one split: numbers at fixed offsets, mapped into memory, served by row index."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.data.encoded import ENCODED, EncodedImages, EncodedWriter, encoded_column
from pipeline.runs import read_json, write_json
from pipeline.spec import Spec

if TYPE_CHECKING:
    import tensorflow as tf

LABEL, SAMPLE_WEIGHT = "label", "sample_weight"


@dataclass(frozen=True)
class Store:
    """Columns of equal length: `store[indices]` gathers rows.

    Args:
      directory: holds `store.json` and one raw file a column.

    Example:
      >>> import tempfile
      >>> folder = Path(tempfile.mkdtemp())
      >>> writer = StoreWriter(folder, 3, {"numeric": ("float32", (2,))})
      >>> writer.append({"numeric": np.arange(6.0).reshape(3, 2)})
      >>> writer.close()
      >>> Store(folder)[np.array([2, 0])]["numeric"].tolist()
      [[4.0, 5.0], [0.0, 1.0]]
    """

    directory: Path

    @cached_property
    def columns(self) -> dict[str, Any]:
        """By name what `[indices]` gives rows of: memory maps [rows, ...], or images that are decoded at every read."""
        rows = len(self)
        return {name: _column(self.directory, name, rows, form) for name, form in self._about["columns"].items()}

    def readers(self) -> dict[str, Callable[[tf.Tensor], tf.Tensor]]:
        """By name a function of row numbers (int64 [n]) to rows [n, ...], for graphs: see `shared`."""
        return {
            name: column.decode if isinstance(column, EncodedImages) else functools.partial(_gather, shared(column))
            for name, column in self.columns.items()
        }

    @property
    def spec(self) -> Spec | None:
        """What a model must know of these columns, if whoever wrote them said it."""
        found = self._about.get("spec")
        return None if found is None else Spec.from_json(found)

    @property
    def target(self) -> Any:
        """The label's transform as plain values, see `Transforms.to_json`; None where nobody wrote it."""
        return self._about.get("target")

    @cached_property
    def _about(self) -> dict[str, Any]:
        found: dict[str, Any] = read_json(self.directory / "store.json")
        return found

    def __len__(self) -> int:
        return int(self._about["num_rows"])

    def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """The rows at `indices` (int [n]), each column [n, ...]."""
        return {name: column[indices] for name, column in self.columns.items()}

    def will_need(self, blocks: Iterable[tuple[int, int]]) -> None:
        """Asks the system to read rows ahead, in long runs.

        Args:
          blocks: (first row, last + 1) each.
        """
        if not hasattr(os, "posix_fadvise"):  # only Linux has it; it is a hint
            return
        for name, column in self.columns.items():
            row_bytes = column.nbytes // max(len(column), 1)
            with (self.directory / f"{name}.bin").open("rb") as file:
                for first, last in blocks:
                    size = (last - first) * row_bytes
                    os.posix_fadvise(file.fileno(), first * row_bytes, size, os.POSIX_FADV_WILLNEED)

    @property
    def num_bytes(self) -> int:
        """Size of all columns."""
        return sum(column.nbytes for column in self.columns.values())


class StoreWriter:
    """Fills a store from front to back; written as plain files, so that memory stays flat.

    Args:
      directory: made if need be.
      num_rows: how many rows will come.
      columns: name -> (dtype, shape of one row), or `encoded_form` for images that are kept as they came.
      spec, target: see `Store`.
    """

    def __init__(
        self,
        directory: Path,
        num_rows: int,
        columns: Mapping[str, Sequence[Any]],
        spec: Spec | None = None,
        target: Any = None,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory, self._num_rows, self._filled = directory, num_rows, 0
        self._known = {"spec": spec and spec.to_json(), "target": target}
        self._forms = {name: list(form) for name, form in columns.items()}
        self._columns = {name: _writer(directory, name, form) for name, form in self._forms.items()}

    def append(self, rows: Mapping[str, np.ndarray]) -> None:
        """Adds rows: every column [n, ...]."""
        for name, column in self._columns.items():
            column.append(rows[name])
        self._filled += len(next(iter(rows.values())))

    def close(self) -> None:
        """Writes what is left, then the description that makes the store readable."""
        for column in self._columns.values():
            column.close()
        if self._filled != self._num_rows:
            raise ValueError(f"{self._directory}: {self._filled} rows were written of {self._num_rows}")
        about = {"num_rows": self._num_rows, "columns": self._forms, **self._known}
        write_json(self._directory / "store.json", about)


class _PlainWriter:
    """Rows of fixed size, one after another."""

    def __init__(self, path: Path, dtype: str, shape: Sequence[int]) -> None:
        self._file, self._dtype, self._shape = path.open("wb"), np.dtype(dtype), list(shape)

    def append(self, rows: np.ndarray) -> None:
        column = np.ascontiguousarray(rows, self._dtype)
        if list(column.shape[1:]) != self._shape:
            raise ValueError(f"{self._file.name}: a row is {list(column.shape[1:])}, expected {self._shape}")
        self._file.write(column.data)

    def close(self) -> None:
        self._file.close()


def shared(column: np.ndarray) -> tf.Tensor:
    """A tensor over the same memory, mapped or not: no byte is read or copied before its row is asked for.

    `tf.constant` would copy the column twice.
    """
    import tensorflow as tf

    # An empty array cannot be shared, nor need it be.
    return tf.experimental.dlpack.from_dlpack(column.__dlpack__()) if column.size else tf.constant(column)


def _gather(column: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    return tf.gather(column, rows)


def _writer(directory: Path, name: str, form: Sequence[Any]) -> Any:
    if form[0] == ENCODED:
        return EncodedWriter(directory, name)
    return _PlainWriter(directory / f"{name}.bin", form[0], form[1])


def _column(directory: Path, name: str, num_rows: int, form: Sequence[Any]) -> Any:
    if form[0] == ENCODED:
        return encoded_column(directory, name, num_rows, form)
    return _map(directory, name, num_rows, form)


def _map(directory: Path, name: str, num_rows: int, form: Sequence[Any]) -> np.ndarray:
    dtype, shape = form
    if num_rows == 0 or 0 in shape:
        return np.empty((num_rows, *shape), dtype)  # an empty file cannot be mapped
    # Copy on write, though nobody writes: DLPack shares nothing that is read-only.
    return np.memmap(directory / f"{name}.bin", dtype, "c", shape=(num_rows, *shape))
