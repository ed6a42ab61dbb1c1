"""Objects that Python programs have at hand: arrays, Arrow tables, tf.data."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.data.sources.arrays import Arrays
from pipeline.data.sources.arrow_table import ArrowTable
from pipeline.data.sources.dataset import FromDataset
from pipeline.data.sources.source import Source, refuse
from pipeline.errors import DataError
from pipeline.hashing import FileHashes


def rows_of(source: Source) -> list[dict[str, Any]]:
    return [row for batch in source.batches(refuse) for row in batch.to_pylist()]


def refusal(make: Callable[[], Source]) -> str:
    with pytest.raises(DataError) as caught:
        rows_of(make())
    return str(caught.value)


def mark(source: Source) -> str:
    return source.fingerprint(FileHashes())


def pixels_of(image: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(image)))


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def slices(values: Any) -> Any:
    return tf.data.Dataset.from_tensor_slices(values)


# What holds for each of them

Columns = dict[str, list[Any]]
MAKERS: dict[str, Callable[[Columns], Source]] = {
    "Arrays": lambda columns: Arrays({name: np.asarray(values) for name, values in columns.items()}, label="a"),
    "ArrowTable": lambda columns: ArrowTable(pa.table(columns), label="a"),
    "FromDataset": lambda columns: FromDataset(slices(columns), label="a"),
    "FromDataset of batches": lambda columns: FromDataset(slices(columns).batch(3), label="a"),
}


@st.composite
def columns(draw: st.DrawFn) -> Columns:
    size = draw(st.integers(1, 9))
    numbers = st.lists(st.floats(allow_nan=False, width=32), min_size=size, max_size=size)
    texts = st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4), min_size=size, max_size=size
    )
    return {"a": draw(numbers), "b": draw(texts), "c": draw(st.lists(st.integers(-9, 9), min_size=size, max_size=size))}


@pytest.mark.parametrize("name", MAKERS)
@settings(max_examples=15, deadline=None)
@given(columns())
def test_rows_come_as_they_are_twice_the_same_and_with_places(name: str, found: Columns) -> None:
    source = MAKERS[name](found)
    expected = [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]
    assert rows_of(source) == expected
    assert rows_of(source) == expected
    assert source.label == "a"
    numbers = range(len(expected))
    assert [place.line for place in source.places(numbers)] == [number + 1 for number in numbers]
    assert source.places([0])[0].file in ("arrays", "table", "dataset")


@pytest.mark.parametrize("name", MAKERS)
@settings(max_examples=15, deadline=None)
@given(columns(), st.data())
def test_the_fingerprint_is_that_of_the_content(name: str, found: Columns, data: st.DataObject) -> None:
    make = MAKERS[name]
    assert mark(make(found)) == mark(make({column: list(values) for column, values in found.items()}))
    place = data.draw(st.integers(0, len(found["c"]) - 1))
    other = {**found, "c": [value + (row == place) for row, value in enumerate(found["c"])]}
    assert mark(make(other)) != mark(make(found))
    assert mark(make({"a": found["a"], "b": found["b"], "d": found["c"]})) != mark(make(found))


# Arrays


def test_a_matrix_gives_a_column_for_every_column() -> None:
    source = Arrays(np.arange(6.0).reshape(2, 3), labels=np.array([1, 0]))
    assert rows_of(source) == [
        {"x_0": 0.0, "x_1": 1.0, "x_2": 2.0, "label": 1},
        {"x_0": 3.0, "x_1": 4.0, "x_2": 5.0, "label": 0},
    ]
    assert source.kinds == {}


@pytest.mark.parametrize("shape", [(5, 4, 6), (5, 4, 6, 1), (5, 4, 6, 3)])
def test_images_come_back_pixel_by_pixel(shape: tuple[int, ...]) -> None:
    images = pixels(*shape)
    source = Arrays(images, labels=["a"] * 5)
    found = rows_of(source)
    for row, image in zip(found, images, strict=True):
        np.testing.assert_array_equal(pixels_of(row["image"]), image.squeeze())
    assert source.kinds == {"image": "image"}


def test_named_arrays_of_any_shape_and_lists_are_columns() -> None:
    given = {
        "photo": pixels(2, 3, 3, 3),
        "position": np.zeros((2, 2), np.float16),
        "name": ["ü", None],
        "old": [True, False],
    }
    source = Arrays({**given, "at": np.array(["2024-01-02", "NaT"], "datetime64[D]")}, labels=[1.5, 2.5], label="price")
    batch = next(source.batches(refuse))
    assert batch.schema.names == ["photo", "position_0", "position_1", "name", "old", "at", "price"]
    assert batch.column("name").to_pylist() == ["ü", None]
    assert batch.column("old").type == pa.bool_()
    assert batch.column("at").null_count == 1
    assert source.kinds == {"photo": "image"}
    assert source.label == "price"


def test_masked_values_are_missing() -> None:
    source = Arrays(
        {"a": np.ma.masked_array([1, 999], [False, True]), "b": np.ma.masked_array(["x", "y"], [True, False])},
        labels=[0, 1],
    )
    first, second = rows_of(source)
    assert first["a"] == 1.0
    assert np.isnan(second["a"])
    assert (first["b"], second["b"]) == (None, "y")


def test_whatever_turns_into_an_array_and_frames_will_do() -> None:
    class Wrapped:
        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            return np.array([1.0, 2.0])

    class Frame:
        def items(self) -> Any:
            return {"a": Wrapped()}.items()

    assert rows_of(Arrays(Frame(), labels=Wrapped())) == [{"a": 1.0, "label": 1.0}, {"a": 2.0, "label": 2.0}]


def test_large_arrays_come_in_several_batches() -> None:
    source = Arrays({"a": np.arange(200_000)}, label="a")
    batches = list(source.batches(refuse))
    assert [batch.num_rows for batch in batches] == [65_536] * 3 + [3_392]
    assert batches[-1].column("a")[-1].as_py() == 199_999


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": {"a": [1, 2], "b": [1]}}, 'different numbers of rows: "a" has 2, "b" has 1'),
        ({"features": {"a": [1, 2]}, "labels": [1]}, '"label" has 1'),
        ({"features": {"a": [1]}, "labels": [1], "label": "a"}, "The labels cannot be named 'a'"),
        ({"features": {"a": [1]}, "labels": [[0, 1]]}, "labels.argmax(axis=1)"),
        ({"features": {"a": []}}, "no rows"),
        ({"features": {}}, "no rows"),
        ({"features": {"a": np.zeros((2, 3, 3))}}, "uint8"),
        ({"features": {"a": np.zeros(2, complex)}}, "complex128"),
        ({"features": {"a": [object(), 1]}}, '"a" holds objects that make no column'),
        ({"features": {"a": [[1, 2], [3]]}}, '"a" is no array'),
        ({"features": {"x": np.zeros((2, 2)), "x_0": [1, 2]}}, 'the column "x_0"'),
        ({"features": 7}, "0 axes"),
    ],
)
def test_what_makes_no_columns_is_refused(arguments: dict[str, Any], message: str) -> None:
    assert message in refusal(lambda: Arrays(**arguments))


# Arrow tables


@settings(max_examples=30, deadline=None)
@given(columns(), st.lists(st.integers(0, 9)))
def test_chunks_dictionaries_and_metadata_of_a_table_are_no_content(found: Columns, cuts: list[int]) -> None:
    table = pa.table(found)
    bounds = sorted({0, table.num_rows, *(cut for cut in cuts if cut < table.num_rows)})
    parts = [table.slice(start, end - start) for start, end in itertools.pairwise(bounds)]
    cut = pa.concat_tables(parts).replace_schema_metadata({"who": "me"})
    assert mark(ArrowTable(cut)) == mark(ArrowTable(table))
    assert rows_of(ArrowTable(cut)) == rows_of(ArrowTable(table))
    encoded = table.set_column(1, "b", table["b"].dictionary_encode())
    turned = pa.DictionaryArray.from_arrays(
        pa.array([sorted(set(found["b"])).index(text) for text in found["b"]], pa.int32()), sorted(set(found["b"]))
    )
    assert mark(ArrowTable(encoded)) == mark(ArrowTable(table.set_column(1, "b", turned)))


def test_structures_become_dotted_columns_and_large_tables_several_batches() -> None:
    table = pa.table({"a": pa.array([{"b": {"c": n}} for n in range(70_000)]), "d": pa.array(range(70_000))})
    batches = list(ArrowTable(table).batches(refuse))
    assert batches[0].schema.names == ["a.b.c", "d"]
    assert [batch.num_rows for batch in batches] == [65_536, 4_464]


def test_tables_that_are_none_are_refused() -> None:
    assert "no rows" in refusal(lambda: ArrowTable(pa.table({"a": []})))
    assert "given a dict" in refusal(lambda: ArrowTable({"a": [1]}))
    twice = pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])
    assert '2 columns "a"' in refusal(lambda: ArrowTable(twice))


# tf.data


def test_pairs_have_features_and_a_label() -> None:
    assert rows_of(FromDataset(slices(({"a": [1.0], "in": {"b": ["ü"]}}, [3])))) == [
        {"a": 1.0, "in.b": "ü", "label": 3}
    ]
    assert rows_of(FromDataset(slices(([[1.0, 2.0]], [3])), label="y")) == [{"x_0": 1.0, "x_1": 2.0, "y": 3}]
    assert rows_of(FromDataset(slices(([1.0], [[3]])))) == [{"x": 1.0, "label": 3}]


@pytest.mark.parametrize("shape", [(7, 4, 6), (7, 4, 6, 1), (7, 4, 6, 3)])
@pytest.mark.parametrize("batch", [None, 3])
def test_single_images_and_batches_of_them_are_the_same(shape: tuple[int, ...], batch: int | None) -> None:
    images = pixels(*shape)
    examples = slices((images, np.arange(7)))
    source = FromDataset(examples.batch(batch) if batch else examples)
    assert source.kinds == {"image": "image"}
    assert source.label == "label"
    for row, image in zip(rows_of(source), images, strict=True):
        np.testing.assert_array_equal(pixels_of(row["image"]), image.squeeze())
    assert mark(source) == mark(FromDataset(examples))


def test_sizes_of_images_and_lists_may_differ() -> None:
    def examples() -> Any:
        for number in range(3):
            yield {"photo": pixels(2 + number, 3, 3, seed=number), "words": ["w"] * number}

    signature = {"photo": tf.TensorSpec((None, None, 3), tf.uint8), "words": tf.TensorSpec((None,), tf.string)}
    dataset = tf.data.Dataset.from_generator(examples, output_signature=signature)
    source = FromDataset(dataset, batched=False)
    assert source.kinds == {"photo": "image", "words": "tags"}
    found = rows_of(source)
    assert [pixels_of(row["photo"]).shape for row in found] == [(2, 3, 3), (3, 3, 3), (4, 3, 3)]
    assert [row["words"] for row in found] == [[], ["w"], ["w", "w"]]
    assert "batched=False" in refusal(lambda: FromDataset(dataset))


def test_batches_with_a_remainder_dropped_are_seen_as_such() -> None:
    dataset = slices(([[1.0, 2.0]] * 4, [3] * 4)).batch(2, drop_remainder=True)
    assert len(rows_of(FromDataset(dataset))) == 4
    # A vector alone may be both.
    alone = slices([[1.0, 2.0]] * 4)
    assert list(rows_of(FromDataset(alone))[0]) == ["x_0", "x_1"]
    assert len(rows_of(FromDataset(alone, batched=True))) == 8


def test_a_data_set_of_unknown_size_is_read_to_its_end() -> None:
    assert rows_of(FromDataset(tf.data.Dataset.range(9).filter(lambda n: n % 4 == 0))) == [{"x": 0}, {"x": 4}, {"x": 8}]


def test_zeros_at_the_end_of_text_stay() -> None:
    assert rows_of(FromDataset(slices({"a": tf.constant([b"x\0", b""])}))) == [{"a": "x\0"}, {"a": ""}]


def test_another_order_every_time_is_found_out() -> None:
    source = FromDataset(tf.data.Dataset.range(100).shuffle(100))
    rows_of(source)
    assert "reshuffle_each_iteration=False" in refusal(lambda: source)
    fixed = FromDataset(tf.data.Dataset.range(100).shuffle(100, seed=1, reshuffle_each_iteration=False))
    assert rows_of(fixed) == rows_of(fixed)


def ragged() -> Any:
    return tf.data.Dataset.from_tensors({"r": tf.ragged.constant([[1], [1, 2]])})


def failing() -> Any:
    return tf.data.Dataset.range(9).map(
        lambda n: tf.debugging.check_numerics(1.0 / tf.cast(n - 5, tf.float32), "oh no")
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tf.data.Dataset.range(3).repeat(), "infinite"),
        (lambda: tf.data.Dataset.range(0), "no examples"),
        (lambda: slices((np.zeros((2, 3)), np.eye(2))), "tf.argmax"),
        (lambda: slices(([1.0], {"a": [1]})), "one tensor of a new name"),
        (lambda: slices(({"label": [1.0]}, [1])), "one tensor of a new name"),
        (lambda: slices(([1.0], [1], [1])), "elements of 3 parts"),
        (lambda: slices((([1.0], [2.0]), [1])), "is a tuple"),
        (lambda: slices((np.zeros((2, 4, 4, 3)), [1, 2])), "uint8"),
        (lambda: slices({"a": [b"\xff"]}), "not UTF-8"),
        (ragged, "to_tensor()"),
        (failing, "fails after 5 elements: InvalidArgumentError"),
        (lambda: [1, 2], "given a list"),
    ],
)
def test_data_sets_that_make_no_rows_are_refused(make: Callable[[], Any], message: str) -> None:
    assert message in refusal(lambda: FromDataset(make()))
