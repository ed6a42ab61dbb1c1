"""Categories and tags to indices and to columns of 0 and 1."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from pipeline.data.transforms import FoldRare, HashCategory, OneHot, Tags, Vocabulary
from pipeline.data.transforms.tags import FittedTags
from pipeline.data.transforms.transform import fit_on
from pipeline.data.transforms.vocabulary import CountLearner, FittedVocabulary
from pipeline.errors import ConfigError
from pipeline.spec import Bag
from tests.columns import encoded, fitted_on, stored


def vocabulary(train: list[str], **arguments: int) -> FittedVocabulary:
    fitted: FittedVocabulary = fitted_on(Vocabulary(**arguments), train, "categorical")
    return fitted


def tags(train: list[list[str] | None], **arguments: Any) -> FittedTags:
    fitted: FittedTags = fitted_on(Tags(**arguments), train, "tags")
    return fitted


def test_tokens_come_by_falling_frequency_then_by_the_alphabet() -> None:
    counts = Counter({"rare": 1, "b": 3, "a": 3, "often": 9})
    assert Vocabulary(min_count=1).fit(CountLearner(counts)).tokens == ("often", "a", "b", "rare")
    assert Vocabulary(min_count=2).fit(CountLearner(counts)).tokens == ("often", "a", "b")
    assert Vocabulary(max_size=2, min_count=1).fit(CountLearner(counts)).tokens == ("often", "a")
    assert Vocabulary(min_count=2).fit(CountLearner(counts)).size == 5
    assert Vocabulary().fit(CountLearner()).tokens == ()


def test_missing_is_0_unknown_is_1_and_tokens_follow() -> None:
    fitted = vocabulary(["a", "a", "b", "b", "b", "once"])
    found = encoded(fitted, ["b", " a ", "once", "never", "?", "", "nan"], "categorical")
    assert found.tolist() == [[2], [3], [1], [1], [0], [0], [0]]
    assert found.dtype == np.int32


def test_a_dictionary_is_encoded_as_its_values_are() -> None:
    fitted = vocabulary(["a", "a", "b", "b", "b"])
    plain = stored(["b", "never", "?", "a", ""], "categorical")
    assert np.array_equal(fitted(plain.dictionary_encode()), fitted(plain))
    codes = pa.array([2, None, 0, 1, 1], pa.int32())
    found = fitted(pa.DictionaryArray.from_arrays(codes, pa.array(["b", None, "new"])))
    assert found.tolist() == [[1], [0], [2], [0], [0]]


def test_tags_keep_their_order_and_lose_what_is_missing_or_has_no_place() -> None:
    fitted = tags([["a", "b"], ["b"], ["b", "a", "rare"]])
    assert (fitted.tokens, fitted.slots, fitted.bag) == (("b", "a"), 3, Bag(4, 3))
    values = [["a", "b"], [" b ", "", "?", "new"], None, [], ["a|b"], ["a"] * 9, [None, "b"]]
    found = encoded(fitted, values, "tags")
    assert found.tolist() == [[3, 2, 0], [2, 1, 0], [0, 0, 0], [0, 0, 0], [3, 2, 0], [3, 3, 3], [2, 0, 0]]
    assert found.dtype == np.int32
    assert np.array_equal(fitted(stored([["x"], *values], "tags")[1:]), found)  # a slice


def test_tags_have_a_slot_for_each_up_to_a_limit_and_one_at_least() -> None:
    assert tags([[str(tag) for tag in range(100)]]).slots == Tags().max_slots
    assert tags([]).slots == 1
    assert tags([], separator=";").layer()(tf.constant(["a;b", ""])).numpy().tolist() == [[1], [0]]


TOWNS = ["a"] * 6 + ["b"] * 3 + ["c"] * 2 + ["once"]


def test_one_hot_agrees_with_scikit_learn() -> None:
    from sklearn.preprocessing import OneHotEncoder

    found = encoded(fitted_on(OneHot(), TOWNS, "categorical"), TOWNS, "categorical")
    expected = OneHotEncoder(sparse_output=False, min_frequency=2, categories=[["a", "b", "c", "once"]])
    # There the rare come last, here what is not known comes first.
    known = expected.fit_transform(np.asarray(TOWNS, object)[:, None])
    assert np.array_equal(found, np.roll(known, 1, axis=1))
    assert found.dtype == np.float32


def test_one_hot_has_a_column_for_what_is_missing_if_train_missed_anything() -> None:
    missed, whole = (fitted_on(OneHot(), [*TOWNS, *more], "categorical") for more in (["?"], []))
    assert encoded(missed, ["", "never", "b"], "categorical").tolist() == [
        [1.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 1.0, 0.0],
    ]
    assert encoded(whole, ["", "never"], "categorical").tolist() == [[0.0] * 4, [1.0, 0.0, 0.0, 0.0]]
    assert (missed.width, missed.lead, whole.width) == (5, 0, 4)


def test_one_hot_keeps_the_most_frequent() -> None:
    assert fitted_on(OneHot(max_size=2), TOWNS, "categorical").tokens == ("a", "b")


def test_hashed_categories_share_an_index_only_by_chance() -> None:
    names = [f"user {number}" for number in range(1000)]
    found = encoded(HashCategory(buckets=2**20), [*names, "?", " user 7 "], "categorical")[:, 0]
    assert len(set(found[:1000].tolist())) > 995
    assert (found[1000], found[1001]) == (0, found[7])
    few = encoded(HashCategory(buckets=4), names, "categorical")
    assert sorted(set(few.ravel().tolist())) == [1, 2, 3, 4]
    assert HashCategory(buckets=4).size == 5
    # Those of FarmHash's fingerprint: another one would make old models wrong.
    assert encoded(HashCategory(), ["a", "town"], "categorical").ravel().tolist() == [484, 763]


def test_rare_categories_have_an_index_of_their_own_apart_from_the_unknown() -> None:
    fitted = fitted_on(FoldRare(0.2), [*TOWNS, "?", "?"], "categorical")
    assert (fitted.tokens, fitted.rare, fitted.size) == (("a", "b"), ("c",), 5)
    found = encoded(fitted, ["a", "b", "c", "once", "never", "?"], "categorical")
    assert found.ravel().tolist() == [3, 4, 2, 1, 1, 0]
    assert found.dtype == np.int32


def test_of_very_many_rare_categories_only_the_most_frequent_are_remembered() -> None:
    train = [f"{number:03d}" for number in range(300) for _ in range(2 + number % 2)]
    fitted = fitted_on(FoldRare(0.1, max_size=100), train, "categorical")
    assert (fitted.tokens, len(fitted.rare)) == ((), 100)
    assert encoded(fitted, ["001", "000"], "categorical").ravel().tolist() == [2, 1]


@pytest.mark.parametrize("make", [lambda: HashCategory(buckets=0), lambda: FoldRare(0.0), lambda: FoldRare(1.0)])
def test_arguments_out_of_range_are_refused(make: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert caught.value.expected


@pytest.mark.parametrize("transform", [Vocabulary(), OneHot(), HashCategory(buckets=9), FoldRare(0.2)], ids=repr)
def test_categories_may_come_as_dictionaries_however_they_are_cut(transform: Any) -> None:
    plain = stored([*TOWNS, "?", "never"], "categorical")
    learner = transform.learner()
    for part in (plain[:5], plain[5:6], plain[6:].dictionary_encode()):
        learner.add(part)
    fitted = transform.fit(learner)
    assert fitted == fit_on(transform, plain.dictionary_encode()) == fit_on(transform, plain)
    assert np.array_equal(fitted(plain.dictionary_encode()), fitted(plain))
    codes = pa.array([2, None, 0, 1, 1], pa.int32())
    again = pa.DictionaryArray.from_arrays(codes, pa.array(["b", None, "new"]))
    assert np.array_equal(fitted(again), fitted(pa.array(["new", None, "b", None, None])))
    assert np.array_equal(fitted(plain[3:9]), fitted(plain)[3:9])
