"""Text to hashed, tokenized and weighted words and characters."""

from __future__ import annotations

from collections import Counter
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from pipeline.data.missing import MISSING
from pipeline.data.transforms.gram_counts import GramCounts
from pipeline.data.transforms.grams import Grams, Unit, count_units, sizes_of, whole_length
from pipeline.data.transforms.hashed_text import FittedHashedText, HashedText, TextLengths
from pipeline.data.transforms.inside_words import count_inside_words, hashed_inside_words
from pipeline.data.transforms.tf_idf import TfIdf
from pipeline.data.transforms.tokenize import Tokenize
from pipeline.data.transforms.transform import fit_on
from pipeline.errors import ConfigError
from pipeline.models import mlp
from pipeline.spec import Bag, Spec, Task

SENTENCES = [
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness.",
    "Call me Ishmael. Some years ago - never mind how long precisely - having little or no money in my purse,",
    "All happy families are alike; every unhappy family is unhappy in its own way.",
    "Es war einmal ein König, der hatte eine Tochter; die Tochter war schöner als der König.",
    "",
    "the the the the 42 42",
    "Πολλὰ τὰ δεινὰ κοὐδὲν ἀνθρώπου δεινότερον πέλει.",
]
TEXTS = (
    st.none()
    | st.sampled_from([*SENTENCES, "?", " a ", "NaN", "a\u00a0b", "\x0bc\r\n"])
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
)
SETTINGS: list[Any] = [
    HashedText(),
    HashedText(ngrams=1, characters=(2, 5), max_slots=12),
    HashedText(unit="characters", ngrams=(2, 3), buckets=100, max_words=20),
    Tokenize(min_count=1),
    Tokenize(unit="characters", ngrams=3, max_size=40, max_length=9),
    TfIdf(min_count=1),
    TfIdf(unit="characters", ngrams=(1, 4), max_size=50),
]


def stored(texts: list[str | None]) -> pa.Array:
    """As `ingest` stores them."""
    stripped = pc.ascii_trim_whitespace(pa.array(texts, pa.string()))
    return pc.if_else(pc.is_in(stripped, value_set=pa.array(MISSING)), pa.scalar(None, pa.string()), stripped)


def fit(transform: Any, texts: list[str | None]) -> Any:
    return fit_on(transform, stored(texts))


def served(fitted: Any, texts: list[str | None]) -> tf.Tensor:
    return tf.constant([text or "" for text in texts], tf.string, shape=[len(texts)])


@pytest.mark.parametrize("transform", SETTINGS, ids=repr)
@settings(max_examples=8, deadline=None)
@given(train=st.lists(TEXTS, max_size=8), texts=st.lists(TEXTS, max_size=12))
def test_serving_equals_preparing_bit_for_bit(transform: Any, train: list[str | None], texts: list[str | None]) -> None:
    fitted = fit(transform, train)
    expected, layer = fitted(stored(texts)), fitted.layer()
    in_graph = tf.function(layer, input_signature=[tf.TensorSpec([None], tf.string)])
    for call in (layer, in_graph):
        found = call(served(fitted, texts)).numpy()
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        assert np.array_equal(found, expected)
    for row, text in enumerate(texts):  # a row alone is encoded as among others
        assert np.array_equal(fitted(stored([text])), expected[row : row + 1])


@pytest.mark.parametrize("transform", SETTINGS, ids=repr)
def test_many_texts_are_encoded_in_their_order_and_learnt_from_in_any_portions(transform: Any) -> None:
    texts = [f"row {row} of {row % 7} {SENTENCES[row % 7]}" for row in range(6_000)]
    column, learner = stored(list(texts)), transform.learner()
    for start in (0, 1, 4000):
        learner.add(column[start : {0: 1, 1: 4000, 4000: 6000}[start]])
    fitted = transform.fit(learner)
    assert fitted == fit_on(transform, column)
    found = fitted(column)
    assert np.array_equal(found[4000:4400], fitted(column[4000:4400]))
    assert np.array_equal(found[5990:], fitted.layer()(tf.constant(texts[5990:])).numpy())


def test_text_is_hashed_by_words_and_pairs_whatever_its_case_and_punctuation() -> None:
    fitted = fit(HashedText(characters=()), ["one two three four"])
    assert fitted == FittedHashedText(4096, 4, slots=7)
    assert FittedHashedText(4096, 4).bag == fitted.bag  # as prepared before there were runs of characters
    found = fitted(stored(["Hello, WORLD!", "hello world", "world hello", "hello", None, "...", "nan"]))
    assert found.dtype == np.int32
    assert found.shape == (7, 7)
    assert np.array_equal(found[0], found[1])
    assert found[1, :2].tolist() == found[2, 1::-1].tolist()  # the same words
    assert found[1, 2] != found[2, 2]  # another pair
    assert np.count_nonzero(found, axis=1).tolist() == [3, 3, 3, 1, 0, 0, 0]
    assert 0 <= found.min() <= found.max() < 4096


