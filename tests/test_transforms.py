"""What a transform computes on a prepared column is what its serving layer computes on the raw one, bit for bit."""

from __future__ import annotations

import calendar
import datetime
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.data.missing import MISSING
from pipeline.data.rows import labels_of
from pipeline.data.statistics import Moments, count_values
from pipeline.data.transforms import (
    ClassIndex,
    DateTimeParts,
    HashedText,
    ResizeImage,
    ScaleTarget,
    Standardize,
    Tags,
    Transforms,
    Vocabulary,
)
from pipeline.data.transforms.calendar import FIRST_MICROSECOND, LAST_MICROSECOND, day_of_year, days_from_date, weekday
from pipeline.data.transforms.date_time_parts import FittedDateTimeParts, days_of, minutes_of
from pipeline.data.transforms.hashed_text import FittedHashedText, count_words
from pipeline.data.transforms.iso_time import parse_iso_time
from pipeline.data.transforms.standardize import LIMIT, Standardized
from pipeline.data.transforms.tags import FittedTags, split_tags
from pipeline.data.transforms.target import FittedClassIndex, ScaledTarget, class_counts, looks_like_classes
from pipeline.data.transforms.vocabulary import FittedVocabulary
from pipeline.errors import DataError
from pipeline.export.raw import raw_column
from pipeline.spec import Bag, Spec

# Subnormal numbers apart, which TensorFlow takes for 0.
FLOATS = st.floats(width=32, allow_subnormal=False) | st.sampled_from([float("nan"), float("inf"), 1e300, 1e9 + 0.1])
TEXTS = st.sampled_from(
    ["a", " a ", "b\t", "\x0bc\r\n", "?", "", " NaN", "nan", "ä", "\u00a0a", "never seen"]
) | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4)

SENTENCES = st.none() | TEXTS | st.lists(TEXTS, max_size=8).map(" ".join)


def image_bytes(width: int, height: int, mode: str = "L", kind: str = "PNG", seed: int = 0) -> bytes:
    shape = (height, width) if mode == "L" else (height, width, 3)
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8), mode).save(buffer, kind)
    return buffer.getvalue()


IMAGES = [
    image_bytes(8, 8),
    image_bytes(5, 9, "RGB", seed=1),
    image_bytes(20, 30, "RGB", "JPEG", seed=2),
    image_bytes(40, 3, "L", "JPEG", seed=3),
    image_bytes(1, 1),
]


TIMES = st.datetimes(datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31, 23, 59, 59, 999_999)) | st.none()
TAG_LISTS = st.none() | st.lists(TEXTS, max_size=5)
STORED_TYPES = {
    "numeric": pa.float64(),
    "categorical": pa.string(),
    "datetime": pa.timestamp("us"),
    "tags": pa.list_(pa.string()),
    "text": pa.string(),
    "image": pa.binary(),
}


def stored(values: list[Any], kind: str) -> pa.Array:
    """A column as `ingest` stores it."""
    column = pa.array(values, STORED_TYPES[kind])
    if kind == "numeric":
        return pc.if_else(pc.is_finite(column), column, pa.scalar(None, pa.float64()))
    if kind in ("categorical", "text"):
        stripped = pc.ascii_trim_whitespace(column)
        return pc.if_else(pc.is_in(stripped, value_set=pa.array(MISSING)), pa.scalar(None, pa.string()), stripped)
    return column


def date_time(train: list[datetime.datetime | None]) -> FittedDateTimeParts:
    column = stored(train, "datetime")
    return DateTimeParts().fit(Moments.of(days_of(column)), Moments.of(minutes_of(column)))


def tags(train: list[list[str] | None], **arguments: Any) -> FittedTags:
    found = split_tags(stored(train, "tags"))
    longest = max(found.value_lengths().to_pylist(), default=0)
    return Tags(**arguments).fit(count_values(found.flatten()), longest)


