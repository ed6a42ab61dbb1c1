"""Every splitter of the room, and labels to split."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from pipeline.data import split
from pipeline.data.split import Given

SPLITTERS = split.__all__
FRACTIONS = st.tuples(*[st.integers(1, 8)] * 3).map(lambda parts: tuple(part / sum(parts) for part in parts))


@st.composite
def labels(draw: Any) -> np.ndarray:
    """60 to 300 labels, text or numbers, some missing."""
    rows, seed = draw(st.integers(60, 300)), draw(st.integers(0, 1000))
    generator = np.random.default_rng(seed)
    missing = generator.random(rows) < draw(st.sampled_from([0.0, 0.2]))
    form = draw(st.sampled_from(["classes", "text", "quantity"]))
    if form == "quantity":
        return np.where(missing, np.nan, generator.normal(size=rows))
    classes = generator.choice(draw(st.integers(2, 6)), rows)
    if form == "classes":
        return np.where(missing, np.nan, classes.astype(np.float64))
    return np.asarray([None if gone else f"class {name}" for gone, name in zip(missing, classes, strict=True)], object)


def present(found: np.ndarray) -> np.ndarray:
    return np.asarray([value is not None and value == value for value in found.tolist()])


def splitter(
    name: str, fractions: tuple[float, float, float], found: np.ndarray, **arguments: Any
) -> tuple[Any, np.ndarray | None]:
    """A splitter of the room, and the column that it needs: 60 groups or times, a key for each row."""
    train, validation, test = fractions
    if name == "Given":
        column = np.asarray(["train", "test"] * len(found), object)[: len(found)]
        return Given(validation=validation / (train + validation), **arguments), column
    column_of = {
        "Group": np.arange(len(found)) % 60 * 1.0,
        "StratifiedGroup": np.asarray([f"group {row % 60}" for row in range(len(found))], object),
        "Time": np.datetime64("2026-01-01", "us") + np.arange(len(found)) * 7 % 60 * np.timedelta64(1, "D"),
        "Key": np.asarray([f"key {row}" for row in range(len(found))], object),
    }
    shares = {"train": train, "validation": validation, "test": test, **arguments}
    if name in column_of:
        return getattr(split, name)(column="given", **shares), column_of[name]
    return getattr(split, name)(**shares), None


def parts(groups: np.ndarray, *others: np.ndarray) -> np.ndarray:
    """Rows that hang together through equal values in any of the arrays, by plain repetition. int64 [rows]"""
    found = np.arange(len(groups))
    while True:
        before = found.copy()
        for values in (groups, *others):
            _, codes = np.unique(values, return_inverse=True)
            least = np.full(codes.max() + 1, len(groups))
            np.minimum.at(least, codes, found)
            found = least[codes]
        if np.array_equal(before, found):
            return found
