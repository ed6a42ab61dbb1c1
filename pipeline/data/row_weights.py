"""How much each row counts, by a column of the data; the unit is learnt from train alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.data.rows import labels_of, stored_batches
from pipeline.data.sides import SIDES, TRAIN
from pipeline.data.store import SAMPLE_WEIGHT, Store
from pipeline.errors import DataError


@dataclass(frozen=True)
class Weights:
    """Weights in units of the mean weight of train, so that they leave the learning rate its meaning.

    Attributes:
      name: the column.
      mean: of the train rows.

    Example:
      >>> Weights("count", mean=4.0)(pa.record_batch({"count": [2.0, 8.0]})).tolist()
      [0.5, 2.0]
    """

    name: str
    mean: float

    @staticmethod
    def of(rows_path: Path, name: str, sides: np.ndarray) -> Weights:
        """Reads the weights of the train rows.

        Args:
          rows_path: what `ingest` wrote: every weight is finite and 0 or more.
          name: the column.
          sides: uint8 [rows], from a split.

        Raises:
          DataError: no train row has a weight above 0.
        """
        total, start = 0.0, 0
        for batch in stored_batches(rows_path, [name]):
            here = sides[start : start + batch.num_rows] == TRAIN
            total += float(labels_of(batch.column(name))[here].sum())
            start += batch.num_rows
        if not total > 0:
            raise _useless(name, SIDES[TRAIN])
        return Weights(name, total / int((sides == TRAIN).sum()))

    def __call__(self, batch: pa.RecordBatch) -> np.ndarray:
        """The weights of stored rows: float32 [rows].

        Raises:
          DataError: one is so far from those of train that float32 cannot hold it.
        """
        weights = labels_of(batch.column(self.name))
        with np.errstate(over="ignore"):
            found: np.ndarray = (weights / self.mean).astype(np.float32)
        if not np.isfinite(found).all():
            raise DataError(
                f'A weight in "{self.name}" is {weights.max():g}; those of train are {self.mean:g} on average.',
                expected="weights of one order of magnitude",
            )
        return found

    def check(self, directory: Path) -> None:
        """Refuses weights by which nothing can be measured.

        Args:
          directory: of the stores.

        Raises:
          DataError: all rows of a side weigh 0.
        """
        for side in SIDES:
            store = Store(directory / side)
            if len(store) and not store.columns[SAMPLE_WEIGHT].any():
                raise _useless(self.name, side)


def _useless(name: str, side: str) -> DataError:
    return DataError(
        f'The column of weights "{name}" is 0 in every row of {side}.', expected="at least one row that counts",
        fix="Look at the split and at the column, or remove features.weight.",
    )  # fmt: skip