def test_words_may_be_of_any_script_and_case_folds_beyond_ascii() -> None:
    found = fit(HashedText(characters=()), ["a b"])(stored(["ÄPFEL über", "äpfel ÜBER", "Где это", "e\u0301te"]))
    assert np.array_equal(found[0], found[1])
    assert np.count_nonzero(found, axis=1).tolist() == [3, 3, 3, 1]


def test_long_texts_are_cut_to_what_nearly_all_texts_need() -> None:
    assert fit(HashedText(), ["a b c"] * 99 + ["a " * 1000]).words == 3
    assert fit(HashedText(), ["a b c"] * 50 + ["a " * 1000] * 50).words == HashedText().max_words
    assert fit(HashedText(), []).words == 1
    assert np.array_equal(*fit(HashedText(), ["a b"])(stored(["one two", "one two three"])))
    assert fit(Tokenize(max_length=5), ["a b c"] * 50 + ["a " * 1000] * 50).length == 5


@pytest.mark.parametrize(("num_words", "buckets"), [(0, 2**12), (10_000, 2**13), (2**16, 2**15), (10**9, 2**17)])
def test_buckets_grow_with_the_words_of_train(num_words: int, buckets: int) -> None:
    seen = TextLengths("words", lengths=Counter({1: num_words}))
    assert HashedText().fit(seen).buckets == buckets
    assert HashedText(buckets=99).fit(seen).buckets == 99


def test_different_words_seldom_share_a_bucket() -> None:
    texts = [f"row {row}" for row in range(10_000)]
    assert len(np.unique(fit(HashedText(), list(texts))(stored(list(texts)))[:, 1])) > 5000
    assert len(np.unique(fit(HashedText(buckets=2**17), list(texts))(stored(list(texts)))[:, 1])) > 9500


def test_runs_within_words_are_those_of_scikit_learn() -> None:
    # Of three letters at least: a shorter word, with its blanks, scikit-learn takes whole where it is below a size.
    texts = ["was the best times", "Tochter schöner König", "abc", "", "the the"]
    words = Grams("words", (1,), 99).units(tf.constant(texts))
    found = hashed_inside_words(words, (3, 4, 5), 2**40)
    vectorizer = CountVectorizer(analyzer="char_wb", ngram_range=(3, 5))
    expected = vectorizer.fit_transform(texts)
    for row, hashed in enumerate(found.to_list()):
        assert sorted(Counter(hashed).values()) == sorted(expected[row].data.tolist())


@settings(max_examples=30, deadline=None)
@given(st.lists(TEXTS, max_size=6), st.sampled_from([(1,), (4,), (2, 5), (3, 4, 5)]))
def test_runs_are_counted_as_they_are_cut(texts: list[str | None], sizes: tuple[int, ...]) -> None:
    column = stored([text.lower() if text else text for text in texts])
    words = Grams("words", (1,), 10_000).units(
        tf.constant(pc.fill_null(column, "").to_pylist(), tf.string, [len(texts)])
    )
    found = hashed_inside_words(words, sizes, 1000).row_lengths().numpy()
    assert count_inside_words(column, sizes).tolist() == found.tolist()


def test_a_misspelt_or_inflected_word_keeps_most_of_its_runs() -> None:
    fitted = fit(HashedText(characters=(3, 4), buckets=2**20), ["transferring"])
    right, wrong, other = (set(row) - {0} for row in fitted(stored(["transfer", "transfered", "exchange"])))
    assert len(right & wrong) > 0.7 * len(right)
    assert len(right & other) <= 1
    plain = fit(HashedText(characters=(), buckets=2**20), ["transferring"])
    assert not np.intersect1d(*plain(stored(["transfer", "transfered"]))).any()
    # The run "tra" within a word is no word "tra".
    assert not set(plain(stored(["ran"]))[0]) & right


def test_runs_come_after_the_words_and_what_finds_no_place_is_left_out() -> None:
    texts = stored(["alpha beta gamma", "a"])
    whole = fit(HashedText(), ["alpha beta gamma"])
    assert whole.bag.slots == 3 + 2 + (4 + 3 + 4)
    found = whole(texts)
    assert np.count_nonzero(found, axis=1).tolist() == [16, 1]
    words = fit(HashedText(characters=()), ["alpha beta gamma"])(texts)
    assert np.array_equal(found[:, :5], words)
    for most in (3, 5, 9):
        cut = fit(HashedText(max_slots=most), ["alpha beta gamma"])
        assert cut.bag.slots == most
        assert np.array_equal(cut(texts), found[:, :most])


