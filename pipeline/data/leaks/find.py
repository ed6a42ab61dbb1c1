"""All searches for leaks, in one call."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.data.kinds import Kind
from pipeline.data.leaks.identifiers import find_identifiers
from pipeline.data.leaks.leak import Leak
from pipeline.data.leaks.predictors import find_predictors
from pipeline.data.leaks.sums import find_sums
from pipeline.errors import DataError

# Fewer rows prove nothing.
MIN_ROWS = 30


def find_leaks(
    table: pa.Table,
    label: str,
    kinds: Mapping[str, Kind],
    *,
    task: str,
    known_after: Collection[str] = (),
    seed: int = 0,
) -> list[Leak]:
    """Features that cannot be known before the label, or that only name rows.

    Args:
      table: a sample of train rows, in their order, of stored types (see `pipeline.data.kinds`).
      label: the label's name.
      kinds: the kind of every column; the label's own is not used.
      task: "binary", "multiclass" or "regression".
      known_after: columns that a person declared to be known only after the label.
      seed: of the halves that estimate each other.

    Returns:
      Declared ones first, then sums, predictors, identifiers.

    Raises:
      DataError: the label or a column is not in the table.

    Example:
      >>> hours = np.arange(100.0) % 24
      >>> table = pa.table({"casual": hours, "registered": hours**2, "cnt": hours + hours**2})
      >>> kinds = {"casual": "numeric", "registered": "numeric"}
      >>> [leak.features for leak in find_leaks(table, "cnt", kinds, task="regression") if leak.kind == "sum"]
      [('casual', 'registered')]
    """
    absent = sorted({label, *kinds} - set(table.column_names))
    if absent:
        raise DataError(
            f'There is no column "{absent[0]}" to search for leaks.', expected=f"one of {', '.join(table.column_names)}"
        )
    features = {name: kind for name, kind in kinds.items() if name != label}
    declared = [
        Leak("known after", (name,), f'"{name}" is declared to be known after "{label}"', 1.0)
        for name in features
        if name in known_after
    ]
    # What is declared is found already; the others are searched on rows with a label.
    features = {name: kind for name, kind in features.items() if name not in known_after}
    table = table.filter(pc.is_valid(table[label]))
    if table.num_rows < MIN_ROWS:
        return declared
    columns = {name: _values(table[name], kind) for name, kind in features.items() if kind in _SEARCHED}
    sums = []
    if task == "regression":
        numbers = {name: values for name, values in columns.items() if features[name] == "numeric"}
        sums = find_sums(numbers, _values(table[label], "numeric"), label)
    certain = {leak.features[0] for leak in sums if len(leak.features) == 1}
    rest = {name: values for name, values in columns.items() if name not in certain}
    labels = _values(table[label], "numeric" if task == "regression" else "categorical")
    return [
        *declared,
        *sums,
        *find_predictors(rest, features, labels, label, task, seed),
        *find_identifiers(columns, features),
    ]


_SEARCHED = ("numeric", "categorical", "datetime")


def _values(column: pa.ChunkedArray, kind: Kind) -> np.ndarray:
    """Numbers and times as float64 with NaN; categories as int64 codes, -1 where missing. [rows]"""
    if kind != "categorical":
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64())
        # Microseconds beyond the year 2255 are no float64 exactly: it does not matter here.
        return np.asarray(column.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy())
    array = column.combine_chunks()
    encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    return np.asarray(encoded.indices.fill_null(-1).to_numpy()).astype(np.int64)
