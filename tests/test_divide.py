"""From rows to sides: twins on one side, whatever the split; what was in test stays there; all of it recorded."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.divide import Divided, divide, test_identities
from pipeline.data.infer import Wanted
from pipeline.data.ingest import ingest
from pipeline.data.schema import Schema
from pipeline.data.sides import NO_SIDE, TEST, TRAIN, VALIDATION
from pipeline.data.sources import ArrowTable
from pipeline.data.split import Given, Group, Key, Random, Stratified, StratifiedGroup, Time

test_identities.__test__ = False  # type: ignore[attr-defined]
SPLITTERS = {
    "Random": (Random(), {}),
    "Stratified": (Stratified(), {}),
    "folds": (Stratified(folds=4, fold=1), {}),
    "Group": (Group(column="group"), {"others": {"group": "categorical"}}),
    "StratifiedGroup": (StratifiedGroup(column="group"), {"others": {"group": "categorical"}}),
    "Time": (Time(column="when"), {}),
    "Key": (Key(column="key"), {"others": {"key": "categorical"}}),
    "Given": (Given(column="side"), {"split": "side"}),
}


def table(number: int = 400, seed: int = 0, repeated: int = 40) -> pa.Table:
    """A table of continuous numbers, of which the last rows repeat the features of the first ones."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(number, 6))
    x[number - repeated :] = x[:repeated]
    group = np.arange(number) // 3
    group[number - repeated :] = group[:repeated]
    when = np.datetime64("2024-01-01", "us") + np.arange(number) * np.timedelta64(1, "h")
    return pa.table(
        {
            "a": x[:, 0],
            "b": x[:, 1],
            **{name: x[:, place] for place, name in enumerate("cdef", start=2)},
            "group": [str(value) for value in group],
            "key": [f"k{row}" for row in range(number)],
            "when": pa.array(when),
            "side": random.choice(["train", "validation", "test"], number, p=[0.6, 0.2, 0.2]),
            "y": random.choice(["u", "v"], number),
        }
    )


FEATURES = tuple("abcdef")


def stored(folder: Path, data: pa.Table, columns: tuple[str, ...] = FEATURES, **wanted: Any) -> Schema:
    """What ingest makes of some columns, and of those that the split needs."""
    needed = [*wanted.get("others", {}), *([wanted["split"]] if "split" in wanted else [])]
    folder.mkdir(exist_ok=True)
    kept = data.select([name for name in data.column_names if name in (*columns, *needed, "y")])
    return ingest(ArrowTable(kept), folder, Wanted("y", **wanted)).schema


def divided(folder: Path, schema: Schema, splitter: Any, held_out: Any = (), **arguments: Any) -> Divided:
    held = np.sort(np.asarray(held_out, np.uint64))
    return divide(folder / "rows.arrow", schema, splitter, held_out=held, **arguments)


@pytest.mark.parametrize("name", SPLITTERS)
@pytest.mark.parametrize("seed", [0, 1])
def test_twins_are_on_one_side_of_every_split(tmp_path: Path, name: str, seed: int) -> None:
    splitter, wanted = SPLITTERS[name]
    data = table(seed=seed)
    columns = (*FEATURES, "when") if name == "Time" else FEATURES
    if name == "Time":  # a time would tell twins apart
        when = data["when"].to_numpy().copy()
        when[-40:] = when[:40]
        data = data.set_column(data.column_names.index("when"), "when", pa.array(when))
    found = divided(tmp_path, stored(tmp_path, data, columns, **wanted), splitter, seed=seed)
    first, last = found.sides[:40], found.sides[-40:]
    free = (first != NO_SIDE) & (last != NO_SIDE)
    assert (first[free] == last[free]).all()
    assert (found.clusters[-40:] == np.arange(40)).all()
    assert (found.clusters[:-40] == np.arange(360)).all()
    assert (found.report["clusters"], found.report["clusters_on_two_sides"], found.report["kept_together"]) == (
        40,
        0,
        True,
    )
    assert {TRAIN, VALIDATION, TEST} <= set(found.sides.tolist())
    if name in ("Random", "Stratified"):
        naive = found.report["naive_split"]
        assert 0 < naive["with_a_twin_in_train"] <= naive["test_rows"]
        assert free.all()