def hashed_text(train: list[str | None], **arguments: int) -> FittedHashedText:
    return HashedText(**arguments).fit(count_words(stored(train, "text")))


def standardized(train: list[float]) -> Standardized:
    return Standardize().fit(Moments.of(labels_of(stored(train, "numeric"))))


def vocabulary(train: list[str], **arguments: int) -> FittedVocabulary:
    return Vocabulary(**arguments).fit(count_values(stored(train, "categorical")))


@st.composite
def fitted_and_values(draw: Any) -> tuple[Any, list[Any], str]:
    """A transform fitted on some rows, other raw rows for it, and the kind of the column."""
    kind = draw(st.sampled_from(list(STORED_TYPES)))
    if kind == "numeric":
        return standardized(draw(st.lists(FLOATS, max_size=20))), draw(st.lists(FLOATS, max_size=20)), kind
    if kind == "categorical":
        fitted = vocabulary(draw(st.lists(TEXTS, max_size=20)), min_count=draw(st.integers(1, 2)))
        return fitted, draw(st.lists(TEXTS, max_size=20)), kind
    if kind == "datetime":
        return date_time(draw(st.lists(TIMES, max_size=6))), draw(st.lists(TIMES, max_size=20)), kind
    if kind == "tags":
        fitted = tags(draw(st.lists(TAG_LISTS, max_size=6)), max_slots=draw(st.integers(1, 6)), min_count=1)
        return fitted, draw(st.lists(TAG_LISTS, max_size=20)), kind
    if kind == "text":
        return hashed_text(draw(st.lists(SENTENCES, max_size=6))), draw(st.lists(SENTENCES, max_size=20)), kind
    size = draw(st.sampled_from([(8, 8), (5, 7), (1, 1)]))
    return (
        ResizeImage(*size, draw(st.sampled_from([1, 3]))),
        draw(st.lists(st.sampled_from([*IMAGES, b"", None]), max_size=4)),
        kind,
    )


def prepared(fitted: Any, values: list[Any], kind: str) -> np.ndarray:
    return fitted(stored(values, kind))


def served(fitted: Any, values: list[Any], kind: str, in_graph: bool) -> np.ndarray:
    layer = fitted.layer()
    if kind in ("categorical", "text"):  # as they came, before they were stripped
        raw = tf.constant([value or "" for value in values], tf.string, shape=[len(values)])
    elif kind == "numeric":
        with np.errstate(over="ignore"):
            raw = tf.constant(np.asarray(values, np.float64).astype(fitted.dtype))
    else:
        column = raw_column(stored(values, kind), fitted.dtype, is_image=kind == "image")
        raw = tf.constant(column.tolist(), fitted.dtype, shape=[len(values)])
    call = tf.function(layer, input_signature=[tf.TensorSpec([None], raw.dtype)]) if in_graph else layer
    return call(raw).numpy()


@settings(max_examples=120, deadline=None)
@given(fitted_and_values())
def test_serving_equals_preparing_bit_for_bit(case: tuple[Any, list[Any], str]) -> None:
    fitted, values, kind = case
    expected = prepared(fitted, values, kind)
    for in_graph in (False, True):
        found = served(fitted, values, kind, in_graph)
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        assert np.array_equal(found, expected)


@settings(max_examples=60, deadline=None)
@given(fitted_and_values())
def test_a_row_alone_is_encoded_as_among_others(case: tuple[Any, list[Any], str]) -> None:
    fitted, values, kind = case
    assume(values)
    together = prepared(fitted, values, kind)
    for row, value in enumerate(values):
        assert np.array_equal(prepared(fitted, [value], kind), together[row : row + 1])


@given(st.lists(FLOATS, max_size=20), st.lists(FLOATS, min_size=1, max_size=20))
def test_standardized_numbers_are_finite_and_bounded_whatever_comes(train: list[float], values: list[float]) -> None:
    found = prepared(standardized(train), values, "numeric")
    assert np.isfinite(found).all()
    assert np.abs(found).max() <= LIMIT


