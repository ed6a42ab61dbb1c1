"""What a transform computes on a prepared column is what its serving layer computes on the raw one, bit for bit."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.data.schema import Feature, Schema, convert
from pipeline.data.statistics import Moments, count_values
from pipeline.data.transforms import (
    ClassIndex,
    ResizeImage,
    ScaleTarget,
    Standardize,
    Transforms,
    Vocabulary,
    labels_of,
)
from pipeline.data.transforms.standardize import LIMIT, Standardized
from pipeline.data.transforms.target import FittedClassIndex, ScaledTarget, class_counts, looks_like_classes
from pipeline.data.transforms.vocabulary import FittedVocabulary
from pipeline.errors import DataError

# Subnormal numbers apart, which TensorFlow takes for 0.
FLOATS = st.floats(width=32, allow_subnormal=False) | st.sampled_from([float("nan"), float("inf"), 1e300, 1e9 + 0.1])
TEXTS = st.sampled_from(
    ["a", " a ", "b\t", "\x0bc\r\n", "?", "", " NaN", "nan", "ä", "\u00a0a", "never seen"]
) | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4)


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


def stored(values: list[Any], kind: str) -> pa.Array:
    """A column as `ingest` stores it."""
    kinds = {"numeric": pa.float64(), "categorical": pa.string(), "image": pa.binary()}
    batch = pa.RecordBatch.from_pydict(
        {"x": pa.array(values, kinds[kind]), "y": pa.array(["a"] * len(values), pa.string())}
    )
    return convert(batch, Schema((Feature("x", kind),), Feature("y", "categorical"))).column("x")  # type: ignore[arg-type]


def standardized(train: list[float]) -> Standardized:
    return Standardize().fit(Moments.of(labels_of(stored(train, "numeric"))))


def vocabulary(train: list[str], **arguments: int) -> FittedVocabulary:
    return Vocabulary(**arguments).fit(count_values(stored(train, "categorical")))


@st.composite
def fitted_and_values(draw: Any) -> tuple[Any, list[Any], str]:
    """A transform fitted on some rows, other raw rows for it, and the kind of the column."""
    kind = draw(st.sampled_from(["numeric", "categorical", "image"]))
    if kind == "numeric":
        return standardized(draw(st.lists(FLOATS, max_size=20))), draw(st.lists(FLOATS, max_size=20)), kind
    if kind == "categorical":
        fitted = vocabulary(draw(st.lists(TEXTS, max_size=20)), min_count=draw(st.integers(1, 2)))
        return fitted, draw(st.lists(TEXTS, max_size=20)), kind
    size = draw(st.sampled_from([(8, 8), (5, 7), (1, 1)]))
    return ResizeImage(*size, draw(st.sampled_from([1, 3]))), draw(st.lists(st.sampled_from(IMAGES), max_size=4)), kind


def prepared(fitted: Any, values: list[Any], kind: str) -> np.ndarray:
    column = stored(values, kind)
    argument = {"numeric": lambda: labels_of(column), "categorical": lambda: column, "image": column.to_pylist}[kind]()
    return fitted(argument)


def served(fitted: Any, values: list[Any], in_graph: bool) -> np.ndarray:
    layer = fitted.layer()
    if isinstance(fitted, Standardized):
        with np.errstate(over="ignore"):
            raw = tf.constant(np.asarray(values, np.float64).astype(fitted.dtype))
    else:
        raw = tf.constant(values, tf.string, shape=[len(values)])
    call = tf.function(layer, input_signature=[tf.TensorSpec([None], raw.dtype)]) if in_graph else layer
    return call(raw).numpy()


@settings(max_examples=120, deadline=None)
@given(fitted_and_values())
def test_serving_equals_preparing_bit_for_bit(case: tuple[Any, list[Any], str]) -> None:
    fitted, values, kind = case
    expected = prepared(fitted, values, kind)
    for in_graph in (False, True):
        found = served(fitted, values, in_graph)
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


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_of_the_right_size_keeps_its_pixels(channels: int) -> None:
    encoded = image_bytes(6, 4, "L" if channels == 1 else "RGB")
    expected = np.asarray(Image.open(io.BytesIO(encoded))).reshape(4, 6, channels)
    assert np.array_equal(ResizeImage(4, 6, channels)([encoded])[0], expected)


def test_paths_and_bytes_give_the_same_pixels(tmp_path: Path) -> None:
    paths = [tmp_path / f"{row}.img" for row in range(len(IMAGES))]
    for path, encoded in zip(paths, IMAGES, strict=True):
        path.write_bytes(encoded)
    resize = ResizeImage(6, 5, 3)
    assert np.array_equal(resize([str(path) for path in paths]), resize(IMAGES))


def test_images_stay_in_their_order() -> None:
    encoded = [image_bytes(8, 8, seed=seed) for seed in range(50)]
    resize = ResizeImage(8, 8, 1)
    assert np.array_equal(resize(encoded), np.concatenate([resize([one]) for one in encoded]))


def test_a_smaller_image_keeps_its_brightness() -> None:
    half_dark = np.zeros((64, 64), np.uint8)
    half_dark[::2] = 255
    buffer = io.BytesIO()
    Image.fromarray(half_dark).save(buffer, "PNG")
    pixels = ResizeImage(8, 8, 1)([buffer.getvalue()]).astype(float)
    assert np.abs(pixels - 127.5).max() < 20  # without antialiasing rows would be 0 or 255


@pytest.mark.parametrize("content", [b"", b"no image", IMAGES[2][:60]])
def test_a_damaged_image_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "good.png").write_bytes(IMAGES[0])
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.png cannot be decoded"):
        ResizeImage(8, 8, 1)([str(tmp_path / "good.png"), str(tmp_path / "bad.png")])
    with pytest.raises(DataError, match="image 2 cannot be decoded"):
        ResizeImage(8, 8, 1)([IMAGES[0], content])


def test_an_image_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.png cannot be decoded"):
        ResizeImage(8, 8, 1)([str(tmp_path / "gone.png")])


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


def bundle(target: FittedClassIndex | ScaledTarget) -> Transforms:
    features = (
        ("age", standardized([1.0, 2.0, float("nan")])),
        ("photo", ResizeImage(4, 4, 1)),
        ("job", vocabulary(["a", "a", "ä b", "ä b"])),
        ("height", standardized([1e9, 1e9 + 1])),
        ("town", vocabulary(["x", "x"])),
    )
    return Transforms(features, "y", target)


TARGETS = [FittedClassIndex(("a", "b"), False), ScaledTarget(0.1, 1 / 3)]


def raw_batch() -> dict[str, list[Any]]:
    return {
        "age": [1.0, float("nan"), 7.5],
        "photo": IMAGES[:3],
        "job": [" a", "?", "other"],
        "height": [1e9, 1e9 + 1, float("inf")],
        "town": ["x", "", "y"],
    }


@pytest.mark.parametrize("target", TARGETS)
def test_transforms_survive_json_exactly(target: FittedClassIndex | ScaledTarget) -> None:
    transforms = bundle(target)
    assert Transforms.from_json(json.loads(json.dumps(transforms.to_json()))) == transforms


def test_transforms_join_columns_in_the_order_that_the_spec_promises() -> None:
    raw = raw_batch()
    kinds = {"age": "numeric", "photo": "image", "job": "categorical", "height": "numeric", "town": "categorical"}
    batch = pa.RecordBatch.from_pydict({name: stored(raw[name], kinds[name]) for name in raw})
    found = bundle(TARGETS[0]).encode(batch)
    assert found["categorical"].tolist() == [[2, 2], [0, 0], [1, 1]]
    assert found["numeric"].shape == (3, 3)
    assert found["numeric"][:, 2].tolist() == [0.0, 1.0, 0.0]  # the indicator of age comes after both values
    assert found["image"].shape == (3, 4, 4, 1)


def test_transforms_serve_raw_columns_as_they_encode_stored_ones() -> None:
    raw, transforms = raw_batch(), Transforms.from_json(json.loads(json.dumps(bundle(TARGETS[0]).to_json())))
    kinds = {"age": "numeric", "photo": "image", "job": "categorical", "height": "numeric", "town": "categorical"}
    encoded = transforms.encode(pa.RecordBatch.from_pydict({name: stored(raw[name], kinds[name]) for name in raw}))
    columns = {name: tf.constant(raw[name], dtype) for name, dtype in transforms.signature().items()}
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