def test_twins_may_be_parted_if_a_person_says_so(tmp_path: Path) -> None:
    schema = stored(tmp_path, table())
    found = divided(tmp_path, schema, Random(), keep_together=False)
    assert found.report["clusters_on_two_sides"] > 0
    assert found.report["why_not"] == "twins.keep_together = false"
    assert (found.sides == Random()(np.asarray(["u"] * 400, object), seed=0)).all()


def test_without_twins_a_split_is_that_of_the_splitter(tmp_path: Path) -> None:
    data = table(repeated=0)
    found = divided(tmp_path, stored(tmp_path, data), Stratified(), seed=3)
    assert (found.sides == Stratified()(np.asarray(data["y"].to_pylist(), object), seed=3)).all()
    assert (found.notes, found.warnings, found.conflict) == ([], [], None)


def test_equal_features_with_another_label_are_a_conflict(tmp_path: Path) -> None:
    data = table()
    labels = data["y"].to_pylist()
    labels[0], labels[360] = "u", "v"
    data = data.set_column(data.column_names.index("y"), "y", pa.array(labels))
    found = divided(tmp_path, stored(tmp_path, data), Stratified())
    count = sum(labels[row] != labels[360 + row] for row in range(40))
    assert found.report["conflicting_labels"] == count
    assert found.report["repeated_rows"] == 40 - count
    line = f"conflict: {count} rows have the features of another row and a different label, e.g. rows "
    places = re.fullmatch(rf"{line}(\d+) and (\d+) \(.*\)", str(found.conflict))
    assert places is not None
    assert int(places[2]) == int(places[1]) + 360


