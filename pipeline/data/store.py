"""The prepared columns of one split: numbers at fixed offsets, mapped into memory, served by row index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.runs import read_json, write_json

LABEL = "label"


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
    def columns(self) -> dict[str, np.ndarray]:
        """Memory maps [rows, ...] by name."""
        about = read_json(self.directory / "store.json")
        return {
            name: _map(self.directory, name, about["num_rows"], form, "r") for name, form in about["columns"].items()
        }

    def __len__(self) -> int:
        return int(read_json(self.directory / "store.json")["num_rows"])

    def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """The rows at `indices` (int [n]), each column [n, ...]."""
        return {name: column[indices] for name, column in self.columns.items()}

    @property
    def num_bytes(self) -> int:
        """Size of all columns."""
        return sum(column.nbytes for column in self.columns.values())


class StoreWriter:
    """Fills a store from front to back; written as plain files, so that memory stays flat.

    Args:
      directory: made if need be.
      num_rows: how many rows will come.
      columns: name -> (dtype, shape of one row).
    """

    def __init__(self, directory: Path, num_rows: int, columns: Mapping[str, tuple[str, tuple[int, ...]]]) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory, self._num_rows, self._filled = directory, num_rows, 0
        self._forms = {name: [dtype, list(shape)] for name, (dtype, shape) in columns.items()}
        self._files = {name: (directory / f"{name}.bin").open("wb") for name in columns}

    def append(self, rows: Mapping[str, np.ndarray]) -> None:
        """Adds rows: every column [n, ...]."""
        for name, (dtype, shape) in self._forms.items():
            column = np.ascontiguousarray(rows[name], np.dtype(str(dtype)))
            if list(column.shape[1:]) != shape:
                raise ValueError(f"{self._directory}: a row of {name} is {list(column.shape[1:])}, expected {shape}")
            self._files[name].write(column.data)
        self._filled += len(next(iter(rows.values())))

    def close(self) -> None:
        """Writes what is left, then the description that makes the store readable."""
        for file in self._files.values():
            file.close()
        if self._filled != self._num_rows:
            raise ValueError(f"{self._directory}: {self._filled} rows were written of {self._num_rows}")
        write_json(self._directory / "store.json", {"num_rows": self._num_rows, "columns": self._forms})


def _map(directory: Path, name: str, num_rows: int, form: list[Any], mode: Any) -> np.ndarray:
    dtype, shape = form
    if num_rows == 0 or 0 in shape:
        return np.empty((num_rows, *shape), dtype)  # an empty file cannot be mapped
    return np.memmap(directory / f"{name}.bin", dtype, mode, shape=(num_rows, *shape))
