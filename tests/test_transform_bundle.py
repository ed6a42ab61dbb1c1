"""All transforms of a table in one object: columns joined, told to the spec, kept as JSON, served."""

from __future__ import annotations

import datetime
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from pipeline.data.transforms import (
    DateTimeParts,
    HashedText,
    OneHot,
    ResizeImage,
    Standardize,
    Tags,
    Transforms,
    Vocabulary,
)
from pipeline.data.transforms.target import FittedClassIndex, ScaledTarget
from pipeline.errors import ConfigError
from pipeline.export.raw import raw_column
from pipeline.spec import Bag, Spec
from tests.columns import IMAGES, fitted_on, stored

RAW: dict[str, tuple[str, list[Any]]] = {
    "age": ("numeric", [1.0, float("nan"), 7.5]),
    "photo": ("image", IMAGES[:3]),
    "since": ("datetime", [datetime.datetime(2024, 2, 29, 12), None, datetime.datetime(1969, 7, 20)]),
    "job": ("categorical", [" a", "?", "other"]),
    "color": ("categorical", ["blue", "?", "green"]),
    "topics": ("tags", [["x", "y", "z"], None, ["new"]]),
    "height": ("numeric", [1e9, 1e9 + 1, float("inf")]),
    "note": ("text", ["Where is it?", None, "À bientôt"]),
    "town": ("categorical", ["x", "", "y"]),
    "second photo": ("image", [IMAGES[3], b"", None]),
}


def bundle(target: FittedClassIndex | ScaledTarget) -> Transforms:
    days = [datetime.datetime(2024, 1, 1, 1), datetime.datetime(2024, 5, 1), None]
    chosen: dict[str, tuple[Any, list[Any]]] = {
        "age": (Standardize(), [1.0, 2.0, float("nan")]),
        "photo": (ResizeImage(4, 4, 1), IMAGES[:1]),
        "since": (DateTimeParts(), days),
        "job": (Vocabulary(), ["a", "a", "ä b", "ä b"]),
        "color": (OneHot(), ["red", "red", "blue", "blue", "?"]),
        "topics": (Tags(), [["x"], ["x", "y"], ["y"]]),
        "height": (Standardize(), [1e9, 1e9 + 1]),
        "note": (HashedText(characters=()), ["one two three"]),
        "town": (Vocabulary(), ["x", "x"]),
        "second photo": (ResizeImage(4, 4, 3), IMAGES[1:2]),
    }
    fitted = {name: fitted_on(transform, train, RAW[name][0]) for name, (transform, train) in chosen.items()}
    return Transforms(tuple(fitted.items()), "y", target, tuple(RAW[name][0] for name in chosen))  # type: ignore[misc]


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
    # Three values; the indicator of age; sines, cosines and the indicator of since; missing, unknown and two colors.
    assert found["numeric"].shape == (3, 3 + 1 + 6 + 1 + 4)
    assert found["numeric"][:, 11:].tolist() == [[0.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]
    assert found["numeric"][1, [0, 1, 3, 10]].tolist() == [0.0, 0.0, 1.0, 1.0]
    assert found["numeric"][[0, 2]][:, [3, 10]].tolist() == [[0.0, 0.0]] * 2
    assert found["bags"].shape == (3, 2 + 5)
    assert found["bags"][:, :2].tolist() == [[2, 3], [0, 0], [1, 0]]
    assert np.count_nonzero(found["bags"][:, 2:], axis=1).tolist() == [5, 0, 3]
    assert found["image"].shape == (3, 4, 4, 1 + 3)
    assert not found["image"][1:, :, :, 1:].any()


def test_transforms_tell_the_spec_of_what_they_encode() -> None:
    transforms, edges = bundle(TARGETS[0]), {"age": [(0.0, 1.0)], "since": [(0.5, 2.0)]}
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


def test_a_class_that_is_gone_is_named() -> None:
    written = bundle(TARGETS[0]).to_json()
    written["features"][0][1] = "pipeline.data.transforms.standardize:Gone"
    with pytest.raises(ConfigError, match="Gone"):
        Transforms.from_json(written)


def test_transforms_encode_the_label() -> None:
    batch = pa.RecordBatch.from_pydict({"y": pa.array(["b", "a", "c"])})
    assert bundle(TARGETS[0]).encode_label(batch).tolist() == [1, 0, -1]
    numbers = pa.RecordBatch.from_pydict({"y": pa.array([0.1, 0.1 + 1 / 3])})
    assert bundle(TARGETS[1]).encode_label(numbers) == pytest.approx([0.0, 1.0])
