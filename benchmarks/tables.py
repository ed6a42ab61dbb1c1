"""A mixed table of any size for benchmarks: numbers of very different scales, some missing, and categories."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

_CHUNK = 100_000
_LEVELS = {"plan": 3, "region": 20, "product": 200, "merchant": 5000}
_MISSING = {"income": 0.05, "temperature": 0.1, "delay": 0.15}


def write_table(path: Path, num_rows: int) -> None:
    """Writes a CSV file; a shorter one is a prefix of a longer one."""
    options = pa.csv.WriteOptions(include_header=False, quoting_style="none")
    with path.open("wb") as file:
        for start in range(0, num_rows, _CHUNK):
            table = _chunk(start // _CHUNK).slice(0, min(_CHUNK, num_rows - start))
            if start == 0:
                file.write((",".join(table.column_names) + "\n").encode())
            pa.csv.write_csv(table, file, options)


def _chunk(number: int) -> pa.Table:
    random = np.random.default_rng([0, number])
    numbers = {
        "age": random.integers(18, 91, _CHUNK).astype(float),
        "income": np.round(np.exp(random.normal(10.5, 0.8, _CHUNK)), 2),
        "ratio": np.round(random.beta(2, 5, _CHUNK), 5),
        "temperature": np.round(random.normal(15, 12, _CHUNK), 2),
        "count": random.poisson(4, _CHUNK).astype(float),
        "balance": np.round(random.standard_t(3, _CHUNK) * 5000, 2),
        "score": np.round(random.uniform(-1e-3, 1e-3, _CHUNK), 8),
        "distance": np.round(random.exponential(1e6, _CHUNK), 1),
        "delay": np.round(random.gamma(2, 30, _CHUNK), 2),
        "noise": np.round(random.normal(0, 1, _CHUNK), 4),
    }
    columns = {
        name: pa.array(values, mask=random.random(_CHUNK) < _MISSING.get(name, -1)) for name, values in numbers.items()
    }
    for name, levels in _LEVELS.items():
        codes = (levels * random.random(_CHUNK) ** (1.0 if levels < 50 else 1.7)).astype(np.int32)
        columns[name] = pa.DictionaryArray.from_arrays(codes, [f"{name}_{level}" for level in range(levels)]).cast(
            pa.string()
        )
    columns["label"] = pa.array((numbers["ratio"] + 0.2 * random.normal(0, 1, _CHUNK) > 0.3).astype(np.int8))
    return pa.table(columns)
