"""Drift is found where rows differ by more than a threshold and than chance, and nowhere else."""

from __future__ import annotations

import doctest
import importlib
import re
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import ks_2samp

from pipeline.data.drift import THRESHOLDS, Drift, compare
from pipeline.data.drift.compare import measured
from pipeline.data.drift.measures import jensen_shannon
from pipeline.data.kinds import Kind
from pipeline.data.statistics import Statistics
from pipeline.errors import ConfigError


def of(values: Sequence[object] | np.ndarray | pa.Array, kind: Kind = "numeric", name: str = "x") -> Statistics:
    column = values if isinstance(values, pa.Array) else pa.array(values)
    return Statistics.of(pa.record_batch({name: column}), {name: kind})


def normal(num_rows: int, shift: float = 0.0, seed: int = 0) -> Statistics:
    return of(np.random.default_rng(seed).normal(shift, 1.0, num_rows))


def categories(num_rows: int, shares: Mapping[str, float], seed: int = 0) -> Statistics:
    random = np.random.default_rng(seed)
    return of(random.choice(list(shares), num_rows, p=list(shares.values())), "categorical")


def found(drift: list[Drift]) -> list[str]:
    return [one.measure for one in drift]


def values_of(reference: Statistics, current: Statistics) -> dict[str, float]:
    return {one.measure: one.value for one in measured(reference.features["x"], current.features["x"])}


@pytest.mark.parametrize("num_rows", [1, 5, 50, 5_000, 100_000])
@pytest.mark.parametrize("num_current", [1, 30, 3_000])
def test_two_samples_of_one_population_do_not_drift(num_rows: int, num_current: int) -> None:
    shares = {"a": 0.5, "b": 0.3, "c": 0.19, "rare": 0.01}
    for seed in range(3):
        assert compare(normal(num_rows, seed=seed), normal(num_current, seed=seed + 99)) == []
        before, now = categories(num_rows, shares, seed), categories(num_current, shares, seed + 99)
        assert compare(before, now) == []


def test_identical_statistics_measure_nothing() -> None:
    for statistics in (normal(1000), categories(1000, {"a": 0.5, "b": 0.5}), of(["a b", "c"] * 50, "text")):
        assert max(values_of(statistics, statistics).values()) == 0.0


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_every_measure_lies_between_0_and_1(first: list[float], second: list[float]) -> None:
    for reference, current in (
        (of(first), of(second)),
        (
            of([str(round(value)) for value in first], "categorical"),
            of([str(round(value)) for value in second], "categorical"),
        ),
    ):
        for one in measured(reference.features["x"], current.features["x"]):
            assert 0.0 <= one.value <= 1.0 + 1e-12
            assert one.noise >= 0.0


def test_a_shifted_mean_is_found_and_a_tiny_but_significant_one_is_not() -> None:
    before = normal(60_000)
    assert found(compare(before, normal(60_000, 0.5, seed=1))) == ["jensen_shannon", "kolmogorov_smirnov"]
    slight = normal(60_000, 0.05, seed=1)
    evidence = {one.measure: one.evidence for one in measured(before.features["x"], slight.features["x"])}
    p_value = float(evidence["kolmogorov_smirnov"].split("p = ")[1])
    assert p_value < 1e-6
    assert compare(before, slight) == []


def test_kolmogorov_smirnov_is_what_scipy_gives() -> None:
    random = np.random.default_rng(0)
    for first, second in (
        (random.normal(0, 1, 4000), random.normal(0.4, 1.5, 3000)),
        (random.poisson(3, 4000).astype(float), random.poisson(4, 4000).astype(float)),
        ((random.random(4000) < 0.3).astype(float), (random.random(4000) < 0.6).astype(float)),
    ):
        expected = ks_2samp(first, second).statistic
        assert values_of(of(first), of(second))["kolmogorov_smirnov"] == pytest.approx(expected, abs=0.015)


@given(st.lists(st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)), min_size=2, max_size=10))
def test_the_jensen_shannon_distance_is_what_scipy_gives(pairs: list[tuple[float, float]]) -> None:
    first, second = (np.array(side) / np.sum(side) for side in zip(*pairs, strict=True))
    with np.errstate(invalid="ignore"):  # rounding below zero makes SciPy's root NaN
        expected = np.nan_to_num(jensenshannon(first, second, base=2))
    assert jensen_shannon(first, second) == pytest.approx(expected, abs=1e-6)


def test_categories_whose_shares_moved_are_found_with_their_name() -> None:
    before = categories(20_000, {"red": 0.6, "blue": 0.4})
    drift = compare(before, categories(1_000, {"red": 0.3, "blue": 0.7}))
    assert found(drift) == ["jensen_shannon", "cramers_v"]
    assert re.match('"red" (59|60|61).*% -> (2[89]|3[012])|"blue" (39|40|41).*% -> (69|7[0123])', drift[0].evidence)
    # Of two shares 0.6 and 0.3 in equally large samples: phi = 0.3 / sqrt(4 * 0.45 * 0.55).
    assert drift[1].value == pytest.approx(0.3 / (4 * 0.45 * 0.55) ** 0.5, abs=0.03)


def test_cramers_v_does_not_shrink_where_one_side_is_much_larger() -> None:
    before = [categories(n, {"red": 0.6, "blue": 0.4}) for n in (2_000, 300_000)]
    now = categories(2_000, {"red": 0.3, "blue": 0.7})
    equal, unequal = (values_of(one, now)["cramers_v"] for one in before)
    assert unequal == pytest.approx(equal, abs=0.03)


