"""Numbers: single steps, and chains of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import MinMaxScaler, QuantileTransformer, RobustScaler, StandardScaler

from pipeline.data.transforms import Clip, Impute, Log, MinMaxScale, QuantileScale, RobustScale, Standardize
from pipeline.data.transforms.chain import Chain, FittedChain
from pipeline.data.transforms.numerics import log1p, normal_quantile
from pipeline.data.transforms.standardize import LIMIT, Standardized
from pipeline.errors import ConfigError
from tests.columns import encoded, fitted_on, sent

NAN = float("nan")


def chain(steps: list[Any], train: list[float]) -> FittedChain:
    fitted: FittedChain = fitted_on(Chain.of(steps), train, "numeric")
    return fitted


def column(steps: list[Any], train: list[float], values: list[float]) -> list[float]:
    """The first encoded column."""
    found: list[float] = encoded(chain(steps, train), values, "numeric")[:, 0].tolist()
    return found


def standardized(train: list[float]) -> Standardized:
    fitted: Standardized = fitted_on(Standardize(), train, "numeric")
    return fitted


@pytest.mark.parametrize("train", [[3.0] * 5, [float("nan")] * 5, [], [0.1] * 7 + [float("nan")], [1e9, 1e9 + 1e-7]])
def test_a_column_that_tells_nothing_becomes_zero_whatever_comes_later(train: list[float]) -> None:
    fitted = standardized(train)
    assert not encoded(fitted, [3.0, -1e300, float("nan"), float("inf"), 0.1], "numeric")[:, 0].any()


def test_standardized_train_values_have_mean_zero_and_variance_one() -> None:
    train = np.random.default_rng(0).gamma(2.0, 100.0, 5000)
    found = encoded(standardized(train.tolist()), train.tolist(), "numeric").astype(np.float64)
    assert found.shape == (5000, 1)
    assert abs(found.mean()) < 1e-6
    assert abs(found.std() - 1) < 1e-6


def test_values_far_from_zero_are_served_in_float64_and_keep_their_differences() -> None:
    train = [1e9 + step for step in range(10)]
    fitted = standardized(train)
    assert fitted.dtype == "float64"
    assert len(set(encoded(fitted, train, "numeric").ravel().tolist())) == 10
    assert standardized([1.0, 2.0, 3.0]).dtype == "float32"


def test_an_indicator_tells_what_is_missing_if_train_missed_anything() -> None:
    values = [1.0, float("nan"), float("inf")]
    assert encoded(standardized([1.0, 2.0, float("nan")]), values, "numeric")[:, 1].tolist() == [0.0, 1.0, 1.0]
    assert encoded(standardized([1.0, 2.0]), values, "numeric").shape == (3, 1)


def test_a_missing_number_becomes_the_mean() -> None:
    assert encoded(standardized([10.0, 20.0]), [float("nan"), 15.0], "numeric").tolist() == [[0.0], [0.0]]


TAILED = np.random.default_rng(3).gamma(0.7, 50.0, 3000)
REPEATED = np.round(np.random.default_rng(4).normal(0, 2, 3000))
BEYOND = [-1e9, -3.0, -0.5, 0.0, 0.25, 1.0, 7.0, 1e9]


@pytest.mark.parametrize("train", [TAILED, REPEATED, np.arange(5.0)], ids=["tailed", "repeated", "few"])
@pytest.mark.parametrize(
    ("step", "reference"),
    [
        (RobustScale(), RobustScaler()),
        (MinMaxScale(), MinMaxScaler()),
        (QuantileScale(), QuantileTransformer(n_quantiles=1000, subsample=None)),
        (QuantileScale(num_quantiles=10), QuantileTransformer(n_quantiles=10, subsample=None)),
        (QuantileScale("normal"), QuantileTransformer(n_quantiles=1000, subsample=None, output_distribution="normal")),
        ([Clip(), Standardize()], None),
    ],
    ids=repr,
)
@pytest.mark.filterwarnings("ignore:n_quantiles")
def test_scalers_agree_with_those_of_scikit_learn(step: Any, reference: Any, train: np.ndarray) -> None:
    values = np.concatenate([train, BEYOND])
    steps = step if isinstance(step, list) else [step]
    found = encoded(chain(steps, train.tolist()), values.tolist(), "numeric")
    if reference is None:  # of what is cut at the first and the last hundredth
        low, high = np.quantile(train, [0.01, 0.99])
        expected = StandardScaler().fit(train.clip(low, high)[:, None]).transform(values.clip(low, high)[:, None])
    else:
        expected = reference.fit(train[:, None]).transform(values[:, None])
    assert found.shape == expected.shape
    assert np.allclose(found, np.clip(expected, -LIMIT, LIMIT), rtol=0, atol=2e-6)


def test_a_chain_fits_each_step_on_what_those_before_it_make_of_train() -> None:
    fitted = chain([Clip(minimum=0.0), Log(), MinMaxScale()], [-50.0, math.e - 1, math.e**3 - 1])
    found = encoded(fitted, [-1.0, 0.0, math.e - 1, math.e**2 - 1, math.e**3 - 1], "numeric")
    assert found[:, 0].tolist() == pytest.approx([0.0, 0.0, 1 / 3, 2 / 3, 1.0])


def test_log_is_that_of_numpy_on_both_sides_of_zero() -> None:
    values = np.concatenate([-TAILED, TAILED, [0.0, 1e300, -1e300]])
    assert np.allclose(Log()(values), np.sign(values) * np.log1p(np.abs(values)), rtol=1e-14)


@pytest.mark.parametrize("function", [log1p, normal_quantile])
def test_a_value_has_the_same_bits_wherever_it_stands(function: Any) -> None:
    values = np.random.default_rng(0).uniform(1e-7, 1 - 1e-7, 1003)
    whole = function(values)
    assert np.array_equal(whole, np.concatenate([function(values[row : row + 1]) for row in range(len(values))]))
    assert np.array_equal(whole, function(tf.constant(values)).numpy())


def test_what_is_missing_becomes_the_mean_of_what_the_scaler_sees_unless_something_else_is_said() -> None:
    train = [0.0, 0.0, 3.0, 99.0, NAN]
    assert column([Clip(minimum=0.0, maximum=9.0), MinMaxScale()], train, [NAN]) == [pytest.approx(3 / 9)]
    assert column([Impute("median"), MinMaxScale()], train, [NAN]) == [pytest.approx(1.5 / 99)]
    assert column([Impute("constant", value=-99.0), MinMaxScale()], train, [NAN, 0.0]) == [-1.0, 0.0]
    assert column([Clip(maximum=9.0), Impute("median"), MinMaxScale()], train, [NAN]) == [pytest.approx(1.5 / 9)]
    assert column([Log(), Impute("constant", value=0.0), MinMaxScale()], [1.0, 2.0, NAN], [NAN]) < [0.0]
    assert column([Log()], train, [NAN]) == [pytest.approx(0.0, abs=1e-7)]


def test_outliers_do_not_move_what_is_missing_where_they_do_not_move_the_scale() -> None:
    train = [0.0, 1.0, 2.0, 1e9, 1e12, NAN]
    assert column([RobustScale()], train, [NAN]) == [0.0]
    assert column([QuantileScale()], train, [NAN]) == [0.5]
    assert column([Impute("mean"), QuantileScale()], train, [NAN]) > [0.75]


def test_missing_train_values_do_not_count_in_what_later_steps_learn() -> None:
    values = [1.0, 2.0, 3.0, 4.0]
    alone, among = (
        chain([Impute("constant", value=1e6), RobustScale()], [*values, *more]) for more in ([], [NAN] * 50)
    )
    assert alone.steps == among.steps


@pytest.mark.parametrize(
    ("indicator", "missed", "width"), [("auto", True, 2), ("auto", False, 1), (True, False, 2), (False, True, 1)]
)
def test_an_indicator_stands_beside_the_value(indicator: Any, missed: bool, width: int) -> None:
    fitted = chain([Impute(indicator=indicator), RobustScale()], [1.0, 2.0, NAN if missed else 3.0])
    found = encoded(fitted, [2.0, NAN, float("inf")], "numeric")
    assert found.shape == (3, width) == (3, fitted.width)
    assert width == 1 or found[:, 1].tolist() == [0.0, 1.0, 1.0]


@pytest.mark.parametrize("scaler", [RobustScale(), MinMaxScale(), QuantileScale(), QuantileScale("normal")], ids=repr)
@pytest.mark.parametrize("train", [[3.0] * 5, [NAN] * 5, [], [1e308] * 3, [0.1] * 7 + [NAN]])
def test_a_scaler_makes_nothing_of_a_column_that_tells_nothing(scaler: Any, train: list[float]) -> None:
    assert not any(column([scaler], train, [3.0, -1e308, NAN, float("inf"), 0.1]))


def test_a_mostly_constant_column_is_scaled_by_its_standard_deviation() -> None:
    train = [0.0] * 90 + [10.0] * 10
    assert column([RobustScale()], train, [0.0, 10.0]) == [0.0, pytest.approx(10 / np.std(train))]


def test_the_widest_column_there_is_does_not_overflow() -> None:
    train = [-1.7e308, -1e308, 0.0, 1e308, 1.7e308]
    for scaler in (MinMaxScale(), QuantileScale()):
        found = column([scaler], train, train)
        assert found == sorted(found)
        assert (found[0], found[2], found[-1]) == (0.0, pytest.approx(0.5), pytest.approx(1.0))


def test_quantiles_that_repeat_share_the_middle_of_their_ranks() -> None:
    train = [0.0, 1.0, 1.0, 1.0, 9.0]
    assert column([QuantileScale()], train, [0.0, 1.0, 5.0, 9.0]) == [0.0, 0.5, pytest.approx(0.875), 1.0]


@given(st.lists(st.integers(-9, 9).map(float), min_size=1, max_size=30), st.lists(st.floats(-20, 20), max_size=30))
@settings(max_examples=60)
def test_scaling_keeps_the_order(train: list[float], values: list[float]) -> None:
    for steps in ([Log(), RobustScale()], [QuantileScale()], [QuantileScale("normal")], [Clip(), MinMaxScale()]):
        found = column(steps, train, sorted(values))
        assert found == sorted(found)


def test_chains_ask_for_float64_where_float32_would_lose_what_distinguishes_values() -> None:
    close = [1.0 + step * 1e-9 for step in range(100)]
    assert chain([QuantileScale()], [*close, 1e6]).dtype == "float64"
    assert len(set(column([QuantileScale()], [*close, 1e6], close))) == 100
    assert chain([QuantileScale()], TAILED.tolist()).dtype == "float32"
    assert chain([Log()], [1e39, 1.0, 2.0]).dtype == "float64"


def test_of_more_rows_than_are_sampled_the_ends_still_count() -> None:
    transform = Chain.of([MinMaxScale()])
    learner = transform.learner()
    values = np.arange(1001.0)
    learner.add(pa.array(values))
    learner.add_sample(pa.array(values[100:900:2]))
    assert transform.fit(learner)(pa.array([0.0, 500.0, 1000.0])).ravel().tolist() == pytest.approx([0.0, 0.5, 1.0])


def test_standardize_alone_is_exact_and_a_chain_ends_in_it() -> None:
    assert Chain.of([Standardize()]) == Standardize()
    assert [type(step) for step in Chain.of([Log()]).steps] == [Log, Standardize]
    values = (TAILED * 1e3).tolist()
    alone = encoded(standardized(values), values, "numeric")
    assert np.allclose(encoded(chain([Impute(), Standardize()], values), values, "numeric"), alone, atol=1e-6)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([RobustScale(), Log()], "RobustScale stands before the end of the chain RobustScale, Log"),
        ([RobustScale(), MinMaxScale()], "RobustScale, MinMaxScale stands"),
        ([QuantileScale(), Impute()], "QuantileScale stands before the end"),
        ([Impute(), Impute()], "Impute stands more than once"),
        ([Log(), "Clip"], "str is no step"),
    ],
)
def test_chains_whose_order_does_not_fit_are_refused(steps: list[Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Chain.of(steps)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Clip(0.9, 0.1),
        lambda: Clip(-0.1, 0.5),
        lambda: Clip(minimum=1.0, maximum=1.0),
        lambda: Impute("constant"),
        lambda: Impute("mean", value=1.0),
        lambda: Impute("mode"),  # type: ignore[arg-type]
        lambda: Impute("constant", value=NAN),
        lambda: QuantileScale("gaussian"),  # type: ignore[arg-type]
        lambda: QuantileScale(num_quantiles=1),
        lambda: QuantileScale(num_quantiles=2000),
    ],
)
def test_arguments_out_of_range_are_refused(make: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert caught.value.expected


@dataclass(frozen=True)
class Reciprocal:
    """A step of one's own: it makes no number of some values."""

    kinds: ClassVar[tuple[str, ...]] = ("numeric",)

    def fit_values(self, values: np.ndarray) -> Reciprocal:
        return self

    def __call__(self, values: Any) -> Any:
        return 1.0 / (values + 1.0)


def test_a_step_of_ones_own_needs_no_more_than_operators() -> None:
    fitted = chain([Reciprocal(), MinMaxScale()], [0.0, 1.0, 3.0, NAN])
    found = encoded(fitted, [0.0, 1.0, 3.0, NAN], "numeric")
    assert found[:3, 0].tolist() == pytest.approx([1.0, 1 / 3, 0.0])
    assert np.array_equal(fitted.layer()(sent(fitted, [0.0, 1.0, 3.0, NAN], "numeric")).numpy(), found)