@pytest.mark.parametrize("train", [[3.0] * 5, [float("nan")] * 5, [], [0.1] * 7 + [float("nan")], [1e9, 1e9 + 1e-7]])
def test_a_column_that_tells_nothing_becomes_zero_whatever_comes_later(train: list[float]) -> None:
    fitted = standardized(train)
    assert not prepared(fitted, [3.0, -1e300, float("nan"), float("inf"), 0.1], "numeric")[:, 0].any()


def test_standardized_train_values_have_mean_zero_and_variance_one() -> None:
    train = np.random.default_rng(0).gamma(2.0, 100.0, 5000)
    found = prepared(standardized(train.tolist()), train.tolist(), "numeric").astype(np.float64)
    assert found.shape == (5000, 1)
    assert abs(found.mean()) < 1e-6
    assert abs(found.std() - 1) < 1e-6


def test_values_far_from_zero_are_served_in_float64_and_keep_their_differences() -> None:
    train = [1e9 + step for step in range(10)]
    fitted = standardized(train)
    assert fitted.dtype == "float64"
    assert len(set(prepared(fitted, train, "numeric").ravel().tolist())) == 10
    assert standardized([1.0, 2.0, 3.0]).dtype == "float32"


def test_an_indicator_tells_what_is_missing_if_train_missed_anything() -> None:
    values = [1.0, float("nan"), float("inf")]
    assert prepared(standardized([1.0, 2.0, float("nan")]), values, "numeric")[:, 1].tolist() == [0.0, 1.0, 1.0]
    assert prepared(standardized([1.0, 2.0]), values, "numeric").shape == (3, 1)


def test_a_missing_number_becomes_the_mean() -> None:
    assert prepared(standardized([10.0, 20.0]), [float("nan"), 15.0], "numeric").tolist() == [[0.0], [0.0]]


def test_tokens_come_by_falling_frequency_then_by_the_alphabet() -> None:
    counts = Counter({"rare": 1, "b": 3, "a": 3, "often": 9})
    assert Vocabulary(min_count=1).fit(counts).tokens == ("often", "a", "b", "rare")
    assert Vocabulary(min_count=2).fit(counts).tokens == ("often", "a", "b")
    assert Vocabulary(max_size=2, min_count=1).fit(counts).tokens == ("often", "a")
    assert Vocabulary(min_count=2).fit(counts).size == 5
    assert Vocabulary().fit(Counter()).tokens == ()


def test_missing_is_0_unknown_is_1_and_tokens_follow() -> None:
    fitted = vocabulary(["a", "a", "b", "b", "b", "once"])
    found = prepared(fitted, ["b", " a ", "once", "never", "?", "", "nan"], "categorical")
    assert found.tolist() == [[2], [3], [1], [1], [0], [0], [0]]
    assert found.dtype == np.int32


def test_a_dictionary_is_encoded_as_its_values_are() -> None:
    fitted = vocabulary(["a", "a", "b", "b", "b"])
    plain = stored(["b", "never", "?", "a", ""], "categorical")
    assert np.array_equal(fitted(plain.dictionary_encode()), fitted(plain))
    codes = pa.array([2, None, 0, 1, 1], pa.int32())
    found = fitted(pa.DictionaryArray.from_arrays(codes, pa.array(["b", None, "new"])))
    assert found.tolist() == [[1], [0], [2], [0], [0]]


@given(TIMES)
def test_the_calendar_agrees_with_that_of_python(time: datetime.datetime | None) -> None:
    assume(time is not None)
    date = time.date()  # type: ignore[union-attr]
    days = (date - datetime.date(1970, 1, 1)).days
    assert days_from_date(date.year, date.month, date.day) == days
    assert weekday(days) == date.weekday()
    assert day_of_year(days) == date.timetuple().tm_yday - 1
    length = calendar.monthrange(date.year, date.month)[1]
    assert days_from_date(date.year, date.month + 1, 1) - days_from_date(date.year, date.month, 1) == length


