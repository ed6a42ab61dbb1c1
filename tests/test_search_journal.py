"""The journal of a search: a kill changes nothing, and what is not of this search is refused."""

from __future__ import annotations

import contextlib
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import TuningError
from pipeline.training.search import ALGORITHMS, Header, Journal, Search
from tests.bowls import SMALL, SPACE, chosen_by, drive, make, outcome_of
from tests.test_search_space import SLOW

# the journal

CASES = [(algorithm, SPACE, 12) for algorithm in ALGORITHMS] + [("bayesian", SMALL, 9), ("hyperband", SMALL, 30)]


def header(algorithm: str = "random", space: Any = SPACE, **other: Any) -> Header:
    return Header(**{"fingerprint": "f", "algorithm": algorithm, "space": space, "seed": 0, "epochs": 9, **other})


def resume(path: Path, algorithm: str, space: Any, trials: int) -> tuple[Search, Journal]:
    journal = Journal.open(path, header(algorithm, space))
    return make(algorithm, space, trials=trials, journal=journal), journal


@pytest.mark.parametrize(("algorithm", "space", "trials"), CASES)
def test_a_kill_at_any_byte_gives_the_trials_of_no_kill(
    tmp_path: Path, algorithm: str, space: dict[str, Any], trials: int
) -> None:
    path = tmp_path / "journal.jsonl"
    search, journal = resume(path, algorithm, space, trials)
    wanted = drive(search, 3)
    journal.close()
    content = path.read_bytes()
    random = np.random.default_rng(0)
    for cut in [
        0,
        1,
        len(content) - 1,
        len(content),
        *random.integers(0, len(content), 4 if algorithm == "bayesian" else 12),
    ]:
        path.write_bytes(content[:cut])
        search, journal = resume(path, algorithm, space, trials)
        running = search.running
        assert not running or search.ask(99) == running  # first what ran, alone
        for asked in running:
            search.tell(asked.number, outcome_of(asked))
        assert drive(search, 3) == wanted
        journal.close()
        assert resume(path, algorithm, space, trials)[0].trials == wanted


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=4, suppress_health_check=SLOW)
def test_a_search_is_resumed_in_any_state(algorithm: str, seed: int) -> None:
    """Asked, told, given back in any order: what the next process knows is what the last one knew."""
    random = Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        search, journal = resume(path, algorithm, SPACE, 12)
        while not search.is_over:
            again, other = resume(path, algorithm, SPACE, 12)
            assert (again.trials, again.running) == (search.trials, search.running)
            if random.random() < 0.3:
                journal.close()
                search, journal = again, other
            else:
                other.close()
            search.ask(random.randint(1, 4))
            for asked in random.sample(search.running, random.randint(0, len(search.running))):
                search.tell(asked.number, outcome_of(asked))
        journal.close()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_more_trials_go_on_from_those_that_are_there(tmp_path: Path, algorithm: str) -> None:
    space = {"model.width": {"min": 8, "max": 13}, "model.depth": {"min": 1, "max": 3}}  # 18
    path = tmp_path / "journal.jsonl"
    search, journal = resume(path, algorithm, space, 5)
    before = drive(search, 2)
    journal.close()
    for more in (9, 40, 60):
        search, journal = resume(path, algorithm, space, more)
        assert search.trials == before
        trials = drive(search, 2)
        journal.close()
        assert trials[: len(before)] == before
        before = trials
    assert len(before) == 18 + (algorithm != "grid") if algorithm != "hyperband" else len(before) > 18
    fresh = chosen_by([trial for trial in before if trial.asked.parent is None])
    assert len(set(fresh)) == len(fresh)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"algorithm": "bayesian"}, "algorithm was 'random' and is 'bayesian'"),
        ({"seed": 1}, "seed was 0 and is 1"),
        ({"epochs": 8}, "epochs was 9 and is 8"),
        ({"fingerprint": "g"}, "fingerprint was 'f' and is 'g'"),
        ({"space": {**SPACE, "model.depth": [1, 2]}}, r"space.model.depth was \[1, 2, 3\] and is \[1, 2\]"),
        ({"space": {**SPACE, "model.l2": [0.1]}}, r"space.model.l2 was None and is \[0.1\]"),
    ],
)
def test_the_journal_of_another_config_is_refused(tmp_path: Path, other: dict[str, Any], message: str) -> None:
    path = tmp_path / "journal.jsonl"
    Journal.open(path, header()).close()
    with pytest.raises(TuningError, match=message):
        Journal.open(path, header(**other))


def test_a_newer_journal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"version": 7, "all": "else"}\n')
    with pytest.raises(TuningError, match="version 7; this program knows up to 2"):
        Journal.open(path, header())
    assert path.read_text() == '{"version": 7, "all": "else"}\n'


@pytest.mark.parametrize("line", [1, 2, 4])
@pytest.mark.parametrize("damage", [b"7", b'{"told": 0}', b"", b"\xff\x00", b"[1]"])
def test_a_damaged_line_is_named(tmp_path: Path, line: int, damage: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    search, journal = resume(path, "random", SPACE, 12)
    drive(search, 4)
    journal.close()
    lines = path.read_bytes().split(b"\n")
    lines[line - 1] = damage
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(TuningError, match=f"line {line} is damaged"):
        Journal.open(path, header())


def test_a_digit_that_flips_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    search, journal = resume(path, "random", SPACE, 12)
    drive(search, 4)
    journal.close()
    content = path.read_bytes()
    assert b'"seconds": 0.5' in content
    path.write_bytes(content.replace(b'"seconds": 0.5', b'"seconds": 0.6', 1))
    with pytest.raises(TuningError, match="does not match its checksum"):
        Journal.open(path, header())


@pytest.mark.parametrize(
    "record",
    [
        {"told": 5, "outcome": {"score": 1.0, "history": []}},
        {"told": 0, "outcome": {"score": 1.0}},
        {"told": 0, "outcome": {"score": 1.0, "history": [], "colour": 1}},
        {"told": [], "outcome": None},
        {"asked": [], "limit": 1, "trials": 12},
        {"asked": [{"number": 1, "overrides": {"model.depth": 1}, "epochs": 9}], "limit": 1, "trials": 12},
        {"asked": [{"number": 1, "overrides": {"model.wide": 1}, "epochs": 9}], "limit": 1, "trials": 12},
        {"asked": [{"number": 1}], "limit": 1, "trials": 12},
        {"asked": 5, "limit": 1, "trials": 12},
        {"something": "else"},
    ],
)
def test_a_record_that_cannot_be_true_is_damage(tmp_path: Path, record: dict[str, Any]) -> None:
    path = tmp_path / "journal.jsonl"
    search, journal = resume(path, "random", SPACE, 12)
    search.ask(1)
    journal.append(record)
    journal.close()
    with pytest.raises(TuningError, match="line 3 is damaged"):
        resume(path, "random", SPACE, 12)


@contextlib.contextmanager
def full_disk(path: Path) -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_leaves_the_journal_and_the_search_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    search, journal = resume(path, "random", SPACE, 12)
    with full_disk(path):
        search.ask(2)
    asked = search.ask(2)
    assert [one.number for one in asked] == [0, 1]
    with full_disk(path):
        search.tell(0, outcome_of(asked[0]))
    assert search.running == asked
    for one in asked:
        search.tell(one.number, outcome_of(one))
    assert drive(search, 2) == drive(make("random"))
    journal.close()
    assert resume(path, "random", SPACE, 12)[0].trials == search.trials
