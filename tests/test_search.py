"""The search: what is tried, that it is tried once, and that a kill changes nothing."""

from __future__ import annotations

import contextlib
import io
import json
import math
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.training.search import ALGORITHMS, Asked, Outcome
from pipeline.training.search.conditions import read_space
from pipeline.training.search.configurations import configurations
from tests.bowls import SMALL, SPACE, START, bowl, chosen_by, drive, make, outcome_of
from tests.test_search_space import SLOW, admits, spaces


@pytest.mark.parametrize("algorithm", ["random", "bayesian", "hyperband"])
@pytest.mark.parametrize("start", [START, {**START, "train.learning_rate": 7.0}], ids=["in the space", "outside"])
def test_the_first_trial_is_the_config_itself(algorithm: str, start: dict[str, Any]) -> None:
    trials = drive(make(algorithm, start=start))
    assert trials[0].asked.overrides == start
    assert trials[0].asked.first_epoch == 0
    assert len(trials) == 12


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("seed", [0, 7])
def test_the_same_seed_gives_the_same_trials(algorithm: str, seed: int) -> None:
    first, same, other = (drive(make(algorithm, seed=number), 3) for number in (seed, seed, seed + 1))
    assert first == same
    assert (first != other) == (algorithm != "grid")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_nothing_is_printed_and_no_file_is_left(
    algorithm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        drive(make(algorithm))
    assert printed.getvalue() == ""
    assert list(tmp_path.iterdir()) == []


@given(spaces(with_endless=True), st.sampled_from(["random", "grid", "bayesian"]), st.integers(0, 3), st.integers(1, 5))
@settings(deadline=None, max_examples=20, suppress_health_check=SLOW)
def test_no_configuration_is_tried_twice(space: dict[str, Any], algorithm: str, seed: int, limit: int) -> None:
    dimensions = read_space(space)
    trials = drive(make(algorithm, space, start={}, seed=seed, trials=9), limit, lambda asked: Outcome(0.5))
    assert len(set(chosen_by(trials))) == len(trials) <= 9
    # The first is what the config has of the space: nothing, here.
    assert all(admits(dimensions, trial.asked.overrides) for trial in trials[algorithm != "grid" :])
    assert [trial.asked.number for trial in trials] == list(range(len(trials)))


ADAM = {"name": "Adam", "x": 1}  # the name alone is another choice, which stands before it


@example({"train.optimizer": ["Adam", "SGD", ADAM]}, "random", 0, 1)
@given(spaces(), st.sampled_from(["random", "grid", "bayesian"]), st.integers(0, 3), st.integers(1, 5))
@settings(deadline=None, max_examples=20, suppress_health_check=SLOW)
def test_a_small_space_is_tried_whole_and_the_search_is_over(
    space: dict[str, Any], algorithm: str, seed: int, limit: int
) -> None:
    every = list(configurations(read_space(space), 0))[:40]
    if len(every) == 40:
        return
    start = every[seed % len(every)]
    trials = drive(
        make(algorithm, space, start=start, seed=seed, trials=len(every) + 5), limit, lambda asked: Outcome(0.5)
    )
    assert sorted(chosen_by(trials)) == sorted(json.dumps(one, sort_keys=True) for one in every)
    assert algorithm == "grid" or trials[0].asked.overrides == start


@pytest.mark.parametrize("algorithm", ["random", "bayesian"])
def test_the_first_trial_has_the_keys_of_the_choice_that_it_is(algorithm: str) -> None:
    width = {"choices": [1, 2], "when": {"train.optimizer": "Adam"}}
    space, start = (
        {"train.optimizer": ["Adam", ADAM], "model.width": width},
        {"train.optimizer": ADAM, "model.width": 1},
    )
    trials = drive(make(algorithm, space, start=start))
    assert trials[0].asked.overrides == {"train.optimizer": ADAM}
    assert len(set(chosen_by(trials))) == len(trials) == 3


@pytest.mark.parametrize("algorithm", ["random", "bayesian", "grid"])
def test_a_small_space_comes_in_an_order_of_the_seed_alone(algorithm: str) -> None:
    start = {"model.width": 8, "model.depth": 3}
    good, bad = (
        chosen_by(drive(make(algorithm, SMALL, start=start, trials=6), limit, outcome))
        for limit, outcome in ((1, outcome_of), (4, lambda asked: Outcome(None, "failed")))
    )
    assert good == bad
    assert good != chosen_by(drive(make(algorithm, SMALL, start=start, trials=6, seed=1)))


@pytest.mark.parametrize("algorithm", ["random", "bayesian"])
def test_a_start_outside_a_small_space_is_tried_beside_all_of_it(algorithm: str) -> None:
    trials = drive(make(algorithm, SMALL, start={"model.width": 999, "model.depth": 3}))
    assert trials[0].asked.overrides == {"model.width": 999, "model.depth": 3}
    assert len(set(chosen_by(trials))) == len(trials) == 7


@pytest.mark.parametrize("algorithm", ["random", "bayesian", "grid"])
@pytest.mark.parametrize("trials", [34, 35])
def test_almost_all_of_a_space_is_tried_when_it_is_asked_for(algorithm: str, trials: int) -> None:
    """KerasTuner's random search ends after 20 collisions; its Bayesian one tried 12 of 36 points."""
    space = {"model.width": {"min": 1, "max": 6}, "model.depth": {"min": 1, "max": 6}}
    found = drive(make(algorithm, space, start={"model.width": 3, "model.depth": 3}, trials=trials), 4)
    assert len(set(chosen_by(found))) == len(found) == trials


@pytest.mark.parametrize("algorithm", ["random", "grid"])
@given(seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=10, suppress_health_check=[*SLOW, HealthCheck.function_scoped_fixture])
def test_results_and_their_order_do_not_change_what_is_tried(algorithm: str, seed: int) -> None:
    search, random = make(algorithm), Random(seed)
    while not search.is_over:
        search.ask(random.randint(0, 5))
        for asked in random.sample(search.running, random.randint(0, len(search.running))):
            search.tell(asked.number, Outcome(random.random()) if random.random() < 0.5 else Outcome(None, "x"))
    assert chosen_by(search.trials) == chosen_by(drive(make(algorithm)))


def test_a_bayesian_search_learns() -> None:
    """Far better than chance, though it is told as many at once as a population has."""
    means: dict[str, float] = {}
    for algorithm in ("random", "bayesian"):
        searches = (make(algorithm, trials=25, seed=seed) for seed in range(2))
        last = [
            trial
            for search in searches
            for trial in drive(search, 5, lambda asked: Outcome(bowl(asked.overrides)))[-10:]
        ]
        means[algorithm] = float(np.mean([bowl(trial.asked.overrides) for trial in last]))
    assert means["bayesian"] < means["random"] - 0.5


def test_a_bayesian_search_bears_failures_and_losses_far_off() -> None:
    def outcome(asked: Asked) -> Outcome:
        if asked.number % 3:
            return Outcome(None, "failed")
        return Outcome(1e12 if asked.number % 2 else bowl(asked.overrides))

    space = {key: form for key, form in SPACE.items() if key != "model.width"}
    trials = drive(make("bayesian", space, trials=20), 2, outcome)
    assert len(set(chosen_by(trials))) == 20
    assert all(trial.score is None for trial in drive(make("bayesian"), 2, lambda asked: Outcome(None, "failed")))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_failures_are_results_and_never_end_a_search(algorithm: str, score: float) -> None:
    trials = drive(make(algorithm), 2, lambda asked: Outcome(score))
    assert [(trial.score, trial.outcome.error) for trial in trials] == [(None, f"the validation loss is {score}")] * 12


# Hyperband


@pytest.mark.parametrize("limit", [1, 4, 50])
def test_winners_of_a_rung_go_on_with_the_same_values(limit: int) -> None:
    trials = drive(make("hyperband", trials=40, epochs=20), limit)
    assert len(trials) == 40
    risen = [trial for trial in trials if trial.asked.parent is not None]
    assert len(risen) >= 8
    for trial in trials:
        assert not any(key.startswith("tuner/") for key in trial.asked.overrides)
        assert 0 <= trial.asked.first_epoch < trial.asked.epochs <= 20
    for trial in risen:
        parent = trials[trial.asked.parent or 0]
        assert parent.asked.number < trial.asked.number
        assert parent.asked.overrides == trial.asked.overrides
        assert parent.asked.epochs == trial.asked.first_epoch
        assert parent.score is not None
    fresh = chosen_by([trial for trial in trials if trial.asked.parent is None])
    assert len(set(fresh)) == len(fresh)
    assert len({trial.asked.parent for trial in risen}) == len(risen)


def test_the_best_of_a_rung_rise() -> None:
    trials = drive(make("hyperband", trials=16, epochs=9), 9)
    first = [trial for trial in trials if (trial.asked.first_epoch, trial.asked.epochs) == (0, 1)]
    risen = {trial.asked.parent for trial in trials if trial.asked.first_epoch == 1}
    best = sorted((trial for trial in first if trial.score is not None), key=lambda trial: trial.score or 0)
    assert len(risen) == 3
    assert risen == {trial.asked.number for trial in best[:3]}


def test_failures_do_not_keep_others_from_rising() -> None:
    def outcome(asked: Asked) -> Outcome:
        return Outcome(None, "failed") if asked.number % 2 else Outcome(bowl(asked.overrides))

    trials = drive(make("hyperband", trials=30), 3, outcome)
    risen = [trial for trial in trials if trial.asked.parent is not None]
    assert len([trial for trial in risen if trial.asked.first_epoch == 1]) >= 3
    assert all(trials[trial.asked.parent or 0].score is not None for trial in risen)


@pytest.mark.parametrize("limit", [1, 3, 50])
def test_hyperband_ends_in_a_small_space_after_its_best_have_risen(limit: int) -> None:
    trials = drive(make("hyperband", SMALL, start={"model.width": 16, "model.depth": 1}, trials=100), limit)
    fresh = [trial for trial in trials if trial.asked.parent is None]
    assert len(set(chosen_by(fresh))) == len(fresh) == 6
    assert 3 <= len(trials) - len(fresh) < 6
    assert max(trial.asked.epochs for trial in trials) == 9


# asking and telling


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_is_given_back_is_asked_again_with_its_number(algorithm: str) -> None:
    search = make(algorithm)
    asked = search.ask(3)
    search.give_back(asked[1].number)
    search.give_back(asked[0].number)
    assert search.running == asked
    assert search.ask(1) == asked[:1]
    assert search.ask(5) == asked[1:2]
    assert all(one not in asked for one in search.ask(1))
    search.give_back(2)
    search.tell(2, Outcome(1.0))  # its worker was only slow
    assert 2 not in [one.number for one in search.ask(20)]
    for number in (2, 99):
        with pytest.raises(ValueError, match=f"trial {number} does not run"):
            search.tell(number, Outcome(1.0))
        with pytest.raises(ValueError, match=f"trial {number} does not run"):
            search.give_back(number)


def test_no_more_than_the_trials_are_asked() -> None:
    search = make("random", trials=5)
    assert search.ask(0) == []
    assert len(search.ask(3)) == 3
    assert [asked.number for asked in search.ask(99)] == [3, 4]
    assert search.ask(1) == []
    assert not search.is_over
    for asked in search.running:
        search.tell(asked.number, Outcome(1.0))
    assert search.is_over
    assert make("random", trials=0).is_over


def test_a_space_that_cannot_be_searched_is_refused() -> None:
    with pytest.raises(ConfigError, match="min is 9 and max is 8"):
        make("random", {"model.width": {"min": 9, "max": 8}})