@pytest.mark.parametrize(
    "text",
    [
        "2024-02-29",
        "1969-12-31",
        "0001-01-01",
        "9999-12-31T23:59:59.999999",
        "2024-05-06 07",
        "2024-05-06 07:08",
        "2024-05-06T07:08:09",
        "2024-05-06T07:08:09Z",
        "2024-05-06T07:08:09.5",
        "2024-05-06 07:08:09.000001Z",
        "2024-05-06T07:08+02:00",
        "2024-01-01T00:30:00+0130",
        "2023-12-31T23:30-01",
    ],
)
def test_text_is_read_as_a_time_as_arrow_reads_it_when_rows_are_stored(text: str) -> None:
    zoned = pa.timestamp("us", "UTC")
    clock = text[10:]
    expected = pc.cast(pa.array([text]), zoned if set(clock) & set("Z+-") else pa.timestamp("us")).cast(pa.int64())
    found, exists = parse_iso_time(tf.constant([f" {text}\t"]))
    assert exists.numpy().tolist() == [True]
    assert found.numpy().tolist() == expected.to_pylist()


@pytest.mark.parametrize(
    "text",
    [
        *("", "?", "NaN", "soon", "2024", "2024-1-1", "10000-01-01", "2024-01-01X", "x2024-01-01", "２０２４-01-01"),
        *("2024-13-01", "2024-00-10", "2024-01-00", "2023-02-29", "1900-02-29", "2024-04-31", "0000-01-01"),
        *("2024-01-01T24:00", "2024-01-01T00:60", "2024-01-01T00:00:60", "2024-01-01T00:00+01:60"),
        "2024-01-01\n2024-01-01",
    ],
)
def test_text_that_is_no_time_is_missing(text: str) -> None:
    fitted = date_time([datetime.datetime(2024, 1, 1), datetime.datetime(2024, 2, 1), None])
    found = fitted.layer()(tf.constant([text])).numpy()
    assert found.tolist() == [[0.0] * (fitted.width - 1) + [1.0]]
    assert np.array_equal(found, prepared(fitted, [None], "datetime"))


@given(TIMES)
def test_a_stored_time_survives_the_text_that_is_served(time: datetime.datetime | None) -> None:
    column = stored([time], "datetime")
    found, exists = parse_iso_time(tf.constant(raw_column(column, "string").tolist()))
    assert bool(exists[0]) == (time is not None)
    assert found.numpy()[0] == (column.cast(pa.int64())[0].as_py() or 0)


def test_times_beyond_four_digits_of_the_year_are_missing() -> None:
    column = pa.array([FIRST_MICROSECOND - 1, FIRST_MICROSECOND, LAST_MICROSECOND, LAST_MICROSECOND + 1])
    fitted = FittedDateTimeParts(0, 1e-20, has_clock=True, indicator=True)
    assert fitted(column.cast(pa.timestamp("us")))[:, -1].tolist() == [1.0, 0.0, 0.0, 1.0]


def test_a_time_is_its_distance_from_the_mean_and_its_places_in_day_week_and_year() -> None:
    monday, tuesday = datetime.datetime(2024, 1, 1), datetime.datetime(2024, 1, 2, 18)
    fitted = date_time([monday, tuesday])
    found = prepared(fitted, [monday, tuesday], "datetime")
    assert found[:, 0].tolist() == pytest.approx([-1.0, 1.0])
    quarter, day, year = 2 * np.pi * 3 / 4, 2 * np.pi / 7, 2 * np.pi / 366
    assert found[0, 1:].tolist() == pytest.approx([0, 1, 0, 1, 0, 1], abs=1e-6)
    expected = [f(angle) for angle in (quarter, day, year) for f in (np.sin, np.cos)]
    assert found[1, 1:].tolist() == pytest.approx(expected, abs=1e-6)