def test_long_texts_make_no_wider_rows_than_was_said() -> None:
    long: list[str | None] = [" ".join(f"word{place * row}" for place in range(400)) for row in range(5)]
    fitted = fit(HashedText(), long)
    assert fitted.bag.slots == HashedText().max_slots
    assert np.count_nonzero(fitted(stored(long))) == 5 * fitted.bag.slots


@pytest.mark.parametrize(
    ("unit", "sizes", "most", "expected"),
    [
        ("words", (1,), 9, ["to", "be", "or", "not"]),
        ("words", (2,), 9, ["to be", "be or", "or not"]),
        ("words", (1, 3), 3, ["to", "be", "or", "to be or"]),
        ("characters", (1,), 4, ["t", "o", " ", "b"]),
        ("characters", (3,), 6, ["to ", "o b", " be", "be "]),
        ("characters", (5,), 4, []),
    ],
)
def test_grams(unit: Unit, sizes: tuple[int, ...], most: int, expected: list[str]) -> None:
    grams = Grams(unit, sizes, most)
    found = grams(tf.constant(["To  be,\tor not!" if unit == "words" else " To \n be or not "])).to_list()[0]
    assert [gram.decode() for gram in found] == expected
    assert grams.slots >= len(found)


@settings(deadline=None)
@given(st.lists(TEXTS, max_size=6), st.sampled_from(["words", "characters"]))
def test_lengths_are_those_of_the_units_that_are_cut_out(texts: list[str | None], unit: Unit) -> None:
    column = stored(texts)
    found = Grams(unit, (1,), 10_000).units(tf.constant(pc.fill_null(column, "").to_pylist(), tf.string, [len(texts)]))
    changes_length = any(len((text or "").lower()) != len(text or "") for text in texts)  # such as İ
    if not changes_length:
        assert count_units(column, unit) == Counter(found.row_lengths().numpy().tolist())


def test_nearly_all_texts_fit_whole() -> None:
    assert whole_length(Counter(), 9) == 1
    assert whole_length(Counter({0: 5}), 9) == 1
    assert whole_length(Counter({2: 98, 7: 2}), 9) == 7
    assert whole_length(Counter({2: 99, 7: 1}), 9) == 2
    assert whole_length(Counter({20: 1}), 9) == 9


def test_tokens_stand_in_the_order_of_the_text_and_are_numbered_by_falling_frequency() -> None:
    fitted = fit(Tokenize(), ["the cat saw the dog", "the dog", "a cat", None])
    assert fitted.tokens == ("the", "cat", "dog")
    assert fitted.bag == Bag(5, 5, fitted.ngrams == (1,))
    assert fitted(stored(["dog saw the CAT!", "", None])).tolist() == [[4, 1, 2, 3, 0], [0] * 5, [0] * 5]
    assert fit(Tokenize(max_size=1), ["b b a a c"]).tokens == ("a",)
    assert fit(Tokenize(), []).bag == Bag(2, 1, ordered=True)


def test_pairs_follow_the_words_of_a_text() -> None:
    fitted = fit(Tokenize(ngrams=2, min_count=1), ["a b a b"])
    assert fitted.tokens == ("a", "a b", "b", "b a")
    assert fitted(stored(["a b a"])).tolist() == [[2, 4, 2, 3, 5, 0, 0]]


@pytest.mark.parametrize("ngrams", [1, (1, 2), 3])
def test_counts_are_those_of_scikit_learn(ngrams: int | tuple[int, ...]) -> None:
    sizes = sizes_of(ngrams)
    for once in (False, True):
        counts = GramCounts(Grams("words", sizes, 999), once_a_text=once)
        counts.add(stored([*SENTENCES]))
        vectorizer = CountVectorizer(ngram_range=(sizes[0], sizes[-1]), token_pattern=r"[^\W_]+", binary=once)
        found = np.asarray(vectorizer.fit_transform(SENTENCES[:6]).sum(axis=0)).ravel()
        expected = dict(zip(vectorizer.get_feature_names_out(), found.tolist(), strict=True))
        assert {gram: count for gram, count in counts.counts.items() if gram in expected} == expected
        assert counts.num_texts == len(SENTENCES)


