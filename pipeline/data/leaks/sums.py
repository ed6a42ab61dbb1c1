"""Labels that are put together from features: a sum, a difference, a multiple of one to four of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np

from pipeline.data.leaks.leak import Leak

# Combinations that are all tried; beyond, only those that a least-squares fit over all features points to.
MAX_COMBINATIONS = 30_000
MAX_FEATURES = 4
# Rows for the search; what is found is verified on all.
SEARCH_ROWS = 2_000
MIN_ROWS = 30
# A fit that explains less than this is not exact, however the numbers were rounded.
EXPLAINED = 1 - 1e-4


def find_sums(columns: Mapping[str, np.ndarray], label: np.ndarray, name: str) -> list[Leak]:
    """The fewest features whose signed sum, times one constant, is the label in every row, up to rounding.

    One feature may also be the label in another unit: times a constant, plus another. Rows with a missing value in
    the combination do not count.

    Args:
      columns: float64 [rows], NaN where missing.
      label: float64 [rows].
      name: the label's.

    Example:
      >>> a, b = np.arange(50.0) % 7, np.arange(50.0) % 11
      >>> find_sums({"a": a, "b": b}, a - b, "net")[0].evidence
      '"a" - "b" = "net" in all 50 train rows'
    """
    names, matrix, target = _complete(columns, label)
    if len(target) < MIN_ROWS or len(np.unique(target)) < 3:
        return []
    scaled = _standardized(matrix)
    wanted = _standardized(target[:, None])[:, 0]
    found: list[Leak] = []
    free = list(range(len(names)))
    for size in range(1, min(MAX_FEATURES, len(names)) + 1):
        for chosen in _candidates(scaled, wanted, free, size):
            leak = _verified(columns, [names[place] for place in chosen], label, name)
            found += [leak] if leak else []
        if found:
            break
    return found


def _complete(columns: Mapping[str, np.ndarray], label: np.ndarray) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Rows in which nothing is missing, at most SEARCH_ROWS, without constant columns and those that miss most."""
    names = [
        name
        for name, values in columns.items()
        if np.nanmin(values, initial=np.inf) < np.nanmax(values, initial=-np.inf)
    ]
    names.sort(key=lambda name: np.isnan(columns[name]).mean())  # stable: fullest first
    complete = ~np.isnan(label)
    used: list[str] = []
    for name in names:
        narrower = complete & ~np.isnan(columns[name])
        if narrower.sum() >= max(MIN_ROWS + len(used), complete.sum() / 2):
            complete = narrower
            used.append(name)
    used = [name for name in columns if name in used]
    rows = np.flatnonzero(complete)
    rows = rows[:: max(len(rows) // SEARCH_ROWS, 1)]
    matrix = np.stack([columns[name][rows] for name in used], axis=1) if used else np.zeros((len(rows), 0))
    return used, matrix, label[rows]


def _standardized(matrix: np.ndarray) -> np.ndarray:
    """Columns with mean 0 and length 1; a constant one stays 0."""
    with np.errstate(over="ignore", invalid="ignore"):
        matrix = np.nan_to_num(matrix / np.maximum(np.abs(matrix).max(axis=0, initial=0), 1e-300))
    centered = matrix - matrix.mean(axis=0)
    return np.asarray(centered / np.maximum(np.sqrt(np.square(centered).sum(axis=0)), 1e-300))


def _candidates(scaled: np.ndarray, wanted: np.ndarray, free: list[int], size: int) -> list[tuple[int, ...]]:
    """Combinations that explain the label, by the normal equations of all of them at once; best first, at most 20."""
    if math.comb(len(free), size) > MAX_COMBINATIONS:
        free = _support(scaled, wanted, size)
    chosen = np.asarray(list(itertools.combinations(free, size)), np.int64).reshape(-1, size)
    products = scaled.T @ scaled + 1e-10 * np.eye(scaled.shape[1])
    right = (scaled.T @ wanted)[chosen]
    weights = np.linalg.solve(products[chosen[:, :, None], chosen[:, None, :]], right[:, :, None])[:, :, 0]
    explained = (weights * right).sum(axis=1)
    order = np.argsort(-explained, kind="stable")
    return [tuple(chosen[place].tolist()) for place in order[:20] if explained[place] > EXPLAINED]


def _support(scaled: np.ndarray, wanted: np.ndarray, size: int) -> list[int]:
    """The features of most weight in a least-squares fit of all, and those of a greedy one (matching pursuit)."""
    weights = np.linalg.lstsq(scaled, wanted, rcond=None)[0]
    heavy = np.argsort(-np.abs(weights), kind="stable")[: 2 * size].tolist()
    greedy: list[int] = []
    left = wanted
    for _ in range(2 * size):
        greedy.append(int(np.abs(scaled.T @ left).argmax()))
        basis = scaled[:, greedy]
        left = wanted - basis @ np.linalg.lstsq(basis, wanted, rcond=None)[0]
    return sorted({*heavy, *greedy})


def _verified(columns: Mapping[str, np.ndarray], names: list[str], label: np.ndarray, name: str) -> Leak | None:
    """The leak, if the same constant (and for one feature an offset) gives every row's label."""
    matrix = np.stack([columns[each] for each in names], axis=1)
    rows = ~np.isnan(matrix).any(axis=1) & ~np.isnan(label)
    matrix, target = matrix[rows], label[rows]
    middle = matrix.mean(axis=0)
    weights = np.linalg.lstsq(matrix - middle, target - target.mean(), rcond=None)[0]
    factor = float(np.abs(weights).mean())
    if factor == 0 or (np.abs(np.abs(weights) - factor) > 1e-3 * factor).any():
        return None
    factor = round(factor) if 0 < abs(factor - round(factor)) < 1e-3 and round(factor) else factor
    signs = np.sign(weights)
    made = factor * (matrix @ signs)
    offset = float(np.median(target - made))
    tolerance = _tolerance(matrix, target, factor)
    if len(names) > 1 and abs(offset) <= tolerance:
        offset = 0.0
    if np.abs(target - made - offset).max() > tolerance or tolerance > 0.01 * target.std():
        return None
    formula = _formula(names, signs, factor, offset)
    return Leak("sum", tuple(names), f'{formula} = "{name}" in all {len(target):,} train rows', 1.0)


def _tolerance(matrix: np.ndarray, target: np.ndarray, factor: float) -> float:
    """What rounding can have changed: half a unit of the last digit of each number; whole numbers are exact."""
    exact = 1e-7 * max(float(np.abs(target).max()), factor * float(np.abs(matrix).max()))
    units = [_unit(column) for column in (target, *matrix.T)]
    if max(units) >= 1:
        return exact
    return exact + 0.5 * units[0] + 0.5 * factor * sum(units[1:])


def _unit(values: np.ndarray) -> float:
    """1 for whole numbers, 0.01 for two decimals, ...; 0 beyond six."""
    for digits in range(7):
        if (np.abs(values - np.round(values, digits)) <= 1e-9 * np.maximum(np.abs(values), 1)).all():
            return float(10.0**-digits)
    return 0.0


def _formula(names: list[str], signs: np.ndarray, factor: float, offset: float) -> str:
    first = "-" if signs[0] < 0 else ""
    text = f'{first}"{names[0]}"'
    text += "".join(f' {"-" if sign < 0 else "+"} "{name}"' for name, sign in zip(names[1:], signs[1:], strict=True))
    if abs(factor - 1) > 1e-9:
        text = f"{factor:.6g} * ({text})" if len(names) > 1 else f"{factor:.6g} * {text}"
    return f"{text} {'-' if offset < 0 else '+'} {abs(offset):.6g}" if abs(offset) > 1e-9 else text
