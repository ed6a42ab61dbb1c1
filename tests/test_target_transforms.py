"""The label: classes to their places, quantities to a standard scale, and back."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from pipeline.data.transforms import ClassIndex, ScaleTarget
from pipeline.data.transforms.target import FittedClassIndex, class_counts, looks_like_classes
from pipeline.errors import DataError


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
