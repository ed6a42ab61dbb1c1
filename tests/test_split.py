"""A split puts every labelled row on one side, in the shares that were asked for, the same for the same seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data import split
from pipeline.data.sides import NO_SIDE, SIDE_OF_NAME, TEST, TRAIN, VALIDATION
from pipeline.data.split import Given, Random, Stratified
from pipeline.errors import ConfigError, DataError

SPLITTERS = split.__all__
FRACTIONS = st.tuples(*[st.integers(1, 8)] * 3).map(lambda parts: tuple(part / sum(parts) for part in parts))


@st.composite
def labels(draw: Any) -> np.ndarray:
    """60 to 300 labels, text or numbers, some missing."""
    rows, seed = draw(st.integers(60, 300)), draw(st.integers(0, 1000))
    generator = np.random.default_rng(seed)
    missing = generator.random(rows) < draw(st.sampled_from([0.0, 0.2]))
    form = draw(st.sampled_from(["classes", "text", "quantity"]))
    if form == "quantity":
        return np.where(missing, np.nan, generator.normal(size=rows))
    classes = generator.choice(draw(st.integers(2, 6)), rows)
    if form == "classes":
        return np.where(missing, np.nan, classes.astype(np.float64))
    return np.asarray([None if gone else f"class {name}" for gone, name in zip(missing, classes, strict=True)], object)


def present(found: np.ndarray) -> np.ndarray:
    return np.asarray([value is not None and value == value for value in found.tolist()])


def splitter(name: str, fractions: tuple[float, float, float], found: np.ndarray) -> tuple[Any, np.ndarray | None]:
    """A splitter of the room, and the column that it needs."""
    train, validation, test = fractions
    if name == "Given":
        column = np.asarray(["train", "test"] * len(found), object)[: len(found)]
        return Given(validation=validation / (train + validation)), column
    return getattr(split, name)(train=train, validation=validation, test=test), None


def counts(sides: np.ndarray) -> list[int]:
    return [int((sides == side).sum()) for side in (TRAIN, VALIDATION, TEST)]


@pytest.mark.parametrize("name", SPLITTERS)
@settings(max_examples=30)
@given(found=labels(), fractions=FRACTIONS, seed=st.integers(0, 2**31 - 1))
def test_every_labelled_row_is_on_exactly_one_side(
    name: str, found: np.ndarray, fractions: tuple[float, float, float], seed: int
) -> None:
    split_it, column = splitter(name, fractions, found)
    sides = split_it(found, column=column, seed=seed)
    assert (sides.shape, sides.dtype) == ((len(found),), np.uint8)
    assert set(sides[present(found)].tolist()) == {TRAIN, VALIDATION, TEST}
    assert set(sides[~present(found)].tolist()) <= {NO_SIDE}


@pytest.mark.parametrize("name", SPLITTERS)
@settings(max_examples=30)
@given(found=labels(), fractions=FRACTIONS)
def test_the_same_seed_gives_the_same_split_and_another_seed_another(
    name: str, found: np.ndarray, fractions: tuple[float, float, float]
) -> None:
    split_it, column = splitter(name, fractions, found)
    first, same, other = (split_it(found, column=column, seed=seed) for seed in (5, 5, 6))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)
    assert counts(first) == counts(other)


@pytest.mark.parametrize("name", ["Random", "Stratified"])
@settings(max_examples=50)
@given(found=labels(), fractions=FRACTIONS, seed=st.integers(0, 100))
def test_the_sides_hold_as_many_rows_as_asked(
    name: str, found: np.ndarray, fractions: tuple[float, float, float], seed: int
) -> None:
    sides = splitter(name, fractions, found)[0](found, seed=seed)
    for count, fraction in zip(counts(sides), fractions, strict=True):
        assert abs(count - fraction * present(found).sum()) <= 1


@settings(max_examples=50)
@given(found=labels(), fractions=FRACTIONS, seed=st.integers(0, 100))
def test_stratified_sides_hold_their_share_of_every_class_within_a_row(
    found: np.ndarray, fractions: tuple[float, float, float], seed: int
) -> None:
    sides = splitter("Stratified", fractions, found)[0](found, seed=seed)
    strata = split.strata(found)
    for stratum in np.unique(strata[present(found)]):
        rows = (strata == stratum) & present(found)
        for count, fraction in zip(counts(sides[rows]), fractions, strict=True):
            assert abs(count - fraction * rows.sum()) < 2  # a row of rounding for test, and one for what is left


def test_classes_are_strata_and_many_numbers_are_tenths_by_rank() -> None:
    assert split.strata(np.asarray(["b", "a", None, "b"], object))[[0, 1, 3]].tolist() == [1, 0, 1]
    numbers = np.random.default_rng(0).permutation(1000).astype(np.float64)
    assert np.array_equal(split.strata(numbers), numbers.astype(int) // 100)


def test_a_stratified_split_of_a_quantity_has_every_range_on_every_side() -> None:
    quantity = np.random.default_rng(0).lognormal(size=2000)
    sides = Stratified()(quantity, seed=3)
    deciles = np.quantile(quantity, np.linspace(0.1, 0.9, 9))
    for side in (TRAIN, VALIDATION, TEST):
        shares = np.bincount(np.digitize(quantity[sides == side], deciles), minlength=10) / (sides == side).sum()
        assert np.abs(shares - 0.1).max() < 0.005


def test_a_random_split_does_not_look_at_the_labels() -> None:
    first = Random()(np.arange(100.0), seed=1)
    assert np.array_equal(first, Random()(np.zeros(100), seed=1))


def test_a_rare_class_goes_to_train_first() -> None:
    found = np.asarray(["common"] * 97 + ["rare"] * 3, object)
    for seed in range(10):
        assert (Stratified()(found, seed=seed)[97:] == TRAIN).sum() >= 1


def test_a_split_does_not_depend_on_the_machine() -> None:
    sides = Random()(np.arange(20.0), seed=7)
    assert counts(sides) == [14, 3, 3]
    order = np.random.Generator(np.random.Philox(7)).permutation(20)
    assert sides[order[[3, 9, 16]]].tolist() == [TEST] * 3


@pytest.mark.parametrize("spelling", sorted(SIDE_OF_NAME))
def test_given_knows_every_spelling_in_any_case(spelling: str) -> None:
    column = np.asarray(["train", "val", "test", spelling.upper()], object)
    sides = Given()(np.arange(4.0), column=column)
    assert sides.tolist() == [TRAIN, VALIDATION, TEST, SIDE_OF_NAME[spelling]]


def test_given_takes_the_sides_as_they_stand_whatever_the_seed() -> None:
    column = np.asarray(["train", "validation", "test", "train"], object)
    assert Given()(np.arange(4.0), column=column, seed=9).tolist() == [TRAIN, VALIDATION, TEST, TRAIN]


def test_given_leaves_rows_without_a_label_on_no_side() -> None:
    column = np.asarray(["train", "val", "test", "train"], object)
    sides = Given()(np.asarray([1.0, 2.0, 3.0, np.nan]), column=column)
    assert sides.tolist() == [TRAIN, VALIDATION, TEST, NO_SIDE]


@settings(max_examples=30)
@given(seed=st.integers(0, 1000), num_test=st.integers(1, 50))
def test_a_missing_validation_is_carved_from_train_only(seed: int, num_test: int) -> None:
    column = np.asarray(["train"] * 100 + ["test"] * num_test, object)
    sides = Given(validation=0.2)(np.asarray(["a", "b"] * 75, object)[: 100 + num_test], column=column, seed=seed)
    assert (sides[100:] == TEST).all()
    assert counts(sides) == [80, 20, num_test]
    assert (sides[:100:2] == VALIDATION).sum() == 10  # stratified: half of them of each class


def test_given_refuses_what_is_no_side_with_its_row() -> None:
    with pytest.raises(DataError, match=r'"holdout" \(row 2\)'):
        Given()(np.arange(3.0), column=np.asarray(["train", "holdout", "test"], object))


def test_given_needs_a_column() -> None:
    with pytest.raises(DataError, match="none was recognized"):
        Given()(np.arange(3.0))


@pytest.mark.parametrize("values", [["train", "train", "val"], ["test", "val", "val"]])
def test_given_refuses_a_column_that_leaves_a_side_empty(values: list[str]) -> None:
    with pytest.raises(DataError, match="leaves no rows in"):
        Given()(np.arange(3.0), column=np.asarray(values, object))


@pytest.mark.parametrize("name", ["Random", "Stratified"])
@pytest.mark.parametrize(
    "shares", [(0.7, 0.2, 0.2), (1.0, 0.0, 0.0), (1.2, -0.1, -0.1), (0.5, 0.2, 0.2), (0.9, 0.1, 0.0)]
)
def test_fractions_that_are_no_shares_of_one_are_refused(name: str, shares: tuple[float, float, float]) -> None:
    with pytest.raises(ConfigError, match='"split"'):
        splitter(name, shares, np.zeros(3))


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5])
def test_given_refuses_a_validation_that_is_no_share(fraction: float) -> None:
    with pytest.raises(ConfigError, match="validation"):
        Given(validation=fraction)


@pytest.mark.parametrize("name", ["Random", "Stratified"])
@pytest.mark.parametrize("rows", [0, 1, 2, 3])
def test_too_few_rows_are_refused(name: str, rows: int) -> None:
    with pytest.raises(DataError, match="leaves no rows in"):
        splitter(name, (0.7, 0.15, 0.15), np.zeros(rows))[0](np.arange(float(rows)))