def test_dates_without_a_clock_have_no_place_in_the_day() -> None:
    dates = [datetime.datetime(2024, 1, day) for day in (1, 2, 5)]
    assert prepared(date_time(dates), dates, "datetime").shape == (3, 5)
    assert prepared(date_time([*dates, datetime.datetime(2024, 1, 9, 0, 1)]), dates, "datetime").shape == (3, 7)


@given(st.lists(TIMES, max_size=5), st.lists(TIMES, min_size=1, max_size=5))
def test_date_time_parts_are_finite_and_bounded_whatever_comes(train: list[Any], values: list[Any]) -> None:
    found = prepared(date_time(train), values, "datetime")
    assert np.abs(found).max() <= LIMIT
    if len(set(train) - {None}) < 2:
        assert not found[:, 0].any()


def test_tags_keep_their_order_and_lose_what_is_missing_or_has_no_place() -> None:
    fitted = tags([["a", "b"], ["b"], ["b", "a", "rare"]])
    assert (fitted.tokens, fitted.slots, fitted.bag) == (("b", "a"), 3, Bag(4, 3))
    values = [["a", "b"], [" b ", "", "?", "new"], None, [], ["a|b"], ["a"] * 9, [None, "b"]]
    found = prepared(fitted, values, "tags")
    assert found.tolist() == [[3, 2, 0], [2, 1, 0], [0, 0, 0], [0, 0, 0], [3, 2, 0], [3, 3, 3], [2, 0, 0]]
    assert found.dtype == np.int32
    assert np.array_equal(fitted(stored([["x"], *values], "tags")[1:]), found)  # a slice


def test_tags_have_a_slot_for_each_up_to_a_limit_and_one_at_least() -> None:
    assert tags([[str(tag) for tag in range(100)]]).slots == Tags().max_slots
    assert tags([]).slots == 1
    assert tags([], separator=";").layer()(tf.constant(["a;b", ""])).numpy().tolist() == [[1], [0]]


def test_text_is_hashed_by_words_and_pairs_whatever_its_case_and_punctuation() -> None:
    fitted = hashed_text(["one two three four"])
    assert fitted == FittedHashedText(4096, 4)
    found = prepared(fitted, ["Hello, WORLD!", "hello world", "world hello", "hello", None, "...", "nan"], "text")
    assert found.dtype == np.int32
    assert found.shape == (7, 7)
    assert np.array_equal(found[0], found[1])
    assert found[1, :2].tolist() == found[2, 1::-1].tolist()  # the same words
    assert found[1, 2] != found[2, 2]  # another pair
    assert np.count_nonzero(found, axis=1).tolist() == [3, 3, 3, 1, 0, 0, 0]
    assert 0 <= found.min() <= found.max() < 4096


def test_words_may_be_of_any_script_and_case_folds_beyond_ascii() -> None:
    found = prepared(hashed_text(["a b"]), ["ÄPFEL über", "äpfel ÜBER", "Где это", "e\u0301te"], "text")
    assert np.array_equal(found[0], found[1])
    assert np.count_nonzero(found, axis=1).tolist() == [3, 3, 3, 1]


def test_long_texts_are_cut_to_what_nearly_all_texts_need() -> None:
    assert hashed_text(["a b c"] * 99 + ["a " * 1000]).words == 3
    assert hashed_text(["a b c"] * 50 + ["a " * 1000] * 50).words == HashedText().max_words
    assert hashed_text([]).words == 1
    fitted = hashed_text(["a b"])
    assert np.array_equal(*prepared(fitted, ["one two", "one two three"], "text"))


@pytest.mark.parametrize(("num_words", "buckets"), [(0, 2**12), (10_000, 2**13), (2**16, 2**15), (10**9, 2**17)])
def test_buckets_grow_with_the_words_of_train(num_words: int, buckets: int) -> None:
    assert HashedText().fit(Counter({1: num_words})).buckets == buckets


