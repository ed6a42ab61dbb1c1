"""The chief: each trial ends once, whichever workers are silent, cut off or dead, and nothing that disagrees begins."""

from __future__ import annotations

import random
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError, TuningError
from pipeline.training.search import Asked, Header, Journal, Outcome, Search
from pipeline.tuning.address import Address
from pipeline.tuning.agreement import check_agreement
from pipeline.tuning.chief import Chief
from pipeline.tuning.local_workers import Crew
from pipeline.tuning.messages import answer_of, asked_of
from pipeline.tuning.service import Client, serving
from tests.chiefs import LOCALHOST, chief_of, free_port
from tests.helpers import wait_until

SPACE = {"model.depth": {"min": 1, "max": 100}}


def search_of_depths(trials: int, journal: Journal | None = None) -> Search:
    start = {"model.depth": 1}
    return Search(SPACE, start=start, algorithm="random", trials=trials, epochs=3, seed=0, journal=journal)


def outcome_of(asked: Asked) -> Outcome:
    depth = asked.overrides["model.depth"]
    return Outcome(1.0 / depth, history=(2.0 / depth, 1.0 / depth), seconds=0.1)


def clients(address: Address, count: int, patience: float = 5.0) -> list[Client]:
    return [Client(address, str(place), patience) for place in range(count)]


def answer(client: Client, lease: Any) -> None:
    for asked in asked_of(lease):
        client.end_trial(answer_of(lease.trial_id, asked.number, outcome_of(asked)))


def test_trials_are_divided_among_the_workers_and_their_answers_arrive_as_they_are() -> None:
    chief = chief_of(search_of_depths(10), expected=2)
    with serving(chief, LOCALHOST) as address:
        a, b = clients(address, 2)
        leases = [a.create_trial("0"), b.create_trial("1")]
        assert [len(asked_of(lease)) for lease in leases] == [5, 5]
        assert a.update_trial(leases[0].trial_id, {"epochs": 6.0}).status == "RUNNING"
        assert chief.progress == pytest.approx(2.0)
        answer(a, leases[0])
        assert a.create_trial("0").status == "IDLE"
        answer(b, leases[1])
        assert a.create_trial("0").status == b.create_trial("1").status == "STOPPED"

    assert chief.is_done
    assert chief.workers == []
    assert [trial.outcome for trial in chief.search.trials] == [outcome_of(t.asked) for t in chief.search.trials]
    assert all(trial.outcome.seconds == 0.1 for trial in chief.search.trials)


def test_a_silent_worker_loses_its_trials_and_only_the_first_answer_counts() -> None:
    chief = chief_of(search_of_depths(4), lease_seconds=0.2)
    with serving(chief, LOCALHOST) as address:
        silent_one, other = clients(address, 2)
        lost = silent_one.create_trial("0")
        chief.expire()
        assert other.create_trial("1").status == "IDLE"
        time.sleep(0.3)
        chief.expire()
        taken = other.create_trial("1")
        assert asked_of(taken) == asked_of(lost)
        first, second = asked_of(lost)[:2]
        silent_one.end_trial(answer_of(lost.trial_id, first.number, Outcome(0.25)))
        other.end_trial(answer_of(taken.trial_id, first.number, Outcome(0.5)))
        other.end_trial(answer_of(taken.trial_id, second.number, Outcome(0.5)))
        silent_one.end_trial(answer_of(lost.trial_id, second.number, Outcome(0.25)))

    assert [trial.score for trial in chief.search.trials] == [0.25, 0.5]
    assert any("was silent" in warning for warning in chief.warnings)


def test_a_worker_that_says_it_works_keeps_its_trials() -> None:
    chief = chief_of(search_of_depths(4), lease_seconds=0.5)
    with serving(chief, LOCALHOST) as address:
        worker, other = clients(address, 2)
        lease = worker.create_trial("0")
        for _ in range(8):
            time.sleep(0.1)
            worker.update_trial(lease.trial_id, {"epochs": 1.0})
            chief.expire()
        assert other.create_trial("1").status == "IDLE"


def live_and_die(chief: Chief, chance: random.Random) -> None:
    """Three workers that answer some of their trials, vanish, or answer long after they were given up."""
    leases: dict[str, Any] = {}
    given_up: list[Any] = []
    while not chief.is_done:
        worker, fate = chance.choice("abc"), chance.random()
        if fate < 0.02:  # the chief itself
            return
        if fate < 0.15:
            chief.died(worker, "was killed") if fate < 0.05 else chief._lose(worker, "was silent")
            given_up += [leases.pop(worker)] if worker in leases else []
        elif fate < 0.25 and given_up:
            late = chance.choice(given_up)
            asked = chance.choice(asked_of(late))
            chief.end_trial(answer_of(late.trial_id, asked.number, outcome_of(asked)))
        elif worker in leases:
            lease = leases.pop(worker)
            for asked in asked_of(lease)[: chance.randint(0, 4)]:
                chief.end_trial(answer_of(lease.trial_id, asked.number, outcome_of(asked)))
        elif (found := chief.create_trial(worker)).status == "RUNNING":
            leases[worker] = found


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_whoever_dies_when_every_trial_ends_once(seed: int) -> None:
    header, chance = Header("1a2b", "random", SPACE, seed=0, epochs=3), random.Random(seed)
    expected = search_of_depths(8).ask(8)
    with tempfile.TemporaryDirectory() as place:
        is_done = False
        while not is_done:  # a chief that dies is started again
            with Journal.open(Path(place) / "journal.jsonl", header) as journal:
                chief = chief_of(search_of_depths(8, journal), expected=2, at_once=lambda workers: 4)
                live_and_die(chief, chance)
                is_done = chief.is_done

    assert chief.failure is None
    assert [trial.asked for trial in chief.search.trials] == expected
    for trial in chief.search.trials:
        assert trial.outcome == outcome_of(trial.asked) or "died 5 times" in str(trial.outcome.error)