def test_new_categories_are_found_and_named() -> None:
    before = categories(5_000, {"red": 0.6, "blue": 0.4})
    drift = compare(before, categories(2_000, {"red": 0.59, "blue": 0.38, "mauve": 0.03}))
    assert found(drift) == ["new_categories"]
    assert "mauve" in drift[0].evidence
    assert drift[0].value == pytest.approx(0.03, abs=0.01)


def test_few_reference_rows_have_not_shown_every_category_and_ids_are_always_new() -> None:
    letters = {f"letter {place}": 1 / 200 for place in range(200)}
    assert "new_categories" not in found(compare(categories(150, letters), categories(5_000, letters, seed=1)))
    random = np.random.default_rng(0)
    ids = [of([f"id{value}" for value in random.integers(0, 10**9, n)], "categorical") for n in (20_000, 3_000)]
    assert compare(*ids) == []


def test_what_does_not_fit_into_the_current_sketch_is_new_all_the_same() -> None:
    before = of(["a", "b"] * 5_000, "categorical")
    now = of([f"id{value}" for value in range(9_000)] + ["a"] * 1_000, "categorical")
    assert values_of(before, now)["new_categories"] == pytest.approx(0.9, abs=0.02)


def test_missing_values_are_found_where_there_are_enough_rows() -> None:
    before = of(pa.array([1.0, 2.0] * 500))
    assert found(compare(before, of(pa.array([1.0, 2.0, None, 1.0, 2.0] * 100)))) == ["missing"]
    for few in ([1.0, None], [None], [None, None]):
        assert compare(before, of(pa.array(few, pa.float64()))) == []
    assert found(compare(before, of(pa.array([None] * 100, pa.float64())))) == ["missing"]


def test_columns_that_went_came_or_changed_their_kind_are_found() -> None:
    before = Statistics.of(pa.record_batch({"a": [1.0], "b": ["x"]}), {"a": "numeric", "b": "categorical"})
    now = Statistics.of(pa.record_batch({"b": ["x"], "c": [1.0]}), {"b": "text", "c": "numeric"})
    assert [(one.feature, one.measure) for one in compare(before, now)] == [
        ("a", "column"),
        ("b", "kind"),
        ("c", "column"),
    ]
    assert compare(before, now)[1].line() == "b: kind 1 > 0 (categorical -> text)"


def test_texts_tags_images_and_dates() -> None:
    random = np.random.default_rng(0)
    short, long = (
        [" ".join(random.choice(list("abcdef"), count)) for count in random.integers(low, low + 5, 2_000)]
        for low in (1, 8)
    )
    drift = compare(of(short, "text"), of(long, "text"))
    assert {"of characters" in one.evidence or "of words" in one.evidence for one in drift} == {True}
    assert found(compare(of([["a", "b"], ["a"]] * 500, "tags"), of([["a", "b"], ["c"]] * 500, "tags")))[-1:] == [
        "new_categories"
    ]
    seconds = [pa.array(np.arange(2_000) * 10**6 + start, pa.timestamp("us")) for start in (0, 10**15)]
    assert compare(of(seconds[0], "datetime"), of(seconds[1], "datetime")) == []


def test_a_constant_that_changed_is_found() -> None:
    assert found(compare(of([1.0] * 500), of([0.0] * 500))) == ["jensen_shannon", "kolmogorov_smirnov"]
    assert found(compare(of([0.5] * 500), of([0.6] * 500))) == ["jensen_shannon", "kolmogorov_smirnov"]


def test_no_rows_drift_nowhere() -> None:
    nothing = of(pa.array([], pa.float64()))
    assert compare(nothing, normal(1_000)) == compare(normal(1_000), nothing) == []
    assert compare(Statistics(), Statistics()) == []


def test_thresholds_hold_for_all_columns_or_for_one() -> None:
    before, now = normal(60_000), normal(60_000, 0.5, seed=1)
    assert found(compare(before, now, thresholds={"jensen_shannon": 1.0})) == ["kolmogorov_smirnov"]
    assert compare(before, now, of_feature={"x": dict.fromkeys(THRESHOLDS, 1.0)}) == []
    both = {"jensen_shannon": 1.0, "kolmogorov_smirnov": 1.0}
    drift = compare(before, now, thresholds=both, of_feature={"x": {"kolmogorov_smirnov": 0.15}})
    assert [(one.measure, one.threshold) for one in drift] == [("kolmogorov_smirnov", 0.15)]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({"thresholds": {"kolmogorov": 0.1}}, 'Did you mean "kolmogorov_smirnov"'),
        ({"thresholds": {"missing": 5}}, "a number from 0 to 1"),
        ({"thresholds": {"missing": float("nan")}}, "a number from 0 to 1"),
        ({"of_feature": {"xx": {"missing": 0.1}}}, '"xx", which is no column'),
        ({"of_feature": {"x": {"mising": 0.1}}}, 'Did you mean "missing"'),
    ],
)
def test_thresholds_of_nothing_are_refused(arguments: dict, part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compare(normal(10), normal(10), **arguments)
    assert part in str(caught.value)


@pytest.mark.parametrize("module", ["compare", "measures"])
def test_the_examples_run(module: str) -> None:
    result = doctest.testmod(importlib.import_module(f"pipeline.data.drift.{module}"))
    assert (result.failed, result.attempted > 0) == (0, True)
