"""The effect of each hyperparameter: found where it is known beforehand, and nothing found where there is none."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from pipeline.report.tuning_effects import MIN_TRIALS, Effect, effects
from pipeline.report.tuning_files import fence
from tests.searching import SPACE, draw, make_rungs, make_trials, row


def by_name(trials: list[dict], space: dict[str, Any] = SPACE, noise: float | None = 0.012) -> dict[str, Effect]:
    return {effect.name: effect for effect in effects(trials, space, noise=noise)}


def test_effects_find_the_known_order_directions_and_what_diverges() -> None:
    found = effects(make_trials(200), SPACE, noise=0.012)
    names = [effect.name for effect in found]
    assert names[:3] in (["learning_rate", "width", "optimizer"], ["width", "learning_rate", "optimizer"])
    told = {effect.name: effect for effect in found}
    assert [name for name in names if told[name].beyond_noise] == names[:3]
    assert told["width"].verdict == "more is better"
    assert told["width"].spread == pytest.approx(0.3, rel=0.2)
    # The lowest is at 10 ** -2.3, half way down a valley: no direction.
    assert told["learning_rate"].verdict == f"best near {told['learning_rate'].best}"
    assert 0.002 < float(told["learning_rate"].best or 0) < 0.012
    assert told["optimizer"].best in ("AdamW", "Adam(beta_1=0.8)")
    failing = re.fullmatch(r"(\d+) of \1 fail from ([\d.]+) up", told["learning_rate"].failing)
    assert failing
    assert 0.25 <= float(failing[2]) < 0.3
    assert all(not told[name].failing for name in names if name != "learning_rate")
    assert sum(effect.share or 0 for effect in found) <= 1 + 1e-9


def test_shares_are_those_of_a_function_whose_shares_are_known() -> None:
    # Of a + 2 b + 2 a' b' with independent uniform values, centered: variances 1/12, 4/12, and 4/144 of both together.
    random = np.random.default_rng(3)
    values = random.random((400, 4))
    scores = values[:, 0] + 2 * values[:, 1] + 2 * (values[:, 0] - 0.5) * (values[:, 1] - 0.5)
    trials = [row(n, dict(zip("abcd", map(float, at), strict=True)), float(scores[n])) for n, at in enumerate(values)]
    told = by_name(trials, {key: {"min": 0.0, "max": 1.0} for key in "abcd"}, noise=None)
    whole = 1 / 12 + 4 / 12 + 4 / 144
    assert told["a"].share == pytest.approx(1 / 12 / whole, abs=0.05)
    assert told["b"].share == pytest.approx(4 / 12 / whole, abs=0.05)
    assert max(told["c"].share or 0, told["d"].share or 0) < 0.01


def test_meaningless_keys_are_seldom_told_from_chance() -> None:
    space = {f"k{at}": {"min": 0.0, "max": 1.0} for at in range(6)}
    called = 0
    for seed in range(6):
        random = np.random.default_rng(seed)
        trials = [row(n, draw(space, random), float(random.normal())) for n in range(16)]
        called += sum(bool(effect.beyond_noise) for effect in effects(trials, space))
    assert called <= 0.15 * 6 * 6


def test_an_effect_below_the_seed_noise_is_called_so() -> None:
    space = {"a": {"min": 0.0, "max": 1.0}, "b": [1, 2]}
    random = np.random.default_rng(0)
    trials = [row(n, made := draw(space, random), 0.5 + 0.01 * made["a"]) for n in range(64)]
    assert by_name(trials, space, noise=0.001)["a"].beyond_noise
    told = by_name(trials, space, noise=0.1)["a"]
    assert (told.beyond_noise, told.verdict) == (False, "less than seed noise")


def test_a_conditional_key_counts_where_it_exists_only() -> None:
    space = {"opt": ["A", "B"], "momentum": {"min": 0.0, "max": 1.0, "when": {"opt": ["B"]}}}
    random = np.random.default_rng(1)
    trials = [row(n, made := draw(space, random), made.get("momentum", 0.5)) for n in range(80)]
    told = by_name(trials, space, noise=None)
    assert told["momentum"].verdict == "less is better"
    # The means over momentum are equal, so the choice that it hangs on does nothing by itself.
    assert told["momentum"].share > 0.8 > 0.2 > (told["opt"].share or 0)


def test_one_exploded_trial_hides_nothing() -> None:
    trials = make_trials(64)
    worst = next(trial for trial in trials if trial["score"] is not None)
    worst["score"] = 1e12
    told = by_name(trials)
    assert (told["width"].best, told["width"].beyond_noise) == ("256", True)
    assert fence([0.0, 1.0, 1.0, 1.0]) == 1.0


def test_higher_rungs_do_not_count() -> None:
    trials = make_rungs(54)
    assert any(trial["parent"] is not None for trial in trials)
    first = [trial for trial in trials if trial["parent"] is None]
    assert effects(trials, SPACE) == effects(first, SPACE)


@pytest.mark.parametrize(
    ("trials", "verdict"),
    [
        ([], "too few trials to tell: 0, of at least 8"),
        (make_trials(MIN_TRIALS - 1), "too few"),
        ([row(n, draw(SPACE, np.random.default_rng(n)), 0.5) for n in range(20)], "all scores are equal"),
        ([row(n, make_trials(1)[0]["overrides"], 0.1 * n) for n in range(20)], "one value only"),
        ([row(n, draw(SPACE, np.random.default_rng(n)), None) for n in range(20)], "too few"),
    ],
)
def test_what_cannot_be_told_is_said(trials: list[dict], verdict: str) -> None:
    found = effects(trials, SPACE)
    assert {effect.key for effect in found} == set(SPACE)
    assert all(effect.verdict.startswith(verdict) and not effect.beyond_noise for effect in found)
