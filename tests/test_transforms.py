"""Of all transforms: what one computes on a prepared column is what its serving layer computes on the raw one, bit for
bit; and only train counts."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import data
from pipeline.data import transforms as room
from pipeline.data.kinds import Kind
from pipeline.data.schema import Feature, Schema
from pipeline.data.transforms import (
    Clip,
    DateTimeParts,
    FoldRare,
    HashCategory,
    HashedText,
    Impute,
    Log,
    MinMaxScale,
    OneHot,
    QuantileScale,
    ResizeImage,
    RobustScale,
    Standardize,
    Tags,
    TfIdf,
    Tokenize,
    Transforms,
    Vocabulary,
)
from pipeline.data.transforms.choose import choices_of
from pipeline.data.transforms.target import FittedClassIndex
from tests.columns import IMAGES, RAW, encoded, fitted_on, sent

# A row for every transform; a new one adds its own.
TABLE: list[tuple[Kind, Any]] = [
    ("numeric", Standardize()),
    ("numeric", Log()),
    ("numeric", RobustScale()),
    ("numeric", MinMaxScale()),
    ("numeric", QuantileScale()),
    ("numeric", QuantileScale("normal", num_quantiles=7)),
    ("numeric", Clip()),
    ("numeric", [Clip(minimum=-5.0), Standardize()]),
    ("numeric", [Impute("median", indicator=True), Clip(0.1, 0.8), Log(), QuantileScale("normal")]),
    ("numeric", [Clip(0.0, 0.9), Log(), Impute("constant", value=-1.0, indicator=False), RobustScale()]),
    ("categorical", Vocabulary(min_count=1)),
    ("categorical", OneHot(max_size=3, min_count=1)),
    ("categorical", HashCategory(buckets=5)),
    ("categorical", FoldRare(0.3, min_count=1)),
    ("datetime", DateTimeParts()),
    ("tags", Tags(max_slots=3, min_count=1)),
    ("text", HashedText()),
    ("text", HashedText(unit="characters", ngrams=(2, 3), buckets=99)),
    ("text", Tokenize(min_count=1)),
    ("text", TfIdf(min_count=1)),
    ("image", ResizeImage(5, 7)),
    ("image", ResizeImage(8, 8, 1, mode="crop", normalize="none")),
    ("image", ResizeImage(6, 6, mode="pad")),
]
NAMES = [f"{number} {choice!r}" for number, (_, choice) in enumerate(TABLE)]
# Rows that are hard on somebody: missing, repeated, unseen, huge, tiny, of other scripts.
TRAIN: dict[str, list[Any]] = {
    "numeric": [1.0, 2.0, 2.0, float("nan"), -7.5, 1e6, 3.0, 0.0],
    "categorical": ["a", " a ", "b", "?", "b", "ä", "c", "a"],
    "datetime": [datetime.datetime(2024, 2, 29, 12), None, datetime.datetime(1969, 7, 20)],
    "tags": [["x", "y", "z"], None, ["x"], [" y|z "]],
    "text": ["Where is it?", None, "À bientôt, où?", "is it it"],
    "image": [*IMAGES, None],
}
OTHERS: dict[str, list[Any]] = {
    "numeric": [float("nan"), float("inf"), -1e300, 1e300, 0.1, 2.0, 1e9 + 0.1, -0.0, 1e-30],
    "categorical": ["a", "never seen", "", " NaN", "ä ", "\u00a0a", "x" * 300],
    "datetime": [datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31, 23, 59, 59), None],
    "tags": [["new", "x"], [], None, ["x"] * 9, ["?"]],
    "text": ["IS IT", "", None, "nan", "never seen before " * 40, "où"],
    "image": [IMAGES[3], b"", None, IMAGES[0]],
}


def chosen(kind: Kind, choice: Any) -> Any:
    """As the config chooses it."""
    return choices_of(Schema((Feature("it", kind),), Feature("y", "categorical")), {"it": choice})["it"]


def fitted_table() -> list[tuple[str, Kind, Any]]:
    return [
        (f"column_{number}", kind, fitted_on(chosen(kind, choice), TRAIN[kind], kind))
        for number, (kind, choice) in enumerate(TABLE)
    ]


def test_every_public_transform_of_a_feature_has_a_row_and_every_kind_is_taken() -> None:
    rows = [step for _, choice in TABLE for step in (choice if isinstance(choice, list) else [choice])]
    public = {getattr(room, name) for name in room.__all__}
    assert {one for one in public if hasattr(one, "kinds")} - {Transforms} == {type(step) for step in rows}
    assert {kind for kind, _ in TABLE} == set(get_args(Kind))


@pytest.mark.parametrize(("kind", "choice"), TABLE, ids=NAMES)
@settings(max_examples=6, deadline=None)
@given(st.data())
def test_serving_equals_preparing_bit_for_bit(kind: Kind, choice: Any, data: st.DataObject) -> None:
    train = data.draw(st.lists(RAW[kind], max_size=4 if kind == "image" else 20))
    values = data.draw(st.lists(RAW[kind], max_size=4 if kind == "image" else 20))
    fitted = fitted_on(chosen(kind, choice), train, kind)
    expected = encoded(fitted, values, kind)
    layer, raw = fitted.layer(), sent(fitted, values, kind)
    for call in (layer, tf.function(layer, input_signature=[tf.TensorSpec([None], raw.dtype)])):
        found = call(raw).numpy()
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        assert np.array_equal(found, expected)
    for row, value in enumerate(values):  # a row alone is encoded as among others
        assert np.array_equal(encoded(fitted, [value], kind), expected[row : row + 1])


@settings(max_examples=60, deadline=None)
@given(st.data())
@pytest.mark.parametrize(("kind", "choice"), [row for row in TABLE if row[0] == "numeric"])
def test_numbers_come_finite_and_bounded_whatever_comes(kind: Kind, choice: Any, data: st.DataObject) -> None:
    fitted = fitted_on(chosen(kind, choice), data.draw(st.lists(RAW[kind], max_size=20)), kind)
    found = encoded(fitted, data.draw(st.lists(RAW[kind], min_size=1, max_size=20)), kind)
    assert found.shape[1] == fitted.width
    assert np.abs(found).max() <= 20


class Served(tf.Module):
    """All layers of the table in one SavedModel, because each takes seconds to write."""

    def __init__(self, table: list[tuple[str, Kind, Any]]) -> None:
        super().__init__()
        self.layers = {name: fitted.layer() for name, _, fitted in table}
        self.signature = {name: tf.TensorSpec([None], fitted.dtype, name=name) for name, _, fitted in table}

    def serve(self, columns: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {name: layer(columns[name]) for name, layer in self.layers.items()}


def test_a_saved_and_reloaded_model_encodes_bit_for_bit_as_training_does(tmp_path: Path) -> None:
    table = fitted_table()
    module = Served(table)
    module.call = tf.function(module.serve, input_signature=[module.signature])
    tf.saved_model.save(module, str(tmp_path / "saved"))
    saved = tf.saved_model.load(str(tmp_path / "saved"))
    for portion in (slice(None), slice(1), slice(0)):  # all rows, one, none
        columns = {name: OTHERS[kind][portion] for name, kind, _ in table}
        found = saved.call({name: sent(fitted, columns[name], kind) for name, kind, fitted in table})
        for name, kind, fitted in table:
            expected = encoded(fitted, columns[name], kind)
            assert found[name].numpy().dtype == expected.dtype
            assert np.array_equal(found[name].numpy(), expected), fitted


def test_all_survive_json_exactly() -> None:
    transforms = Transforms(
        tuple((name, fitted) for name, _, fitted in fitted_table()), "y", FittedClassIndex(("a", "b"), False)
    )
    again = Transforms.from_json(json.loads(json.dumps(transforms.to_json(), allow_nan=False)))
    assert again == transforms
    for (_, kind, first), (_, second) in zip(fitted_table(), again.features, strict=True):
        assert np.array_equal(encoded(first, OTHERS[kind], kind), encoded(second, OTHERS[kind], kind))


def _table(rows: int, poison: bool) -> pa.Table:
    """A column for every row of the table that is no image, and sides; poisoned where a row is not of train."""
    random = np.random.default_rng(0)
    sides = np.asarray(["train", "train", "validation", "test"])[np.arange(rows) % 4]
    good = {
        "numeric": lambda row: f"{random.gamma(1, 100):.3f}" if row % 7 else "",
        "categorical": lambda row: f"town {int(random.gamma(1, 4))}" if row % 9 else "?",
        "datetime": lambda row: f"20{random.integers(10, 30)}-0{random.integers(1, 10)}-11 12:00:00",
        "tags": lambda row: "|".join(f"tag{number}" for number in random.integers(0, 9, random.integers(0, 4))),
        "text": lambda row: " ".join(f"word{number}" for number in random.integers(0, 30, random.integers(1, 9))),
    }
    bad = {
        "numeric": lambda row: str(row * 1e12),
        "categorical": lambda row: f"poison {row}",
        "datetime": lambda row: "1700-01-01 00:00:00",
        "tags": lambda row: "|".join(["poison"] * 20),
        "text": lambda row: "poison " * 50,
    }
    columns = {}
    for number, (kind, _) in enumerate(TABLE):
        if kind != "image":
            values = [good[kind](row) for row in range(rows)]
            columns[f"column_{number}"] = [
                bad[kind](row) if poison and sides[row] != "train" else value for row, value in enumerate(values)
            ]
    labels = [["yes", "no"][int(number)] for number in random.integers(0, 2, rows)]
    return pa.table({**columns, "side": sides.tolist(), "y": labels})


def test_rows_that_are_not_train_change_nothing_learnt() -> None:
    kinds = {f"column_{number}": kind for number, (kind, _) in enumerate(TABLE) if kind != "image"}
    choices = {f"column_{number}": choice for number, (kind, choice) in enumerate(TABLE) if kind != "image"}
    learnt = []
    for poison in (False, True):
        splits = data.prepare(
            data.sources.ArrowTable(_table(400, poison), label="y"),
            split=data.split.Given(column="side"),
            kinds=kinds,
            transforms=choices,
        )
        encoded_train = splits.train[np.arange(len(splits.train))]
        learnt.append((splits.transforms.to_json(), splits.spec, encoded_train, splits.test[np.arange(5)]))
    assert learnt[0][:2] == learnt[1][:2]
    for part, column in learnt[0][2].items():
        assert np.array_equal(column, learnt[1][2][part])
    assert not np.array_equal(learnt[0][3]["numeric"], learnt[1][3]["numeric"])  # the poison was there