def test_many_texts_are_hashed_as_few_are() -> None:
    texts = [f"row {row} of {row % 7}" for row in range(10_000)]
    fitted = hashed_text(texts)
    found = prepared(fitted, texts, "text")
    assert np.array_equal(found[8000:8400], prepared(fitted, texts[8000:8400], "text"))
    assert len(np.unique(found[:, 1])) > 3500  # few collide


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_of_the_right_size_keeps_its_pixels(channels: int) -> None:
    encoded = image_bytes(6, 4, "L" if channels == 1 else "RGB")
    expected = np.asarray(Image.open(io.BytesIO(encoded))).reshape(4, 6, channels)
    assert np.array_equal(ResizeImage(4, 6, channels)(pa.array([encoded]))[0], expected)


def test_paths_and_bytes_give_the_same_pixels(tmp_path: Path) -> None:
    paths = [tmp_path / f"{row}.img" for row in range(len(IMAGES))]
    for path, encoded in zip(paths, IMAGES, strict=True):
        path.write_bytes(encoded)
    resize = ResizeImage(6, 5, 3)
    assert np.array_equal(resize(pa.array([str(path) for path in paths])), resize(pa.array(IMAGES)))


def test_images_stay_in_their_order() -> None:
    encoded = [image_bytes(8, 8, seed=seed) for seed in range(50)]
    resize = ResizeImage(8, 8, 1)
    assert np.array_equal(resize(pa.array(encoded)), np.concatenate([resize(pa.array([one])) for one in encoded]))


def test_a_smaller_image_keeps_its_brightness() -> None:
    half_dark = np.zeros((64, 64), np.uint8)
    half_dark[::2] = 255
    buffer = io.BytesIO()
    Image.fromarray(half_dark).save(buffer, "PNG")
    pixels = ResizeImage(8, 8, 1)(pa.array([buffer.getvalue()])).astype(float)
    assert np.abs(pixels - 127.5).max() < 20  # without antialiasing rows would be 0 or 255


@pytest.mark.parametrize("content", [b"no image", IMAGES[2][:60]])
def test_a_damaged_image_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "good.png").write_bytes(IMAGES[0])
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.png cannot be decoded"):
        ResizeImage(8, 8, 1)(pa.array([str(tmp_path / "good.png"), None, str(tmp_path / "bad.png")]))
    with pytest.raises(DataError, match="image 2 cannot be decoded"):
        ResizeImage(8, 8, 1)(pa.array([IMAGES[0], content]))


def test_a_missing_image_is_black_and_takes_no_place_of_another() -> None:
    resize = ResizeImage(8, 8, 1)
    found = resize(pa.array([None, IMAGES[0], b"", IMAGES[1]]))
    assert not found[[0, 2]].any()
    assert np.array_equal(found[[1, 3]], resize(pa.array([IMAGES[0], IMAGES[1]])))
    assert resize(pa.array([None, ""], pa.string())).shape == (2, 8, 8, 1)


def test_an_image_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.png cannot be decoded"):
        ResizeImage(8, 8, 1)(pa.array([str(tmp_path / "gone.png")]))


def test_classes_are_sorted_and_unknown_ones_are_minus_one() -> None:
    fitted = ClassIndex().fit(np.asarray(["dog", "cat", "dog"], object))
    assert fitted == FittedClassIndex(("cat", "dog"), integer=False)
    found = fitted(np.asarray(["dog", "bird", "cat"], object))
    assert (found.tolist(), found.dtype) == ([1, -1, 0], np.dtype(np.int32))


