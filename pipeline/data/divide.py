"""The way from rows to sides: twins found, known test rows kept, the split asked, the result proven."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from pipeline.data.mixing import mix
from pipeline.data.schema import Schema
from pipeline.data.sides import NO_SIDE, TEST, TRAIN, VALIDATION
from pipeline.data.split.splitter import Splitter
from pipeline.data.twins.clusters import groups_of_equal
from pipeline.data.twins.find import Twins, find_twins
from pipeline.progress import Reporter

# Chance explains the twins of a table if it gives at least this share of what was found.
_CHANCE_EXPLAINS = 0.5
# A cluster beyond this share of the rows (texts of one template, say) would fill or starve a side of the split.
_LARGEST_SHARE, _FEW_ROWS = 0.1, 50
_MANIFEST = pa.schema([("row", pa.int64()), ("identity", pa.uint64()), ("cluster", pa.int64()), ("side", pa.uint8())])


@dataclass(frozen=True)
class Divided:
    """A split and what was found on the way.

    Attributes:
      sides: uint8 [rows].
      identities: uint64 [rows], by which a row is known again; equal rows are told apart by their order.
      clusters: int64 [rows], the smallest row number among each row's twins.
      report: for `twins.json`.
      notes, warnings: lines for people.
      conflict: a line on rows with equal features and different labels, or None.
    """

    sides: np.ndarray
    identities: np.ndarray
    clusters: np.ndarray
    report: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    conflict: str | None = None

    def write_manifest(self, path: Path) -> None:
        """The side of every row, as an Arrow file: row, identity, cluster, side."""
        rows = np.arange(len(self.sides), dtype=np.int64)
        columns = [pa.array(column) for column in (rows, self.identities, self.clusters, self.sides)]
        with pa.ipc.new_file(path, _MANIFEST) as writer:
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=_MANIFEST))


def test_identities(manifest: Path) -> np.ndarray:
    """The identities of the test rows of a manifest, uint64 [n]."""
    with pa.memory_map(str(manifest)) as source, pa.ipc.open_file(source) as reader:
        table = reader.read_all()
        return np.asarray(table["identity"].to_numpy())[table["side"].to_numpy() == TEST]


def divide(
    rows_path: Path,
    schema: Schema,
    splitter: Splitter,
    *,
    held_out: np.ndarray,
    near: bool = True,
    keep_together: bool | Literal["auto"] = "auto",
    seed: int = 0,
    reporter: Reporter | None = None,
) -> Divided:
    """Gives every row its side.

    Args:
      rows_path: what `ingest` wrote.
      schema: of those rows.
      splitter: see `pipeline.data.split`.
      held_out: sorted identities of rows that were in test before, uint64 [n].
      near: whether near twins are searched.
      keep_together: whether twins go to one side; auto: unless chance explains most of them.
      seed: of everything random.
      reporter: for progress.

    Raises:
      DataError: the split cannot be made.
    """
    needed, label = splitter.needs or schema.split, schema.label.name
    columns = [label] if needed in (None, label) else [label, str(needed)]
    twins = find_twins(rows_path, schema, near=near, columns=columns, reporter=reporter)
    clusters = twins.clusters()
    labels, column = twins.columns[label], twins.columns[needed] if needed else None
    identities = _identities(twins.row_keys)
    pinned = _are_in(identities, held_out) if len(held_out) else None
    bound, why_not = _bound(twins, clusters, keep_together)
    found_any = any(len(pairs) for pairs in twins.pairs.values())
    naive = splitter(labels, column=column, seed=seed) if found_any else None
    units = clusters if bound and found_any else None
    sides = naive if naive is not None and units is None else splitter(labels, column=column, units=units, seed=seed)
    # Where the known test rows are in test anyway, nothing is to be done: so the folds of one split fit together.
    if pinned is not None and bool((sides[pinned] != TEST).any()):
        sides = splitter(labels, column=column, units=units, pinned=pinned, seed=seed)
    straddling = _straddling(clusters, sides) if found_any else 0
    if bound and straddling:
        raise RuntimeError(f"{straddling} clusters of twins are on two sides of the split")
    leaked = _leaked(clusters, naive) if naive is not None else 0
    report = _report(twins, clusters, sides if naive is None else naive, leaked, straddling, bound, why_not)
    divided = Divided(sides, identities, clusters, report)
    _tell(divided, twins, pinned, naive, bound, why_not)
    return divided if not len(twins.conflicts) else _with_conflict(divided, twins, labels)


def _identities(keys: np.ndarray) -> np.ndarray:
    """Keys, the second, third, ... row of equal ones changed by their rank, so that each row has its own."""
    pairs = groups_of_equal(keys)
    found = keys.copy()
    if len(pairs):
        starts = np.r_[True, pairs[1:, 0] != pairs[:-1, 0]]
        ranks = np.arange(len(pairs)) - np.maximum.accumulate(np.where(starts, np.arange(len(pairs)), 0)) + 1
        found[pairs[:, 1]] ^= mix(ranks.astype(np.uint64))
    return found


def _are_in(identities: np.ndarray, known: np.ndarray) -> np.ndarray:
    places = np.minimum(np.searchsorted(known, identities), len(known) - 1)
    return np.asarray(known[places] == identities)


def _bound(twins: Twins, clusters: np.ndarray, keep_together: bool | Literal["auto"]) -> tuple[bool, str]:
    if keep_together != "auto":
        return bool(keep_together), "" if keep_together else "twins.keep_together = false"
    share = len(np.unique(twins.pairs["exact"])) / max(len(clusters), 1)
    if twins.chance.share > 0 and twins.chance.share >= _CHANCE_EXPLAINS * share > 0:
        return False, "the columns have so few different values that chance explains most of the equal rows"
    largest = int(np.bincount(clusters, minlength=1).max())
    if len(clusters) >= _FEW_ROWS and largest > _LARGEST_SHARE * len(clusters):
        return False, f"one cluster has {largest} of {len(clusters)} rows, and no side could do without it"
    return True, ""


def _straddling(clusters: np.ndarray, sides: np.ndarray) -> int:
    """Clusters with rows on more than one side."""
    on = np.zeros(len(clusters), np.int8)
    for side in (TRAIN, VALIDATION, TEST):
        here = np.zeros(len(clusters), bool)
        here[clusters[sides == side]] = True
        on += here
    return int((on > 1).sum())


def _leaked(clusters: np.ndarray, sides: np.ndarray) -> int:
    """Test rows with a twin in train."""
    in_train = np.zeros(len(clusters), bool)
    in_train[clusters[sides == TRAIN]] = True
    return int(in_train[clusters[sides == TEST]].sum())


def _report(
    twins: Twins, clusters: np.ndarray, naive: np.ndarray, leaked: int, straddling: int, bound: bool, why_not: str
) -> dict[str, Any]:
    num_test = int((naive == TEST).sum())
    sizes = np.bincount(clusters, minlength=1)
    return {
        "rows": len(clusters),
        "repeated_rows": twins.num_repeated,
        "conflicting_labels": len(twins.conflicts),
        "near_pairs": {kind: len(pairs) for kind, pairs in twins.pairs.items() if kind != "exact"},
        "clusters": int((sizes > 1).sum()),
        "largest_cluster": int(sizes.max()),
        "naive_split": {
            "test_rows": num_test,
            "with_a_twin_in_train": leaked,
            "by_chance": round(twins.chance.share * num_test, 1),
        },
        "kept_together": bound,
        **({"why_not": why_not} if why_not else {}),
        "clusters_on_two_sides": straddling,
    }


def _tell(
    divided: Divided, twins: Twins, pinned: np.ndarray | None, naive: np.ndarray | None, bound: bool, why_not: str
) -> None:
    report = divided.report
    if report["clusters"]:
        near = "".join(
            f", {count} nearly equal pairs ({kind})" for kind, count in report["near_pairs"].items() if count
        )
        split = report["naive_split"]
        divided.notes.append(
            f"twins: {len(twins.pairs['exact'])} rows repeat the features of an earlier one{near}; a split without "
            f"regard to them puts {split['with_a_twin_in_train']} of {split['test_rows']} test rows beside a twin in "
            f"train (chance: {split['by_chance']:g})"
        )
        divided.notes.append(
            "twins: each cluster is kept on one side" if bound else f"twins: not kept together: {why_not}"
        )
    if naive is not None and bound:
        aside = int((divided.sides == NO_SIDE).sum()) - int((naive == NO_SIDE).sum())
        if aside > 0:
            divided.warnings.append(f"twins: {aside} rows are on no side, because their twin is on a later one")
    if pinned is not None and (moved := int(pinned.sum())):
        divided.notes.append(f"{moved} rows that were in test before stay there")


def _with_conflict(divided: Divided, twins: Twins, labels: np.ndarray) -> Divided:
    first, second = twins.conflicts[0]
    line = (
        f"conflict: {len(twins.conflicts)} rows have the features of another row and a different label, e.g. rows "
        f'{first + 1} and {second + 1} ("{labels[first]}" and "{labels[second]}")'
    )
    return replace(divided, conflict=line)
