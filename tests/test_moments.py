"""Moments merge: of two parts they are what one pass over both gives, without loss of digits."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.statistics import Moments, count_values

VALUES = st.lists(st.floats(width=32) | st.just(float("nan")), max_size=50)


def of(values: list[float]) -> Moments:
    return Moments.of(np.asarray(values, np.float64))


def exact(values: list[float]) -> tuple[float, float]:
    """Mean and variance of the finite values, in exact arithmetic."""
    numbers = [Fraction(value) for value in values if np.isfinite(value)]
    mean = sum(numbers) / len(numbers)
    return float(mean), float(sum((number - mean) ** 2 for number in numbers) / len(numbers))


@given(VALUES, VALUES)
def test_merged_moments_are_those_of_one_pass(first: list[float], second: list[float]) -> None:
    merged, whole = of(first).merge(of(second)), of(first + second)
    assert (merged.num_rows, merged.num_missing) == (whole.num_rows, whole.num_missing)
    assert (merged.minimum, merged.maximum) == (whole.minimum, whole.maximum)
    largest = max(abs(whole.minimum), abs(whole.maximum))
    assert merged.mean == pytest.approx(whole.mean, rel=1e-9, abs=1e-12 * largest)
    assert merged.variance == pytest.approx(whole.variance, rel=1e-9, abs=1e-12 * largest**2)


@given(VALUES)
def test_moments_are_exact_up_to_rounding(values: list[float]) -> None:
    moments = of(values)
    finite = [value for value in values if np.isfinite(value)]
    assert (moments.num_rows, moments.count) == (len(values), len(finite))
    if finite:
        mean, variance = exact(values)
        largest = max(map(abs, finite))
        assert moments.mean == pytest.approx(mean, rel=1e-12, abs=1e-14 * largest)
        assert moments.variance == pytest.approx(variance, rel=1e-9, abs=1e-24 * largest**2)
        assert (moments.minimum, moments.maximum) == (min(finite), max(finite))


@given(VALUES)
def test_nothing_merges_as_nothing(values: list[float]) -> None:
    assert Moments().merge(of(values)) == of(values) == of(values).merge(Moments())


@pytest.mark.parametrize("num_parts", [1, 3, 100])
def test_a_tiny_variance_around_a_large_mean_keeps_its_digits(num_parts: int) -> None:
    values = 1e9 + np.random.default_rng(0).normal(0, 1e-3, 100_000)
    merged = Moments()
    for part in np.array_split(values, num_parts):
        merged = merged.merge(Moments.of(part))
    expected = np.var((values - 1e9).astype(np.longdouble))
    assert merged.variance == pytest.approx(float(expected), rel=1e-6)
    assert merged.mean - 1e9 == pytest.approx(float(np.mean(values - 1e9)), abs=2e-7)


def test_moments_agree_with_numpy() -> None:
    values = np.random.default_rng(1).gamma(2.0, 3.0, 10_000)
    moments = Moments.of(values)
    assert moments.mean == pytest.approx(values.mean(), rel=1e-12)
    assert moments.variance == pytest.approx(values.var(), rel=1e-12)


def test_float32_columns_are_summed_in_float64() -> None:
    values = np.full(1_000_000, 0.1, np.float32)
    assert Moments.of(values).mean == float(np.float32(0.1))
    assert Moments.of(values).variance == 0.0


def test_nan_and_infinities_count_as_missing() -> None:
    moments = of([float("nan"), 1.0, float("inf"), 3.0, float("-inf")])
    assert moments == Moments(num_rows=5, num_missing=3, mean=2.0, m2=2.0, minimum=1.0, maximum=3.0)


def test_a_column_of_missing_values_has_moments_of_zero() -> None:
    assert of([float("nan")] * 3) == Moments(num_rows=3, num_missing=3)
    assert of([float("nan")] * 3).variance == of([]).variance == 0.0


@pytest.mark.parametrize("value", [0.0, 0.1, -1e300, 1e9 + 0.1])
def test_a_constant_column_has_no_variance_at_all(value: float) -> None:
    moments = of([value] * 1000).merge(of([value] * 7))
    assert (moments.mean, moments.variance) == (value, 0.0)


TEXTS = st.lists(st.none() | st.sampled_from(["a", "b", "", "ä", "a "]), max_size=30)


@given(TEXTS, TEXTS)
def test_merged_counts_are_those_of_one_pass(first: list[str | None], second: list[str | None]) -> None:
    found = count_values(pa.array(first, pa.string())) + count_values(pa.array(second, pa.string()))
    assert found == Counter(value for value in first + second if value is not None)


# --- moments near the ends of float64


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20), st.integers(0, 20))
def test_moments_of_any_finite_values_stay_finite_and_merge(values: list[float], cut: int) -> None:
    whole, merged = of(values), of(values[:cut]).merge(of(values[cut:]))
    for moments in (whole, merged):
        assert all(map(math.isfinite, (moments.mean, moments.m2, moments.standard_deviation, moments.scale)))
        exact_mean = float(sum(map(Fraction, values)) / len(values))
        assert moments.mean == pytest.approx(exact_mean, rel=1e-12, abs=1e-14 * max(map(abs, values)))
    assert merged.scale == whole.scale
    # What is lost where two parts lie far apart is far below the width of the column.
    width = whole.maximum / 2 - whole.minimum / 2
    assert merged.standard_deviation == pytest.approx(whole.standard_deviation, rel=1e-12, abs=1e-12 * width)


@pytest.mark.parametrize("size", [1e-300, 1e-150, 1.0, 1e160, 1e300])
def test_the_standard_deviation_is_right_at_every_size(size: float) -> None:
    values = np.random.default_rng(0).normal(0, 1, 1000)
    found = Moments.of(values[:300] * size).merge(Moments.of(values[300:] * size))
    assert found.standard_deviation / size == pytest.approx(values.std(), rel=1e-12)


def test_a_variance_that_float64_cannot_hold_is_infinite_and_nothing_else_is() -> None:
    moments = of([-1.7e308, 1.7e308])
    assert (moments.variance, moments.standard_deviation, moments.mean) == (math.inf, 1.7e308, 0.0)