def test_whole_numbers_are_classes_by_value_with_names_without_a_point() -> None:
    fitted = ClassIndex().fit(np.asarray([10.0, 2.0, -1.0]))
    assert fitted == FittedClassIndex(("-1", "2", "10"), integer=True)
    assert fitted(np.asarray([2.0, 10.0, 3.0])).tolist() == [1, 2, -1]
    assert ClassIndex().fit(np.asarray([0.5, 1.0])) == FittedClassIndex(("0.5", "1"), integer=False)


@pytest.mark.parametrize("labels", [np.asarray(["a", "a"], object), np.asarray([1.0, 1.0]), np.asarray([])])
def test_fewer_than_two_classes_are_refused(labels: np.ndarray) -> None:
    with pytest.raises(DataError, match="one class"):
        ClassIndex().fit(labels)


def test_a_scaled_target_is_standardized_and_has_an_inverse() -> None:
    labels = 1e6 + np.random.default_rng(0).normal(0, 50, 1000)
    fitted = ScaleTarget().fit(labels)
    scaled = fitted(labels)
    assert scaled.dtype == np.float32
    assert abs(scaled.mean()) < 1e-5
    assert abs(scaled.std() - 1) < 1e-5
    assert np.allclose(fitted.inverse(scaled.astype(np.float64)), labels, rtol=0, atol=1e-3)
    assert np.allclose(fitted.inverse(tf.constant(scaled, tf.float64)).numpy(), labels, rtol=0, atol=1e-3)


@pytest.mark.parametrize("value", [0.0, 5.0, 0.1])
def test_a_target_that_does_not_vary_is_refused(value: float) -> None:
    with pytest.raises(DataError, match="in every train row"):
        ScaleTarget().fit(np.full(10, value))


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (np.asarray(["a", "b", "c"], object), True),
        (np.arange(20.0), True),
        (np.arange(21.0), False),
        (np.asarray([0.5, 1.5]), True),
        (np.asarray([0.5, 1.5, 2.5]), False),
    ],
)
def test_text_and_a_few_whole_numbers_look_like_classes(labels: np.ndarray, classes: bool) -> None:
    assert looks_like_classes(labels, 20) == classes


def test_classes_are_counted_by_name() -> None:
    assert class_counts(np.asarray([1.0, 2.0, 1.0])) == {"1": 2, "2": 1}


RAW: dict[str, tuple[str, list[Any]]] = {
    "age": ("numeric", [1.0, float("nan"), 7.5]),
    "photo": ("image", IMAGES[:3]),
    "since": ("datetime", [datetime.datetime(2024, 2, 29, 12), None, datetime.datetime(1969, 7, 20)]),
    "job": ("categorical", [" a", "?", "other"]),
    "topics": ("tags", [["x", "y", "z"], None, ["new"]]),
    "height": ("numeric", [1e9, 1e9 + 1, float("inf")]),
    "note": ("text", ["Where is it?", None, "À bientôt"]),
    "town": ("categorical", ["x", "", "y"]),
    "second photo": ("image", [IMAGES[3], b"", None]),
}


def bundle(target: FittedClassIndex | ScaledTarget) -> Transforms:
    fitted: dict[str, Any] = {
        "age": standardized([1.0, 2.0, float("nan")]),
        "photo": ResizeImage(4, 4, 1),
        "since": date_time([datetime.datetime(2024, 1, 1, 1), datetime.datetime(2024, 5, 1), None]),
        "job": vocabulary(["a", "a", "ä b", "ä b"]),
        "topics": tags([["x"], ["x", "y"], ["y"]]),
        "height": standardized([1e9, 1e9 + 1]),
        "note": hashed_text(["one two three"]),
        "town": vocabulary(["x", "x"]),
        "second photo": ResizeImage(4, 4, 3),
    }
    return Transforms(tuple(fitted.items()), "y", target)


def stored_batch() -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({name: stored(values, kind) for name, (kind, values) in RAW.items()})


TARGETS = [FittedClassIndex(("a", "b"), False), ScaledTarget(0.1, 1 / 3)]