def test_a_trial_that_takes_its_process_along_fails_and_the_others_go_on() -> None:
    chief = chief_of(search_of_depths(4))
    bad = 2
    for _ in range(50):
        if chief.is_done:
            break
        lease = chief.create_trial("0")
        if lease.status != "RUNNING":
            continue
        for asked in asked_of(lease):
            if asked.number == bad:
                chief.died("0", "was killed")
                break
            chief.end_trial(answer_of(lease.trial_id, asked.number, outcome_of(asked)))

    scores = [trial.score for trial in chief.search.trials]
    assert [score is None for score in scores] == [False, False, True, False]
    assert "died 5 times" in str(chief.search.trials[bad].outcome.error)


def test_workers_find_a_chief_that_was_started_again() -> None:
    port = free_port()
    address = Address("127.0.0.1", port)
    search = search_of_depths(2)
    with serving(chief_of(search), address):
        [client] = clients(address, 1, patience=20)
        lease = client.create_trial("0")
    thread = threading.Thread(target=answer, args=(client, lease))
    thread.start()
    time.sleep(0.5)
    assert not search.trials
    with serving(chief_of(search), address):
        thread.join(timeout=20)
        assert client.create_trial("0").status == "STOPPED"

    assert len(search.trials) == 2


def test_a_chief_that_is_not_there_is_named() -> None:
    address = Address("127.0.0.1", free_port())
    started = time.monotonic()
    with pytest.raises(TuningError, match=f"No chief answers at {address}; it was tried for 0.5 s"):
        Client(address, "0", patience=0.5).get_space()
    assert time.monotonic() - started < 5


def test_a_port_that_is_taken_is_named() -> None:
    with serving(chief_of(search_of_depths(2)), LOCALHOST) as address:
        for host in ("127.0.0.1", "0.0.0.0"):
            taken = Address(host, address.port)
            with pytest.raises(TuningError, match=f"cannot listen at {taken}: Address already in use"):
                enter(serving(chief_of(search_of_depths(2)), taken))
    with pytest.raises(TuningError, match=r"cannot listen at 192\.0\.2\.1:8000"):
        enter(serving(chief_of(search_of_depths(2)), Address("192.0.2.1", 8000)))


def enter(manager: Any) -> None:
    with manager:
        pass


class Full:
    """A disk without room; what else a journal has is not asked for."""

    records: tuple[()] = ()

    def append(self, record: dict[str, Any]) -> None:
        raise OSError(28, "No space left on device")


def test_what_stops_the_chief_is_told_to_its_workers() -> None:
    journal: Any = Full()
    chief = chief_of(search_of_depths(2, journal))
    with serving(chief, LOCALHOST) as address, pytest.raises(TuningError, match="No space left on device"):
        clients(address, 1)[0].create_trial("0")

    assert isinstance(chief.failure, OSError)
    assert chief.is_done


def test_when_time_is_over_workers_stop_and_what_they_have_is_taken() -> None:
    has_time = True
    chief = chief_of(search_of_depths(4), has_time=lambda: has_time)
    with serving(chief, LOCALHOST) as address:
        [client] = clients(address, 1)
        lease = client.create_trial("0")
        has_time = False
        assert not chief.is_done
        assert client.update_trial(lease.trial_id, {"epochs": 1.0}).status == "STOPPED"
        client.end_trial(answer_of(lease.trial_id, 0, Outcome(0.5, history=(0.5,))))
        assert client.create_trial("0").status == "STOPPED"

    assert chief.is_done
    assert [trial.score for trial in chief.search.trials] == [0.5]


def test_workers_that_keep_dying_end_the_search_with_what_they_said(tmp_path: Path) -> None:
    crew = Crew(chief_of(search_of_depths(2)), tmp_path / "no-such-job.json", count=1)
    crew.start()
    try:
        with pytest.raises(TuningError, match=r"(?s)The workers keep dying: 6 .*no-such-job\.json"):
            wait_until(crew.look_after, seconds=60)
    finally:
        crew.stop()


@pytest.mark.parametrize("text", ["", "host", ":1", "host:", "host:0", "host:65536", "a b:1", "host:x", "h:1:2"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is no address"):
        Address.parse(text, "--worker")


@pytest.mark.parametrize("text", ["localhost:1", "0.0.0.0:8000", "my-host.example:65535", "[::1]:8000"])
def test_an_address_reads_as_it_was_written(text: str) -> None:
    assert str(Address.parse(text, "--chief")) == text


JSON = st.recursive(st.none() | st.integers(0, 3), lambda inner: st.dictionaries(st.sampled_from("ab"), inner))


@given(st.dictionaries(st.sampled_from("ab"), JSON), st.dictionaries(st.sampled_from("ab"), JSON))
def test_only_what_agrees_is_accepted(here: dict[str, Any], chief: dict[str, Any]) -> None:
    def set_in(tree: Any) -> Any:
        return (
            {key: set_in(value) for key, value in tree.items() if value is not None} if isinstance(tree, dict) else tree
        )

    try:
        check_agreement(here, chief, "h:1")
    except ConfigError:
        assert here != chief
    else:
        assert set_in(here) == set_in(chief)
