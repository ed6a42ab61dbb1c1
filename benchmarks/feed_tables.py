"""Batches of tables: ours from a store, theirs from `from_tensor_slices` with a shuffle buffer of 100,000 rows."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Result, note, peak_bytes, timed
from benchmarks.rounds import LOOPS, Way, compare, in_graph

BATCH, BUFFER = 256, 100_000
_CHUNK = 1_000_000
# Of ours several epochs are taken, so that a round takes about a second.
_EPOCHS = 5


def rows(
    num_rows: int, num_numeric: int, vocabulary_sizes: tuple[int, ...] = (), seed: int = 0
) -> dict[str, np.ndarray]:
    """Columns of a store, with a label of two classes."""
    random = np.random.default_rng(seed)
    numeric = random.standard_normal((num_rows, num_numeric), np.float32)
    found = {"numeric": numeric, "label": (numeric[:, 0] + numeric[:, 1] > 0).astype(np.int32)}
    if vocabulary_sizes:
        found["categorical"] = random.integers(0, vocabulary_sizes, (num_rows, len(vocabulary_sizes)), np.int32)
    return found


def write_store(folder: Path, num_rows: int, num_numeric: int, vocabulary_sizes: tuple[int, ...] = ()) -> Any:
    """Writes and opens one, a chunk of rows at a time."""
    from pipeline.data.store import Store, StoreWriter
    from pipeline.spec import Spec

    spec = Spec("binary", 2, num_numeric=num_numeric, vocabulary_sizes=vocabulary_sizes, num_train=num_rows)
    columns: dict[str, tuple[str, tuple[int, ...]]] = {"numeric": ("float32", (num_numeric,)), "label": ("int32", ())}
    if vocabulary_sizes:
        columns["categorical"] = ("int32", (len(vocabulary_sizes),))
    writer = StoreWriter(folder, num_rows, columns, spec=spec)
    for start in range(0, num_rows, _CHUNK):
        writer.append(rows(min(_CHUNK, num_rows - start), num_numeric, vocabulary_sizes, seed=start // _CHUNK))
    writer.close()
    return Store(folder)


def idiom(features: Any, label: np.ndarray, batch_size: int = BATCH, buffer: int = BUFFER) -> Any:
    """What most tutorials write."""
    import tensorflow as tf

    slices = tf.data.Dataset.from_tensor_slices((features, label))
    return slices.shuffle(buffer).batch(batch_size).prefetch(tf.data.AUTOTUNE)


def dict_of_columns(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every column by a name of its own, as `dict(dataframe)` gives them."""
    parts = {name: matrix for name, matrix in columns.items() if name != "label"}
    return {f"{name}_{place}": column for name, matrix in parts.items() for place, column in enumerate(matrix.T.copy())}


def of_tables(folder: Path, num_rows: int, times: int) -> list[Result]:
    """Twenty numbers; ten numbers and four categories; and memory."""
    numbers, sizes = rows(num_rows, 20), (3, 20, 200, 5000)
    mixed = rows(num_rows, 10, sizes)
    label = numbers["label"]
    results = _both_loops(
        "20 numbers",
        write_store(folder / "numbers", num_rows, 20),
        {
            "slices": (idiom(numbers["numeric"], label), 6.0),
            "dict of 20": (idiom(dict_of_columns(numbers), label), 20.0),
        },
        times,
    )
    two = {name: mixed[name] for name in ("numeric", "categorical")}
    results += _both_loops(
        "10 numbers, 4 categories",
        write_store(folder / "mixed", num_rows, 10, sizes),
        {
            "dict of 14": (idiom(dict_of_columns(mixed), mixed["label"]), 4.0),
            "dict of 2 parts": (idiom(two, mixed["label"]), None),
        },
        times,
    )
    return results + _of_large_table(folder / "large", 10 * num_rows)


def _both_loops(what: str, store: Any, theirs: dict[str, tuple[Any, float | None]], times: int) -> list[Result]:
    from pipeline import data

    seeds = iter(range(1_000_000))

    def ours() -> Any:
        """Made anew, so that no order of rows is known from the last round."""
        return data.make_train(store, batch_size=BATCH, seed=next(seeds), epochs=_EPOCHS)

    found = []
    for name, loop in LOOPS.items():
        others = [
            Way(other, lambda dataset=dataset, loop=loop: loop(dataset, len(store)), goal)
            for other, (dataset, goal) in theirs.items()
        ]
        way = Way("ours", lambda loop=loop: loop(ours(), _EPOCHS * len(store)))
        found += compare(f"{what}, {name}", "rows/s", way, others, times)
    return found


def _of_large_table(folder: Path, num_rows: int) -> list[Result]:
    """In a process of its own, so that its peak of memory is its own."""
    note(f"{num_rows:,} rows in a process of its own")
    write_store(folder, num_rows, 20)
    _, _, said = timed([sys.executable, "-m", "benchmarks.feed", "--child", folder], folder)
    measured = json.loads(said.splitlines()[-1])
    return [
        Result(f"{num_rows:,} rows of 20 numbers: ours", measured["speed"], "rows/s"),
        Result(f"{num_rows:,} rows of 20 numbers: peak memory", measured["peak_bytes"] / 2**30, "GiB", "<= 2.0"),
    ]


def child(folder: Path) -> None:
    """Two epochs of a store."""
    from pipeline import data
    from pipeline.data.store import Store

    store = Store(folder)
    speed = in_graph(data.make_train(store, batch_size=BATCH, seed=7, epochs=2), 2 * len(store))
    print(json.dumps({"speed": speed, "peak_bytes": peak_bytes()}))
