"""A row that was once in test is never train in a later split: whatever changes, whenever it is killed."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pipeline.config import Config, parse
from pipeline.data.rows import stored_column
from pipeline.data.sides import NO_SIDE, SIDES, TEST
from pipeline.errors import DataError, RunError
from pipeline.held_out import HeldOut
from pipeline.progress import silent
from pipeline.runner import Result, run, status
from tests.helpers import write_csv

ROOT = Path(__file__).parents[1]
SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}
SPLITS: list[dict[str, Any]] = [
    {"name": "Stratified"},
    {"name": "Stratified", **SHARES},
    {"name": "Random", "train": 0.5, "validation": 0.25, "test": 0.25},
    {"name": "Stratified", "folds": 3, "fold": 1},
    {"name": "Group", "column": "patient"},
    {"name": "StratifiedGroup", "column": "patient"},
    {"name": "Time", "column": "day"},
    {"name": "Key", "column": "patient"},
    {"name": "Group", "column": "day"},
]


def rows(start: int, number: int) -> list[dict[str, str]]:
    """Each with an x of its own; the patient looks like a number, which other splits take for a feature."""
    return [
        {
            "x": f"{row}.5",
            "patient": str(row // 2),
            "day": f"2024-{row % 12 + 1:02}-{row % 28 + 1:02}",
            "y": "ab"[(row * 7 // 3) % 2],
        }
        for row in range(start, start + number)
    ]


def config(folder: Path, split: dict[str, Any], seed: int = 0, **keys: Any) -> Config:
    tree = {"name": "r", "source": str(folder / "rows.csv"), "label": "y", "runs": str(folder / "runs")}
    return parse({**tree, "split": split, "seed": seed, **keys}, origin="test")


def sides_of(result: Result) -> dict[float, int]:
    """The side of every row, by its x."""
    ingested, split = (done.directory for done in result.stages[:2])
    return dict(zip(stored_column(ingested / "rows.arrow", "x").to_pylist(), np.load(split / "sides.npy"), strict=True))


def run_split(wanted: Config) -> Result:
    return run(wanted, silent(), until="split")


class Run(RuleBasedStateMachine):
    """One run of a growing file under changing configs."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.table = rows(0, 60)
        self.split, self.seed = SPLITS[0], 0
        self.ever_in_test: set[float] = set()
        self.last: Path | None = None
        write_csv(self.folder / "rows.csv", self.table)

    @rule(split=st.sampled_from(SPLITS), seed=st.integers(0, 3))
    def configure(self, split: dict[str, Any], seed: int) -> None:
        self.split, self.seed = split, seed

    @rule(number=st.integers(1, 40))
    def grow(self, number: int) -> None:
        self.table += rows(len(self.table), number)
        write_csv(self.folder / "rows.csv", self.table)

    @rule(seed=st.integers(0, 3))
    def shuffle(self, seed: int) -> None:
        random.Random(seed).shuffle(self.table)
        write_csv(self.folder / "rows.csv", self.table)

    @rule()
    def die_before_the_split_is_published(self) -> None:
        """The ledger is written first; what is left is a run without that artifact."""
        if self.last is not None:
            shutil.rmtree(self.last, ignore_errors=True)

    @rule(again=st.booleans())
    def run(self, again: bool) -> None:
        try:
            result = run_split(config(self.folder, self.split, self.seed))
        except DataError as error:
            assert "leaves no rows" in str(error) or "groups for" in str(error)  # noqa: PT017 - too much is held out
            return
        sides = sides_of(result)
        for x in self.ever_in_test & set(sides):
            assert sides[x] in (TEST, NO_SIDE), f"{x} was in test and is now in {SIDES[sides[x]]}"
        self.ever_in_test |= {x for x, side in sides.items() if side == TEST}
        self.last = result.stages[1].directory
        if again:
            self.run_again(result)

    def run_again(self, first: Result) -> None:
        before = (self.folder / "runs" / "r" / "held_out.json").read_bytes()
        second = run_split(config(self.folder, self.split, self.seed))
        assert [done.directory for done in second.stages] == [done.directory for done in first.stages]
        assert all(done.skipped for done in second.stages)
        assert (self.folder / "runs" / "r" / "held_out.json").read_bytes() == before

    @invariant()
    def the_ledger_can_be_read(self) -> None:
        ledger = HeldOut.of(self.folder / "runs" / "r")
        keys = ledger.keys(ledger.state)
        assert len(keys) >= len(self.ever_in_test)
        assert (np.diff(keys.astype(np.float64)) >= 0).all()

    def teardown(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


Run.TestCase.settings = settings(
    max_examples=60, stateful_step_count=10, deadline=None, suppress_health_check=list(HealthCheck)
)
TestRun = Run.TestCase


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_csv(tmp_path / "rows.csv", rows(0, 60))
    return tmp_path


KILLED = """
import os, signal, sys
from pathlib import Path
from pipeline import held_out
from tests.test_held_out import config, run_split
add, moment = held_out.HeldOut.add, sys.argv[2]
def dying(self, *arguments):
    if moment == "after":
        add(self, *arguments)
    os.kill(os.getpid(), signal.SIGKILL)
held_out.HeldOut.add = dying
run_split(config(Path(sys.argv[1]), {"name": "Stratified"}, seed=1))
"""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_process_killed_at_the_ledger_has_published_no_split(folder: Path, moment: str) -> None:
    first = sides_of(run_split(config(folder, {"name": "Stratified"})))
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder), moment], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list((folder / "runs" / "r" / "split").glob("*/manifest.json"))) == 1
    expected = {x for x, side in first.items() if side == TEST}
    for split, seed in (({"name": "Random"}, 2), ({"name": "Stratified"}, 1)):
        found = {x for x, side in sides_of(run_split(config(folder, split, seed))).items() if side == TEST}
        assert expected <= found
        expected = found