@pytest.mark.parametrize("target", TARGETS)
def test_transforms_survive_json_exactly(target: FittedClassIndex | ScaledTarget) -> None:
    transforms = bundle(target)
    assert Transforms.from_json(json.loads(json.dumps(transforms.to_json()))) == transforms


def test_transforms_join_columns_in_the_order_that_the_spec_promises() -> None:
    found = bundle(TARGETS[0]).encode(stored_batch())
    assert found["categorical"].tolist() == [[2, 2], [0, 0], [1, 1]]
    # Three values; the indicator of age; then sines, cosines and the indicator of since.
    assert found["numeric"].shape == (3, 3 + 1 + 6 + 1)
    assert found["numeric"][1, [0, 1, 3, 10]].tolist() == [0.0, 0.0, 1.0, 1.0]
    assert found["numeric"][[0, 2]][:, [3, 10]].tolist() == [[0.0, 0.0]] * 2
    assert found["bags"].shape == (3, 2 + 5)
    assert found["bags"][:, :2].tolist() == [[2, 3], [0, 0], [1, 0]]
    assert np.count_nonzero(found["bags"][:, 2:], axis=1).tolist() == [5, 0, 3]
    assert found["image"].shape == (3, 4, 4, 1 + 3)
    assert not found["image"][1:, :, :, 1:].any()


def test_transforms_tell_the_spec_of_what_they_encode() -> None:
    transforms, edges = bundle(TARGETS[0]), {"age": (0.0, 1.0), "since": (0.5, 2.0), "height": ()}
    encoded, spec = transforms.encode(stored_batch()), transforms.spec("binary", 100, edges)
    assert spec.num_numeric == encoded["numeric"].shape[1]
    assert spec.edges == ((0.0, 1.0), (0.5, 2.0), ())
    assert spec.vocabulary_sizes == (4, 3)
    assert spec.bags == (Bag(4, 2), Bag(4096, 5))
    assert sum(bag.slots for bag in spec.bags) == encoded["bags"].shape[1]
    assert spec.image_shape == encoded["image"].shape[1:]
    assert (spec.num_classes, spec.num_train) == (2, 100)
    assert bundle(TARGETS[1]).spec("regression", 100, edges).num_classes == 1


def test_a_spec_survives_json_and_one_from_before_bags_is_still_read() -> None:
    spec = Spec("binary", 2, vocabulary_sizes=(3,), image_shape=(4, 4, 1), bags=(Bag(4, 2), Bag(4096, 5)))
    written = json.loads(json.dumps(spec.to_json()))
    assert Spec.from_json(written) == spec
    del written["bags"]
    assert Spec.from_json(written).bags == ()


def test_transforms_serve_raw_columns_as_they_encode_stored_ones() -> None:
    transforms = Transforms.from_json(json.loads(json.dumps(bundle(TARGETS[0]).to_json())))
    batch = stored_batch()
    encoded = transforms.encode(batch)
    columns = {
        name: tf.constant(raw_column(batch[name], dtype, is_image=RAW[name][0] == "image").tolist(), dtype)
        for name, dtype in transforms.signature().items()
    }
    serving = transforms.serving()
    for call in (serving, tf.function(serving)):
        found = call(columns)
        assert set(found) == set(encoded)
        for part, expected in encoded.items():
            assert np.array_equal(found[part].numpy(), expected)
            assert found[part].dtype.as_numpy_dtype == expected.dtype


def test_transforms_encode_the_label() -> None:
    batch = pa.RecordBatch.from_pydict({"y": pa.array(["b", "a", "c"])})
    assert bundle(TARGETS[0]).encode_label(batch).tolist() == [1, 0, -1]
    numbers = pa.RecordBatch.from_pydict({"y": pa.array([0.1, 0.1 + 1 / 3])})
    assert bundle(TARGETS[1]).encode_label(numbers) == pytest.approx([0.0, 1.0])
