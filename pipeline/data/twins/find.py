"""All twins of a table: equal rows, equal features with another label, and near ones; and what chance would give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.data.keys import row_keys
from pipeline.data.rows import (
    IMAGE_KEY,
    IMAGE_SIGNATURE,
    ROW_KEY,
    rows_at,
    sample_rows,
    stored_batches,
    stored_column,
    values_of,
)
from pipeline.data.schema import Schema
from pipeline.data.sources.ordered import ordered_map
from pipeline.data.twins.chance import Chance
from pipeline.data.twins.clusters import clusters, distinct_pairs, groups_of_equal
from pipeline.data.twins.images import near_images
from pipeline.data.twins.tables import Grid
from pipeline.data.twins.texts import near_texts
from pipeline.progress import Reporter, silent

_SAMPLE_ROWS = 10_000


@dataclass(frozen=True)
class Twins:
    """What was found.

    Attributes:
      row_keys: uint64 [rows], `ROW_KEY`.
      columns: the columns that were asked for, see `find_twins`.
      pairs: int64 [pairs, 2], by kind: "exact", and "image", "text" or "table" for near ones.
      num_repeated: rows whose features and label an earlier row has, too.
      conflicts: int64 [n, 2] rows with equal features and different labels.
      chance: how many twins independent columns would give.
    """

    row_keys: np.ndarray
    columns: dict[str, np.ndarray]
    pairs: dict[str, np.ndarray]
    num_repeated: int
    conflicts: np.ndarray
    chance: Chance

    def clusters(self) -> np.ndarray:
        """The smallest row number among each row's twins; its own where it has none. int64 [rows]."""
        return clusters(len(self.row_keys), *self.pairs.values())


def find_twins(
    rows_path: Path,
    schema: Schema,
    *,
    near: bool = True,
    columns: Sequence[str] = (),
    reporter: Reporter | None = None,
) -> Twins:
    """Searches all rows; memory: a few numbers a row.

    Args:
      rows_path: what `ingest` wrote.
      schema: of those rows.
      near: whether near twins are searched, too.
      columns: stored columns to bring along, since all rows are read here anyway.
      reporter: for progress.
    """
    names = [_stored_name(feature.name, feature.kind) for feature in schema.features]
    sample = sample_rows(rows_path, None, 0, _SAMPLE_ROWS, names)
    numeric = schema.of_kind("numeric")
    fitted = Grid.fit(sample, numeric, [name for name in names if name not in numeric])
    grid = fitted if near and fitted.columns else None
    parts = _read(rows_path, schema, names, columns, grid, reporter or silent())
    features = np.concatenate([part.features for part in parts])
    pairs = {"exact": groups_of_equal(features)}
    num_repeated, conflicts = _labels_of_twins(pairs["exact"], np.concatenate([part.whole for part in parts]))
    if grid is not None and grid.tells(len(features)):
        pairs["table"] = _near_rows(rows_path, grid, [part.cells for part in parts if part.cells is not None])
    if near:
        pairs |= _near_texts_and_images(rows_path, schema, names)
    for kind in set(pairs) - {"exact"}:  # near is what is not equal
        pairs[kind] = pairs[kind][features[pairs[kind][:, 0]] != features[pairs[kind][:, 1]]]
    # Sentences and photos do not repeat by chance, whatever stands beside them.
    free = schema.of_kind("text") + schema.of_kind("image")
    chance = Chance(0.0) if free else Chance.fit(sample, names, len(features))
    row_keys = features if parts[0].keys is parts[0].features else np.concatenate([part.keys for part in parts])
    brought = {name: np.concatenate([part.columns[name] for part in parts]) for name in columns}
    return Twins(row_keys, brought, pairs, num_repeated, conflicts, chance)


@dataclass(frozen=True)
class _Part:
    """Of one batch: what a row is known by; the hash of its features; that of features and label; of its cells."""

    keys: np.ndarray
    features: np.ndarray
    whole: np.ndarray
    cells: np.ndarray | None
    columns: dict[str, np.ndarray]


def _read(
    rows_path: Path,
    schema: Schema,
    names: Sequence[str],
    columns: Sequence[str],
    grid: Grid | None,
    reporter: Reporter,
) -> list[_Part]:
    known = not (schema.others or schema.dropped)  # then the hash that stands there is that of the features

    def of_batch(batch: pa.RecordBatch) -> _Part:
        keys = np.array(batch.column(ROW_KEY))
        features = keys if known else row_keys(batch, names)
        whole = features + row_keys(batch, [schema.label.name])
        brought = {name: values_of(batch.column(name)) for name in columns}
        return _Part(keys, features, whole, None if grid is None else grid.keys(batch), brought)

    parts = []
    with reporter.bar("rows searched for twins") as advance:
        for part in ordered_map(of_batch, stored_batches(rows_path)):
            parts.append(part)
            advance(len(part.keys))
    return parts


def _stored_name(name: str, kind: str) -> str:
    """An image is the same if its bytes are, wherever it lies."""
    return f"{name}.{IMAGE_KEY}" if kind == "image" else name


def _labels_of_twins(pairs: np.ndarray, whole: np.ndarray) -> tuple[int, np.ndarray]:
    same = whole[pairs[:, 0]] == whole[pairs[:, 1]]
    return int(same.sum()), pairs[~same]


def _near_rows(rows_path: Path, grid: Grid, cells: list[np.ndarray]) -> np.ndarray:
    found = [groups_of_equal(np.concatenate([part[:, place] for part in cells])) for place in range(cells[0].shape[1])]
    candidates = distinct_pairs(*found)

    def fetch(rows: np.ndarray, columns: Sequence[str]) -> np.ndarray:
        table = rows_at(rows_path, rows, columns)
        return np.stack([np.asarray(table[name].to_numpy(), np.float64) for name in columns], axis=1)

    return grid.near(candidates, fetch)


def _near_texts_and_images(rows_path: Path, schema: Schema, columns: Sequence[str]) -> dict[str, np.ndarray]:
    """Near in one column, and equal in all others: then it is the same example, edited."""
    found = {}
    for kind, search in _NEAR.items():
        parts = []
        for feature in schema.features:
            if feature.kind == kind:
                itself = _stored_name(feature.name, kind)
                others = [column for column in columns if column != itself]
                parts.append(_equal_besides(rows_path, search(rows_path, feature.name), others))
        if parts:
            found[kind] = np.concatenate(parts)
    return found


def _near_of_images(rows_path: Path, name: str) -> np.ndarray:
    column = stored_column(rows_path, f"{name}.{IMAGE_SIGNATURE}")
    there = np.flatnonzero(np.asarray(column.is_valid()))
    signatures = np.frombuffer(b"".join(column.drop_null().to_pylist()), np.uint8)
    return there[near_images(signatures.reshape(len(there), column.type.byte_width))]


def _near_of_texts(rows_path: Path, name: str) -> np.ndarray:
    return near_texts(stored_column(rows_path, name).to_pylist())


_NEAR: dict[str, Callable[[Path, str], np.ndarray]] = {"image": _near_of_images, "text": _near_of_texts}


def _equal_besides(rows_path: Path, pairs: np.ndarray, columns: Sequence[str]) -> np.ndarray:
    if not columns or len(pairs) == 0:
        return pairs
    rows, places = np.unique(pairs, return_inverse=True)
    batch = rows_at(rows_path, rows, columns).combine_chunks().to_batches()[0]
    keys = row_keys(batch, columns)[places.reshape(-1, 2)]
    return pairs[keys[:, 0] == keys[:, 1]]
