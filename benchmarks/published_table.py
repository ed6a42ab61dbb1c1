"""A table on which trees are strong, and scikit-learn's histogram gradient boosting on the same rows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

ROWS = 200_000
_CHUNK, _SEED, _NOISE = 100_000, 0, 0.1
_LEVELS = {"plan": 3, "region": 20, "product": 200, "merchant": 5000}
_MISSING = {"income": 0.05, "temp": 0.10, "delay": 0.15}
# HistGradientBoosting takes no column of more categories; rare ones become one.
_MOST_CATEGORIES = 254
# The fastest of so many counts: its threads wait for each other, and one neighbor on the machine made a fit of 1.5 s
# take 60 s.
_FITS = 3


@dataclass(frozen=True)
class Boosted:
    """What gradient boosting reached.

    Attributes:
      auc: on the test rows.
      seconds: of `fit` on all other rows, the fastest of three.
    """

    auc: float
    seconds: float


def write_table(path: Path, num_rows: int = ROWS) -> None:
    """Writes a CSV file with a column `split`: 20 % of the rows are test, 8 % validation, 72 % train.

    The label depends on waves, steps and products of ten numbers of very different scales and four categories; a tenth
    of the labels is wrong, so that nothing is right on more than 0.9 of the rows. But for `split`, a shorter table is
    the beginning of a longer one.
    """
    chunks = [_chunk(number) for number in range(-(-num_rows // _CHUNK))]
    table = pa.concat_tables(chunks).slice(0, num_rows)
    places = np.random.default_rng(_SEED).permutation(num_rows) / num_rows
    sides = np.select([places < 0.2, places < 0.28], ["test", "validation"], "train")
    options = pa.csv.WriteOptions(quoting_style="none")
    pa.csv.write_csv(table.append_column("split", pa.array(sides)), path, options)


def boosted(path: Path, seed: int) -> Boosted:
    """Histogram gradient boosting with early stopping, on train and validation: it sets a tenth aside by itself."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.preprocessing import OrdinalEncoder

    table = pa.csv.read_csv(path)
    categories = np.column_stack([np.array(table[name].to_pylist(), object) for name in _LEVELS])
    numbers = [name for name in table.column_names if name not in (*_LEVELS, "label", "split")]
    y, is_test = table["label"].to_numpy(), np.array(table["split"].to_pylist()) == "test"
    encoder = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, max_categories=_MOST_CATEGORIES
    ).fit(categories[~is_test])
    columns = [table[name].to_numpy().astype(np.float64) for name in numbers]
    x = np.column_stack([*columns, encoder.transform(categories)])
    model = HistGradientBoostingClassifier(
        early_stopping=True, random_state=seed, categorical_features=range(len(numbers), x.shape[1])
    )
    seconds = []
    for _ in range(_FITS):
        started = time.perf_counter()
        model.fit(x[~is_test], y[~is_test])
        seconds.append(time.perf_counter() - started)
    return Boosted(float(roc_auc_score(y[is_test], model.predict_proba(x[is_test])[:, 1])), min(seconds))


def _chunk(number: int) -> pa.Table:
    """Rows whose randomness is that of their chunk alone."""
    random = np.random.default_rng([_SEED, number])
    numbers = _draw_numbers(random)
    # The first levels are far more frequent than the last ones, but for small columns.
    drawn = {name: levels * random.random(_CHUNK) ** (1.0 if levels < 50 else 1.7) for name, levels in _LEVELS.items()}
    codes = {name: np.minimum(places.astype(int), _LEVELS[name] - 1) for name, places in drawn.items()}
    label = _signal(numbers, codes) > -0.37
    label ^= random.random(_CHUNK) < _NOISE
    columns = {}
    for name, values in numbers.items():
        mask = random.random(_CHUNK) < _MISSING[name] if name in _MISSING else None
        columns[name] = pa.array(values, mask=mask)
    for name, code in codes.items():
        columns[name] = pa.array(np.array([f"{name}_{level}" for level in range(_LEVELS[name])])[code])
    return pa.table({**columns, "label": pa.array(label.astype(np.int8))})


def _draw_numbers(random: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        "age": random.integers(18, 91, _CHUNK).astype(float),
        "income": np.round(np.exp(random.normal(10.5, 0.8, _CHUNK)), 2),
        "ratio": np.round(random.beta(2, 5, _CHUNK), 5),
        "temp": np.round(random.normal(15, 12, _CHUNK), 2),
        "count": random.poisson(4, _CHUNK).astype(float),
        "balance": np.round(random.standard_t(3, _CHUNK) * 5000, 2),
        "score": np.round(random.uniform(-1e-3, 1e-3, _CHUNK), 8),
        "dist": np.round(random.exponential(1e6, _CHUNK), 1),
        "delay": np.round(random.gamma(2, 30, _CHUNK), 2),
        "noise": np.round(random.normal(0, 1, _CHUNK), 4),
    }


def _signal(numbers: dict[str, np.ndarray], codes: dict[str, np.ndarray]) -> np.ndarray:
    """What the label is decided by, before some are made wrong; float64 [rows]."""
    random = np.random.default_rng([_SEED, 999_999_999])
    effects = {name: random.normal(0, 1, levels) for name, levels in _LEVELS.items()}
    plan, region, product, merchant = (effects[name][codes[name]] for name in _LEVELS)
    wealth = (np.log(numbers["income"]) - 10.5) / 0.8
    return (
        1.3 * np.sin((numbers["age"] - 54) / 12)
        + 1.0 * wealth * np.sign((numbers["temp"] - 15) / 12)
        + 0.8 * np.tanh(numbers["balance"] / 4000) * plan
        + 0.9 * (np.abs(numbers["score"]) > 5e-4) * np.where(numbers["count"] > 4, 1, -1)
        - 0.6 * np.log1p(numbers["dist"] / 1e6)
        + 0.7 * (numbers["ratio"] > 0.3) * (numbers["delay"] - 60) / 42
        + 0.6 * region
        + 0.7 * product
        + 0.8 * merchant
        + 0.5 * region * wealth
    )
