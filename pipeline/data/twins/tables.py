"""Near twins among rows of numbers: equal but for a jitter far below the spread of every column.

Locality-sensitive hashing on grids with random offsets (Datar, Immorlica, Indyk and Mirrokni, 2004): rows whose numbers
fall into the same cells, and whose other columns are equal, share a key; candidates are then compared number by number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.data.keys import row_keys, text_key
from pipeline.data.mixing import mix

# Two rows are near twins if their numbers differ by at most this part of their columns' spreads: in the root mean
# square over the columns, and in any one column by at most three times as much.
TOLERANCE, _MOST_IN_ONE = 0.005, 3
# Cells are forty tolerances wide: rows that differ by a fifth of the tolerance share their cells of ten columns with a
# probability of 0.96 in one grid, rows that differ by four fifths of it with 0.85; one of the three grids is enough.
_WIDTH = 0.2
_GRIDS = 3
# Where so many pairs or more would be near by chance alone, nearness tells nothing. So many for each row are compared.
_MAX_CHANCE_PAIRS, _MAX_COMPARED = 0.5, 4
_MISSING_CELL = np.int64(-(2**62))
_QUANTILES = (0.01, 0.99)


@dataclass(frozen=True)
class Grid:
    """The cells of a table.

    Attributes:
      columns: numeric columns with fractions in them, which may jitter.
      rest: all other columns, which must be equal.
      spreads: standard deviation of each of `columns` between its 1 and 99 % quantiles.
      collision: the chance that two rows have every cell and every other column in common.
      chance: the chance that two rows are near twins.
    """

    columns: tuple[str, ...]
    rest: tuple[str, ...]
    spreads: tuple[float, ...]
    collision: float
    chance: float

    @staticmethod
    def fit(sample: pa.Table, numeric: Sequence[str], others: Sequence[str]) -> Grid:
        """From some stored rows; `others` are the columns that are not numeric."""
        whole, jittering, spreads = list(others), [], []
        collision = float(np.prod([_collision(row_keys(_batch(sample, name), [name])) for name in others]))
        for name in numeric:
            values = _floats(sample[name])
            present = values[np.isfinite(values)]
            spread = _spread(present)
            if spread == 0.0 or bool(np.all(present == np.round(present))):
                whole.append(name)
                collision *= _collision(values.view(np.uint64))
            else:
                jittering.append(name)
                spreads.append(spread)
                collision *= _collision(_cells(values, spread, 1)[0])
        # Within a cell values are about evenly spread: so large a part of them is a tolerance away, either way.
        chance = collision * (2 * TOLERANCE / _WIDTH) ** len(jittering)
        return Grid(tuple(jittering), tuple(whole), tuple(spreads), collision, chance)

    def tells(self, num_rows: int) -> bool:
        """Whether near rows are more than chance, and few enough to be compared, in a table of so many rows."""
        pairs = num_rows**2 / 2
        few = self.collision * pairs < _MAX_COMPARED * num_rows
        return bool(self.columns) and few and self.chance * pairs < _MAX_CHANCE_PAIRS

    def keys(self, batch: pa.RecordBatch) -> np.ndarray:
        """uint64 [rows, grids]: rows that are near share at least one of them, most likely."""
        rest = row_keys(batch, self.rest)
        sums = [np.zeros(batch.num_rows, np.int64) for _ in range(_GRIDS)]
        for name, spread in zip(self.columns, self.spreads, strict=True):
            # Cells are hashed by random multipliers, one a column: a universal family, and one pass.
            factor = np.int64(int(text_key(name)) >> 1 | 1)
            for total, cells in zip(sums, _cells(_floats(batch.column(name)), spread), strict=True):
                total += cells * factor
        return np.stack([mix(total.view(np.uint64)) + rest for total in sums], axis=1)

    def near(self, pairs: np.ndarray, fetch: Callable[[np.ndarray, Sequence[str]], np.ndarray]) -> np.ndarray:
        """Those of the candidate pairs [n, 2] whose numbers really are near.

        Args:
          pairs: rows that share a key.
          fetch: rows, columns -> float64 [rows, columns], NaN where missing.
        """
        rows, places = np.unique(pairs, return_inverse=True)
        if len(rows) == 0:
            return pairs
        scaled = fetch(rows, self.columns) / np.asarray(self.spreads)
        left, right = scaled[places.reshape(-1, 2)[:, 0]], scaled[places.reshape(-1, 2)[:, 1]]
        equal = np.isnan(left) & np.isnan(right)
        apart = np.where(equal, 0.0, np.abs(left - right))  # NaN, and so too far, where one alone is missing
        mean = np.sqrt(np.mean(np.square(apart), axis=1))
        return pairs[(mean <= TOLERANCE) & np.all(apart <= _MOST_IN_ONE * TOLERANCE, axis=1)]


def _cells(values: np.ndarray, spread: float, grids: int = _GRIDS) -> list[np.ndarray]:
    """The number of each value's cell in every grid, int64 [rows].

    The grids are shifted by parts of a cell: what lies on an edge of one lies in the middle of the next.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = values * (1 / (spread * _WIDTH))
        missing = ~(np.abs(scaled) < 2**61)
    has_missing = bool(missing.any())
    if has_missing:
        scaled[missing] = 0.0
    found = []
    for grid in range(grids):
        cells = np.floor(scaled + (grid + 0.5) / grids).astype(np.int64)
        if has_missing:
            cells[missing] = _MISSING_CELL
        found.append(cells)
    return found


def _spread(present: np.ndarray) -> float:
    if len(present) == 0:
        return 0.0
    low, high = np.quantile(present, _QUANTILES, method="nearest")
    inner = present[(present >= low) & (present <= high)]
    scale = float(np.abs(inner).max()) or 1.0  # squares of numbers beyond 1e154 are infinite
    return float(np.std(inner / scale)) * scale


def _collision(values: np.ndarray) -> float:
    """The chance that two rows are equal here, from a sample: the sum of squared shares, without bias."""
    _, counts = np.unique(values, return_counts=True)
    n = len(values)
    return float((counts * (counts - 1.0)).sum() / (n * (n - 1.0))) if n > 1 else 1.0


def _batch(sample: pa.Table, name: str) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([sample[name].combine_chunks()], names=[name])


def _floats(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)
