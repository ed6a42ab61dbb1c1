"""A split puts every labelled row on one side, in the shares that were asked for, the same for the same seed."""

from __future__ import annotations

import hashlib
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data import split
from pipeline.data.sides import NO_SIDE, SIDE_OF_NAME, TEST, TRAIN, VALIDATION
from pipeline.data.split import Given, Group, Key, Random, Stratified, StratifiedGroup
from pipeline.errors import ConfigError, DataError
from tests.splitters import FRACTIONS, SPLITTERS, labels, parts, present, splitter

EXACT = ["Random", "Stratified", "Group", "StratifiedGroup"]
SEEDED = ["Given", *EXACT]


def counts(sides: np.ndarray) -> list[int]:
    return [int((sides == side).sum()) for side in (TRAIN, VALIDATION, TEST)]


@pytest.mark.parametrize("name", SPLITTERS)
@settings(max_examples=30, deadline=None)
@given(found=labels(), fractions=FRACTIONS, seed=st.integers(0, 2**31 - 1))
def test_every_labelled_row_is_on_exactly_one_side(
    name: str, found: np.ndarray, fractions: tuple[float, float, float], seed: int
) -> None:
    split_it, column = splitter(name, fractions, found)
    sides = split_it(found, column=column, seed=seed)
    assert split_it.needs == ("given" if name not in ("Given", "Random", "Stratified") else None)
    assert (sides.shape, sides.dtype) == ((len(found),), np.uint8)
    assert set(sides[present(found)].tolist()) == {TRAIN, VALIDATION, TEST}
    assert set(sides[~present(found)].tolist()) <= {NO_SIDE}


@pytest.mark.parametrize("name", SEEDED)
@settings(max_examples=30, deadline=None)
@given(found=labels(), fractions=FRACTIONS)
def test_the_same_seed_gives_the_same_split_and_another_seed_another(
    name: str, found: np.ndarray, fractions: tuple[float, float, float]
) -> None:
    split_it, column = splitter(name, fractions, found)
    first, same, *others = (split_it(found, column=column, seed=seed) for seed in (5, 5, *range(6, 26)))
    assert np.array_equal(first, same)
    if present(found)[::2].sum() >= 40:  # with fewer rows `Given` may draw from strata of a single row: no choice
        assert not all(np.array_equal(first, other) for other in others)
    if name in ("Given", "Random", "Stratified"):
        assert all(counts(first) == counts(other) for other in others)


@pytest.mark.parametrize("name", ["Time", "Key"])
def test_the_seed_has_no_say_in_times_and_keys(name: str) -> None:
    split_it, column = splitter(name, (0.6, 0.2, 0.2), np.zeros(300))
    first, other = (split_it(np.zeros(300), column=column, seed=seed) for seed in (1, 2))
    assert np.array_equal(first, other)


@pytest.mark.parametrize("name", ["Random", "Stratified"])
@settings(max_examples=50, deadline=None)
@given(found=labels(), fractions=FRACTIONS, seed=st.integers(0, 100))
def test_the_sides_hold_as_many_rows_as_asked(
    name: str, found: np.ndarray, fractions: tuple[float, float, float], seed: int
) -> None:
    sides = splitter(name, fractions, found)[0](found, seed=seed)
    for count, fraction in zip(counts(sides), fractions, strict=True):
        assert abs(count - fraction * present(found).sum()) <= 1


@settings(max_examples=50, deadline=None)
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


@settings(max_examples=30, deadline=None)
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


# What the sides were when rows alone could be drawn: published numbers depend on them. Labels of `frozen_labels`,
# train 0.65, validation 0.2, test 0.15 (Given: 0.2), seeds 0, 7 and 123456; BLAKE2b of the sides.
FROZEN = {
    ("Random", "classes"): ["02f56600a11c441b", "e93270f7e38f1489", "bff5bd8b94fdec77"],
    ("Random", "quantity"): ["924645b8a500aae8", "1db24d8f8f59b7b6", "222b3e7a444dc70f"],
    ("Random", "text"): ["d54987708935e0df", "0695b2da3293e29f", "6041e242d4612c74"],
    ("Stratified", "classes"): ["d7cb671a74365b70", "bab6dd408962a430", "69541c8dd5ee86a4"],
    ("Stratified", "quantity"): ["de56b1cef3802f2f", "7c80765c19f1c30d", "85c929d8ee032acf"],
    ("Stratified", "text"): ["3861ba39872765ae", "1c746b4127cfa94b", "db8b07c089325e46"],
    ("Given", "classes"): ["1bbf02671a937aac", "e369079fed2f6473", "f56eeb894686cfbd"],
    ("Given", "quantity"): ["b51bccbc41a21a88", "e15fffd3e9e04dbf", "bf305ba056217250"],
    ("Given", "text"): ["2496aef5d702bb12", "90aa0db4d663fdf5", "9da6cc0e0a375765"],
}