def test_the_same_split_again_after_a_kill_is_the_same(folder: Path) -> None:
    wanted = config(folder, {"name": "Stratified"}, seed=1)
    subprocess.run([sys.executable, "-c", KILLED, str(folder), "after"], cwd=ROOT, check=False)
    found = sides_of(run_split(wanted))
    write_csv(folder / "alone" / "rows.csv", rows(0, 60))
    assert sides_of(run_split(config(folder / "alone", {"name": "Stratified"}, seed=1))) == found


def test_a_split_that_others_outgrew_is_made_again_and_no_other(folder: Path) -> None:
    first, second = config(folder, {"name": "Stratified"}), config(folder, SPLITS[2], seed=1)
    one = run_split(first)
    two = run_split(second)
    assert run_split(second).stages[1].skipped
    assert [state.state for state in status(first)][:2] == ["done", "stale"]
    again = run_split(first)
    assert not again.stages[1].skipped
    assert again.stages[0].skipped
    assert again.stages[1].directory != one.stages[1].directory
    tests = [{x for x, side in sides_of(result).items() if side == TEST} for result in (one, two, again)]
    assert tests[0] <= tests[2]
    assert tests[1] <= tests[2]
    for wanted in (first, second):
        assert run_split(wanted).stages[1].skipped


def test_another_name_is_another_ledger(folder: Path) -> None:
    one = run_split(config(folder, {"name": "Stratified"}))
    two = run_split(config(folder, {"name": "Stratified"}, seed=1))
    other = run_split(config(folder, {"name": "Stratified"}, seed=1).override({"name": "other"}))
    tests = [{x for x, side in sides_of(result).items() if side == TEST} for result in (one, two, other)]
    assert tests[0] <= tests[1]
    assert not tests[0] <= tests[2]


@pytest.mark.parametrize("features", [{"drop": ["day"]}, {"categorical": ["patient"]}, {"text": ["day"]}])
def test_a_row_is_known_again_though_its_columns_are_taken_otherwise(folder: Path, features: dict[str, Any]) -> None:
    split = {"name": "Stratified"}
    before = sides_of(run_split(config(folder, split)))
    after = sides_of(run_split(config(folder, split, 1, features=features)))
    assert {x for x, side in before.items() if side == TEST} <= {x for x, side in after.items() if side == TEST}


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"state": "x"}'])
def test_a_damaged_ledger_stops_the_run(folder: Path, damage: str) -> None:
    run_split(config(folder, {"name": "Stratified"}))
    (folder / "runs" / "r" / "held_out.json").write_text(damage)
    with pytest.raises(RunError, match="held_out.json cannot be read") as caught:
        run_split(config(folder, {"name": "Stratified"}, seed=1))
    assert "no longer be held out" in str(caught.value)


def test_a_ledger_whose_rows_are_gone_stops_the_run(folder: Path) -> None:
    run_split(config(folder, {"name": "Stratified"}))
    state = json.loads((folder / "runs" / "r" / "held_out.json").read_text())["state"]
    (folder / "runs" / "r" / f"held_out-{state}.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(RunError, match=f"held_out-{state}.npy cannot be read"):
        run_split(config(folder, {"name": "Stratified"}, seed=1))