@pytest.mark.parametrize("transform", [TfIdf(min_count=1), TfIdf(ngrams=2, max_size=30), TfIdf("characters", (2, 3))])
def test_tf_idf_is_that_of_scikit_learn(transform: TfIdf) -> None:
    texts = [*SENTENCES, *(f"{SENTENCES[row % 5]} {SENTENCES[row % 3]}" for row in range(40))]
    fitted = fit(transform, list(texts))
    grams = Grams(transform.unit, sizes_of(transform.ngrams), transform.max_length)

    def tokens(text: str) -> list[str]:
        return [gram.decode() for gram in grams(tf.constant([text])).to_list()[0]]

    vectorizer = TfidfVectorizer(analyzer=tokens, vocabulary=fitted.tokens)
    expected = vectorizer.fit_transform(texts).toarray()
    found = fitted(stored(list(texts)))
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 1e-6
    others = ["the age of the age of wisdom and of whales", "nothing known", ""]
    assert np.abs(fitted(stored(list(others))) - vectorizer.transform(others).toarray()).max() < 1e-6


def test_tf_idf_rows_have_length_one_or_zero_however_often_a_word_comes() -> None:
    fitted = fit(TfIdf(min_count=1), ["a b", "a", None])
    rows = fitted(stored(["a " * 100_000 + "b", "b", None, "c", "a b"])).astype(np.float64)
    assert np.abs(np.linalg.norm(rows, axis=1) - [1, 1, 0, 0, 1]).max() < 1e-6
    assert rows[4, 1] > rows[4, 0]  # what fewer texts hold counts for more
    assert fit(TfIdf(), [None])(stored(["a"])).tolist() == [[0.0]]


def test_what_is_seldom_is_forgotten_where_there_is_too_much_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.data.transforms.gram_counts._COUNTED", 3)
    counts = GramCounts(Grams("words", (1,), 9))
    counts.add(pa.array(["a b c d a"]))
    assert counts.counts == Counter(a=2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HashedText(ngrams=0), '"ngrams" is 0'),
        (lambda: Tokenize(ngrams=()), r'"ngrams" is \[\]'),
        (lambda: TfIdf(ngrams=(1, 9)), r'"ngrams" is \[1, 9\]'),
        (lambda: HashedText(buckets=1), "HashedText: buckets is 1"),
        (lambda: HashedText(characters=(3, 9)), r'"characters" is \[3, 9\]'),
        (lambda: HashedText(unit="characters", characters=(3,)), r"HashedText: characters is \[3\] beside unit"),
        (lambda: HashedText(max_slots=0), "HashedText: max_slots is 0"),
        (lambda: HashedText(min_buckets=2**18), "HashedText: min_buckets is 262144"),
        (lambda: Tokenize(max_size=0), "Tokenize: max_size is 0"),
        (lambda: TfIdf(max_length=10**6), "TfIdf: max_length is 1000000"),
        (lambda: TfIdf(unit="letters"), 'TfIdf: unit is "letters"'),  # type: ignore[arg-type]
    ],
)
def test_arguments_out_of_range_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        make()
    assert caught.value.expected


def banking(num_rows: int, seed: int) -> tuple[list[str | None], np.ndarray]:
    """Short questions of 12 intents. Words are shared between intents; only some of them tell."""
    random = np.random.default_rng(seed)
    fillers = ["please", "can", "you", "tell", "me", "my", "the", "a", "I", "want", "how", "do", "it", "is", "today"]
    nouns = [f"noun{place}" for place in range(24)]
    labels = random.integers(0, 12, num_rows)
    texts = []
    for label in labels:
        told = [nouns[label], nouns[(label + 1) % 12], nouns[12 + random.integers(0, 12)]]  # only two together tell
        words = [*random.choice(fillers, random.integers(4, 10)), *told]
        random.shuffle(words)
        texts.append(" ".join(words).capitalize() + random.choice([".", "?", "!"]))
    return texts, labels.astype(np.int32)


@pytest.mark.parametrize("transform", [Tokenize(), TfIdf(), HashedText(), Tokenize(unit="characters", ngrams=(4, 5))])
def test_a_small_network_learns_intents_from_words(transform: Any) -> None:
    keras.utils.set_random_seed(0)
    texts, labels = banking(800, seed=1)
    unseen, expected = banking(300, seed=2)
    fitted = fit(transform, texts)
    task: Task = "multiclass"
    if fitted.part == "bags":
        spec = Spec(task, 12, bags=(fitted.bag,), num_train=800)
    else:
        spec = Spec(task, 12, num_numeric=fitted.width, num_train=800)
    model = mlp(spec, width=64, depth=1)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    model.fit({fitted.part: fitted(stored(texts))}, labels, batch_size=64, epochs=5, verbose=0)
    found = model.predict({fitted.part: fitted(stored(unseen))}, verbose=0).argmax(axis=1)
    assert (found == expected).mean() > 0.8  # by chance: 0.08