def frozen_labels(form: str) -> np.ndarray:
    numbers = np.arange(1000) * 7919 % 1009
    if form == "classes":
        return np.where(numbers % 11 == 0, np.nan, (numbers % 3).astype(np.float64))
    if form == "quantity":
        return np.where(numbers % 13 == 0, np.nan, numbers / 8)
    return np.asarray([None if number % 17 == 0 else f"class {number % 5}" for number in numbers.tolist()], object)


@pytest.mark.parametrize(("name", "form"), list(FROZEN))
def test_published_splits_stay_bit_for_bit(name: str, form: str) -> None:
    column = np.asarray(["test" if row % 5 == 0 else "Train" for row in range(1000)], object)
    split_it = Given(validation=0.2) if name == "Given" else getattr(split, name)(0.65, 0.2, 0.15)
    for seed, digest in zip((0, 7, 123456), FROZEN[name, form], strict=True):
        sides = split_it(frozen_labels(form), column=column if name == "Given" else None, seed=seed)
        assert hashlib.blake2b(sides.tobytes(), digest_size=8).hexdigest() == digest


@st.composite
def clusters(draw: Any, rows: int) -> np.ndarray:
    """A unit number a row, most of them alone, the largest unit of 6 rows; numbers with gaps."""
    generator = np.random.default_rng(draw(st.integers(0, 1000)))
    units = np.arange(rows)
    for size in generator.integers(2, 7, draw(st.integers(0, rows // 20))):
        units[generator.choice(rows, size, replace=False)] = rows + generator.integers(0, 10**6)
    return units * draw(st.sampled_from([1, -3, 10**9]))


def whole(sides: np.ndarray, groups: np.ndarray) -> bool:
    """Whether all rows of a group that are on a side are on one."""
    known = sides != NO_SIDE
    pairs = {(group, side) for group, side in zip(groups[known].tolist(), sides[known].tolist(), strict=True)}
    return len(pairs) == len({group for group, _ in pairs})


@pytest.mark.parametrize("name", SPLITTERS)
@settings(max_examples=40, deadline=None)
@given(data=st.data(), found=labels(), seed=st.integers(0, 100))
def test_units_and_groups_stay_whole_and_pinned_rows_are_in_test(
    name: str, data: Any, found: np.ndarray, seed: int
) -> None:
    units = data.draw(clusters(len(found)))
    pinned = np.random.default_rng(seed).random(len(found)) < data.draw(st.sampled_from([0.0, 0.02]))
    split_it, column = splitter(name, (0.5, 0.25, 0.25), found)
    sides = split_it(found, column=column, units=units, pinned=pinned, seed=seed)
    together = parts(units, *([column] if name in ("Group", "StratifiedGroup", "Key") else []))
    assert whole(sides, together)
    assert set(sides[~present(found)].tolist()) <= {NO_SIDE}
    held = np.isin(together, together[pinned]) & present(found)
    assert (sides[held] == TEST).all()
    if name not in ("Given", "Time"):
        assert (sides[present(found)] != NO_SIDE).all()


@pytest.mark.parametrize("name", EXACT)
@settings(max_examples=60, deadline=None)
@given(data=st.data(), found=labels(), fractions=FRACTIONS, seed=st.integers(0, 100))
def test_shares_of_units_are_met_within_the_largest(
    name: str, data: Any, found: np.ndarray, fractions: tuple[float, float, float], seed: int
) -> None:
    units = data.draw(clusters(len(found))) if "Group" not in name else None
    split_it, column = splitter(name, fractions, found)
    sides = split_it(found, column=column, units=units, seed=seed)
    together = units if units is not None else column if column is not None else np.arange(len(found))
    largest = np.unique(together[present(found)], return_counts=True)[1].max()
    for count, fraction in zip(counts(sides), fractions, strict=True):
        assert abs(count - fraction * present(found).sum()) <= largest


@pytest.mark.parametrize("name", ["Random", "Stratified"])
def test_pinned_rows_count_towards_the_share_of_test(name: str) -> None:
    found = np.tile([0.0, 1.0], 500)
    pinned = np.arange(1000) < 100
    sides = splitter(name, (0.7, 0.15, 0.15), found)[0](found, pinned=pinned, seed=1)
    assert counts(sides) == [700, 150, 150]
    many = np.arange(1000) < 400
    sides = splitter(name, (0.7, 0.15, 0.15), found)[0](found, pinned=many, seed=1)
    assert np.array_equal(sides == TEST, many)
    assert abs(counts(sides)[VALIDATION] - 600 * 0.15 / 0.85) <= 1


def test_units_of_several_rows_keep_the_classes_in_their_shares() -> None:
    generator = np.random.default_rng(0)
    units = np.sort(generator.integers(0, 900, 3000))
    found = (generator.random(900) < 0.1).astype(np.float64)[units]
    sides = Stratified()(found, units=units, seed=2)
    assert whole(sides, units)
    for side, share in ((TRAIN, 0.7), (VALIDATION, 0.15), (TEST, 0.15)):
        assert abs((found[sides == side] == 1).sum() - share * found.sum()) <= 3


def test_stratified_groups_are_nearer_to_the_class_shares_than_groups() -> None:
    generator = np.random.default_rng(1)
    column = np.repeat(np.arange(120.0), generator.integers(5, 40, 120))
    found = (generator.random(len(column)) < generator.beta(0.4, 2.0, 120)[column.astype(int)]).astype(np.float64)
    errors = {}
    for kind in (Group, StratifiedGroup):
        sides = [kind(column="patient")(found, column=column, seed=seed) for seed in range(5)]
        assert all(whole(each, column) for each in sides)
        errors[kind] = np.mean([abs(found[each == TEST].mean() - found.mean()) for each in sides])
    assert errors[StratifiedGroup] < 0.01
    assert errors[StratifiedGroup] < errors[Group] / 2


def test_a_row_without_a_group_is_a_group_of_its_own() -> None:
    column = np.asarray(["a", "b", "c", None, None, None] * 50, object)
    sides = Group(column="patient", train=0.5, validation=0.25, test=0.25)(np.arange(300.0), column=column)
    assert len(set(sides[3::6].tolist())) == 3
    assert whole(sides[:3], column[:3])


@pytest.mark.parametrize("name", SPLITTERS)
@settings(max_examples=20, deadline=None)
@given(data=st.data(), found=labels(), folds=st.integers(2, 5), seed=st.integers(0, 100))
def test_folds_part_what_is_not_test(name: str, data: Any, found: np.ndarray, folds: int, seed: int) -> None:
    units = (
        data.draw(st.one_of(st.none(), clusters(len(found))))
        if name not in ("Time", "Group", "StratifiedGroup")
        else None
    )
    sides = []
    for fold in range(folds):
        split_it, column = splitter(name, (0.6, 0.15, 0.25), found, folds=folds, fold=fold)
        sides.append(split_it(found, column=column, units=units, seed=seed))
    test = [each == TEST for each in sides]
    assert all(np.array_equal(each, test[0]) for each in test)
    times = np.sum([each == VALIDATION for each in sides], axis=0)
    rest = ~test[0] & present(found) & (sides[0] != NO_SIDE)
    if name == "Time":  # each block once, and the oldest never: the first fold learns from it
        assert np.array_equal(times == 1, present(found) & ~test[0] & (sides[0] != TRAIN))
        return
    assert set(times[rest].tolist()) == {1}
    assert set(times[~rest].tolist()) <= {0}
    assert all(whole(each, units) for each in sides if units is not None)
    if name in ("Random", "Stratified", "Given"):
        assert all(abs((each == VALIDATION).sum() - rest.sum() / folds) <= 6 for each in sides)


@settings(max_examples=30, deadline=None)
@given(found=labels(), num_before=st.integers(40, 60), seed=st.integers(0, 100))
def test_a_key_stays_put_when_rows_are_appended_or_reordered(found: np.ndarray, num_before: int, seed: int) -> None:
    split_it, column = splitter("Key", (0.4, 0.3, 0.3), np.zeros(len(found)))
    assert column is not None
    before = split_it(np.zeros(num_before), column=column[:num_before])
    order = np.random.default_rng(seed).permutation(len(column))
    after = split_it(np.zeros(len(column)), column=column[order])
    assert np.array_equal(after[np.argsort(order)][:num_before], before)


def test_keys_depend_on_their_text_the_salt_and_nothing_else() -> None:
    column = np.arange(2000) * 1.0
    plain = Key(column="user")(np.zeros(2000), column=column, seed=3)
    assert np.array_equal(
        plain, Key(column="user")(np.ones(2000), column=column.astype(int).astype(str).astype(object))
    )
    assert not np.array_equal(plain, Key(column="user", salt="2")(np.zeros(2000), column=column))
    assert np.abs(np.asarray(counts(plain)) / 2000 - [0.7, 0.15, 0.15]).max() < 0.03
    digest = hashlib.blake2b(b"41", digest_size=8).digest()
    point = int.from_bytes(digest, "big") / 2**64
    assert plain[41] == (TEST if point < 0.15 else VALIDATION if point < 0.3 else TRAIN)


def test_other_shares_of_the_rest_and_folds_leave_a_keys_test_rows() -> None:
    column = np.asarray([f"key {row}" for row in range(1000)], object)
    tests = [
        Key(column="user", **arguments)(np.zeros(1000), column=column) == TEST
        for arguments in ({}, {"train": 0.5, "validation": 0.35}, {"folds": 5, "fold": 2})
    ]
    assert np.array_equal(tests[0], tests[1])
    assert np.array_equal(tests[0], tests[2])


@pytest.mark.parametrize("name", ["Group", "StratifiedGroup"])
def test_groups_that_cannot_be_divided_are_refused(name: str) -> None:
    split_it = getattr(split, name)(column="patient")
    with pytest.raises(DataError, match="has 2 groups for 3 sides"):
        split_it(np.zeros(100), column=np.arange(100) % 2 * 1.0)
    huge = np.asarray(["Ann"] * 90 + [f"other {row}" for row in range(10)], object)
    with pytest.raises(DataError, match='The group "Ann" of the column "patient" holds 90 of 100'):
        split_it(np.zeros(100), column=huge)


def test_a_missing_key_is_refused_with_its_row() -> None:
    column = np.asarray(["a", "b", None, "c"], object)
    with pytest.raises(DataError, match=r'"user" is empty in 1 rows with a label \(first: row 3\)'):
        Key(column="user")(np.zeros(4), column=column)
    found = np.asarray([0.0, 0.0, np.nan] + [0.0] * 97)
    column = np.asarray([None if row == 2 else f"key {row}" for row in range(100)], object)
    assert Key(column="user")(found, column=column)[2] == NO_SIDE


@pytest.mark.parametrize("bound", [False, True])
def test_a_million_rows_are_split_in_a_moment(bound: bool) -> None:
    found = (np.arange(1_000_000) % 7 == 0).astype(np.float64)
    units = np.arange(1_000_000)
    units[::1000] = 5
    units[7::5000] = units[8::5000]
    start = time.process_time()  # of the processor: other tests may run beside this one
    sides = Stratified()(found, units=units if bound else None)
    assert time.process_time() - start < 1.5  # 0.1 s and 0.25 s; a loop over rows takes longer
    assert np.abs(np.asarray(counts(sides)) - [700_000, 150_000, 150_000]).max() <= 1000


def test_a_published_test_set_stays_and_its_copies_leave_train() -> None:
    column = np.asarray(["train", "train", "val", "val", "test", "test", "train"], object)
    units = np.asarray([1, 2, 2, 3, 3, 4, 4])
    assert Given()(np.arange(7.0), column=column, units=units).tolist() == [0, 255, 1, 255, 2, 2, 255]
    unlabelled = np.asarray([0, 1, 2, 3, np.nan, 5, 6])
    assert Given()(unlabelled, column=column, units=units).tolist() == [0, 255, 1, 1, 255, 2, 255]


@pytest.mark.parametrize("name", [name for name in SPLITTERS if name not in ("Random", "Stratified")])
def test_a_splitter_without_its_column_says_so(name: str) -> None:
    split_it, _ = splitter(name, (0.6, 0.2, 0.2), np.zeros(99))
    with pytest.raises(DataError, match="column"):
        split_it(np.zeros(99))
    with pytest.raises(DataError, match="has 3 values for 99 labels"):
        split_it(np.zeros(99), column=np.arange(3.0))


@pytest.mark.parametrize("name", SPLITTERS)
@pytest.mark.parametrize(("folds", "fold"), [(1, 0), (0, 0), (-2, 0), (3, 3), (3, -1), (None, 1)])
def test_folds_that_do_not_exist_are_refused(name: str, folds: int | None, fold: int) -> None:
    with pytest.raises(ConfigError, match='"split": fold'):
        splitter(name, (0.6, 0.2, 0.2), np.zeros(99), folds=folds, fold=fold)