def test_chance_explains_the_twins_of_a_table_of_few_values(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    few = {name: random.choice(["p", "q", "r"], 600) for name in "abc"}
    found = divided(tmp_path, stored(tmp_path, pa.table({**few, "y": random.choice(["u", "v"], 600)})), Stratified())
    assert not found.report["kept_together"]
    assert "chance explains most" in found.report["why_not"]
    assert set(np.unique(found.sides)) == {TRAIN, VALIDATION, TEST}
    assert abs((found.sides == TEST).mean() - 0.15) < 0.02


def test_planted_twins_are_bound_though_some_would_come_by_chance(tmp_path: Path) -> None:
    data = table()
    coin = np.random.default_rng(1).choice(["p", "q"], 400)
    coin[-40:] = coin[:40]
    data = data.append_column("coin", pa.array(coin))
    found = divided(tmp_path, stored(tmp_path, data, (*FEATURES, "coin")), Stratified())
    assert found.report["kept_together"]
    assert found.report["naive_split"]["by_chance"] < 1


@pytest.mark.parametrize("near", [True, False])
def test_rows_with_a_jitter_are_near_twins(tmp_path: Path, near: bool) -> None:
    random = np.random.default_rng(0)
    data = table()
    for name in FEATURES:
        values = data[name].to_numpy().copy()
        values[-40:] += random.uniform(-0.0005, 0.0005, 40)
        data = data.set_column(data.column_names.index(name), name, pa.array(values))
    found = divided(tmp_path, stored(tmp_path, data), Stratified(), near=near)
    if not near:
        assert found.report["near_pairs"] == {}
        assert found.report["clusters"] == 0
        return
    joined = (found.clusters[-40:] == np.arange(40)).mean()
    assert joined >= 0.95
    assert found.report["clusters"] == round(40 * joined)
    assert found.report["near_pairs"]["table"] == found.report["clusters"]
    assert "nearly equal pairs (table)" in found.notes[0]


def test_a_row_that_differs_by_more_than_a_jitter_is_no_twin(tmp_path: Path) -> None:
    data = table()
    values = data["b"].to_numpy().copy()
    values[-40:] += 0.1
    data = data.set_column(data.column_names.index("b"), "b", pa.array(values))
    assert divided(tmp_path, stored(tmp_path, data), Stratified()).report["clusters"] == 0


@pytest.mark.parametrize("names", itertools.product(SPLITTERS, ["Random", "Group", "Time", "Key", "StratifiedGroup"]))
def test_what_was_in_test_stays_there_whatever_splits_next(tmp_path: Path, names: tuple[str, str]) -> None:
    """Also where a column that was a feature decides the split now, and so is taken for another kind."""
    held: set[int] = set()
    for name, data, seed in zip(names, (table(), table(number=500, repeated=0)), (0, 5), strict=True):
        splitter, wanted = SPLITTERS[name]
        if name == names[1]:  # the same rows, and more
            grown = pa.concat_tables([table(), table(100, seed=9, repeated=0)])
            data = grown.set_column(grown.column_names.index("key"), "key", pa.array([f"k{row}" for row in range(500)]))
        columns = (*FEATURES, "group", "key", "when")
        folder = tmp_path / f"{seed}"
        found = divided(folder, stored(folder, data, columns, **wanted), splitter, sorted(held), seed=seed)
        identities = found.identities[:400].tolist()
        if held:
            before = np.isin(found.identities, np.asarray(sorted(held), np.uint64))
            assert before.sum() == len(held)
            assert set(found.sides[before].tolist()) == {TEST}
            assert any("stay there" in note for note in found.notes)
        held = {key for key, side in zip(identities, found.sides[:400], strict=True) if side == TEST}
        assert held


def test_a_pinned_row_takes_its_twins_along(tmp_path: Path) -> None:
    schema = stored(tmp_path, table())
    plain = divided(tmp_path, schema, Random())
    row = int(np.flatnonzero(plain.sides[-40:] == TRAIN)[0])
    found = divided(tmp_path, schema, Random(), plain.identities[[360 + row]])
    assert (found.sides[[row, 360 + row]] == TEST).all()


def test_the_manifest_tells_identity_cluster_and_side_of_every_row(tmp_path: Path) -> None:
    found = divided(tmp_path, stored(tmp_path, table()), Stratified())
    found.write_manifest(tmp_path / "manifest.arrow")
    with pa.ipc.open_file(tmp_path / "manifest.arrow") as reader:
        manifest = reader.read_all()
    assert manifest.column_names == ["row", "identity", "cluster", "side"]
    assert manifest["row"].to_pylist() == list(range(400))
    assert (manifest["side"].to_numpy() == found.sides).all()
    assert (manifest["cluster"].to_numpy() == found.clusters).all()
    assert (manifest["identity"].to_numpy() == found.identities).all()
    in_test = found.identities[found.sides == TEST]
    assert (test_identities(tmp_path / "manifest.arrow") == in_test).all()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=30, max_size=60), st.data())
def test_equal_rows_have_identities_of_their_own_which_do_not_depend_on_their_place(
    tmp_path_factory: pytest.TempPathFactory, values: list[int], data: st.DataObject
) -> None:
    def identities(order: list[int]) -> np.ndarray:
        folder = tmp_path_factory.mktemp("rows")
        chosen = [values[place] for place in order]
        rows = pa.table(
            {"x": [f"v{value}" for value in chosen], "z": ["k"] * len(chosen), "y": (["u", "v"] * 40)[: len(chosen)]}
        )
        return divided(folder, stored(folder, rows, ("x", "z")), Random(), near=False).identities

    def stored_rows(order: list[int]) -> list[int]:
        return sorted(identities(order).tolist())

    order = data.draw(st.permutations(range(len(values))))
    found = stored_rows(list(range(len(values))))
    assert len(set(found)) == len(values)
    assert stored_rows(order) == found


def test_rows_without_a_label_are_on_no_side(tmp_path: Path) -> None:
    data = table()
    labels: list[str | None] = data["y"].to_pylist()
    labels[5] = None
    data = data.set_column(data.column_names.index("y"), "y", pa.array(labels))
    found = divided(tmp_path, stored(tmp_path, data), Stratified())
    assert np.flatnonzero(found.sides == NO_SIDE).tolist() == [5]
