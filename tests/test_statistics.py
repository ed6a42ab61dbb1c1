"""Statistics merge: of two parts they are what one pass over both gives, without loss of digits."""

from __future__ import annotations

import datetime
import doctest
import importlib
import json
import math
import pkgutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pipeline.data.statistics
from pipeline.data.kinds import KINDS, Kind
from pipeline.data.statistics import Statistics, StatisticsBuilder
from pipeline.data.statistics.distinct import LOW_LIMIT, DistinctBuilder
from pipeline.data.statistics.hashing import hash_numbers, hash_strings
from pipeline.data.statistics.heavy_hitters import HeavyHittersBuilder
from pipeline.errors import DataError

# --- statistics of all kinds of columns

ALL: dict[str, Kind] = {kind: kind for kind in KINDS}
FLOATS = st.none() | st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from([0.0, -0.0, 1.0, 1e9])
WORDS = st.sampled_from(["a", "b", "", "\u00e4\u00e4", "a b", "x" * 100, "n\0l", "A\tb  c "])
DATES = st.none() | st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2100, 1, 1))
ROW = st.fixed_dictionaries(
    {
        "numeric": FLOATS,
        "categorical": st.none() | WORDS,
        "text": st.none() | WORDS,
        "datetime": DATES,
        "tags": st.none() | st.lists(WORDS, max_size=3),
        "image": st.none() | WORDS,
        "image.height": st.integers(1, 100),
        "image.width": st.integers(1, 100),
        "image.channels": st.sampled_from([1, 3]),
    }
)
SCHEMA = pa.schema(
    {
        "numeric": pa.float64(),
        "categorical": pa.string(),
        "text": pa.string(),
        "datetime": pa.timestamp("us"),
        "tags": pa.list_(pa.string()),
        "image": pa.string(),
        "image.height": pa.int32(),
        "image.width": pa.int32(),
        "image.channels": pa.int32(),
    }
)
ROWS = st.lists(ROW, max_size=12)


def batch_of(rows: list[Mapping[str, object]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, SCHEMA)


def statistics_of(rows: list[Mapping[str, object]]) -> Statistics:
    return Statistics.of(batch_of(rows), ALL)


def assert_alike(first: Statistics, second: Statistics) -> None:
    """Equal where statistics are exact, which on few rows is nearly everywhere; moments up to rounding."""
    assert first.num_rows == second.num_rows
    assert list(first.features) == list(second.features)
    for name, one in first.features.items():
        other = second.features[name]
        assert (one.kind, one.num_rows, one.num_missing) == (other.kind, other.num_rows, other.num_missing)
        assert one.num_distinct == other.num_distinct
        assert (one.top and (one.top.items(), one.top.total)) == (other.top and (other.top.items(), other.top.total))
        assert set(one.numbers) == set(other.numbers)
        for part, numbers in one.numbers.items():
            assert_alike_numbers(numbers, other.numbers[part])


def assert_alike_numbers(one: pipeline.data.statistics.Numbers, other: pipeline.data.statistics.Numbers) -> None:
    assert (one.num_zeros, one.whole) == (other.num_zeros, other.whole)
    first, second = one.moments, other.moments
    assert (first.num_rows, first.num_missing) == (second.num_rows, second.num_missing)
    assert (first.minimum, first.maximum, first.scale) == (second.minimum, second.maximum, second.scale)
    largest = max(abs(first.minimum), abs(first.maximum))
    assert first.mean == pytest.approx(second.mean, rel=1e-12, abs=1e-14 * largest)
    assert first.standard_deviation == pytest.approx(second.standard_deviation, rel=1e-9, abs=1e-12 * largest)
    ranks = [0.0, 1.0]
    assert one.quantiles(ranks) == other.quantiles(ranks)


@settings(deadline=None, max_examples=60)
@given(ROWS, ROWS, ROWS)
def test_merged_statistics_are_those_of_one_pass_however_they_are_grouped(
    first: list[dict[str, object]], second: list[dict[str, object]], third: list[dict[str, object]]
) -> None:
    a, b, c = map(statistics_of, (first, second, third))
    whole = statistics_of(first + second + third)
    assert_alike(a.merge(b).merge(c), whole)
    assert_alike(a.merge(b.merge(c)), whole)
    assert Statistics().merge(whole) == whole == whole.merge(Statistics())


@settings(deadline=None, max_examples=40)
@given(ROWS, st.integers(1, 5))
def test_batches_and_json_change_nothing(rows: list[dict[str, object]], batch_rows: int) -> None:
    builder = StatisticsBuilder(ALL)
    for part in pa.Table.from_batches([batch_of(rows)]).to_batches(max_chunksize=batch_rows):
        builder.add(part)
    whole = statistics_of(rows)
    if rows:
        assert_alike(builder.build(), whole)
    assert Statistics.from_json(json.loads(json.dumps(whole.to_json(), allow_nan=False))) == whole


@settings(deadline=None, max_examples=60)
@given(ROWS)
def test_statistics_are_what_counting_gives(rows: list[dict[str, object]]) -> None:
    found = statistics_of(rows).features
    numbers = [value for row in rows if (value := row["numeric"]) is not None and math.isfinite(value)]
    assert found["numeric"].count == len(numbers)
    assert found["numeric"].num_distinct == len(set(numbers))
    if rows:
        assert found["numeric"].numbers["value"].num_zeros == numbers.count(0.0)
        assert found["numeric"].numbers["value"].whole == all(value.is_integer() for value in numbers)
    categories = Counter(row["categorical"] for row in rows if row["categorical"] is not None)
    assert dict(found["categorical"].top.items()) == categories
    assert found["categorical"].num_distinct == len(categories)
    tags = Counter(tag for row in rows for tag in row["tags"] or ())
    assert (dict(found["tags"].top.items()), found["tags"].num_distinct) == (tags, len(tags))
    words = Counter(word for row in rows for word in (row["text"] or "").lower().split())
    assert dict(found["text"].top.items()) == words
    assert found["datetime"].num_distinct == len({row["datetime"] for row in rows} - {None})


def test_one_row_and_a_column_of_missing_values() -> None:
    batch = pa.record_batch({"age": [3.0], "none": pa.array([None], pa.float64()), "c": pa.array([None], pa.string())})
    found = Statistics.of(batch, {"age": "numeric", "none": "numeric", "c": "categorical"}).features
    assert found["age"].numbers["value"].quantiles([0.0, 0.5, 1.0]) == [3.0, 3.0, 3.0]
    assert (found["none"].missing_fraction, found["none"].num_distinct) == (1.0, 0)
    assert found["none"].numbers["value"].quantiles([0.5]) == []
    assert found["none"].numbers["value"].shares([0.0, 1.0]).tolist() == [0.0]
    assert (found["c"].top.items(), found["c"].top.exact, found["c"].top.max_error) == ([], True, 0)


# --- sketches beyond their exact range


def numeric(values: np.ndarray) -> pipeline.data.statistics.FeatureStatistics:
    return Statistics.of(pa.record_batch({"x": values}), {"x": "numeric"}).features["x"]


def rank_error(numbers: pipeline.data.statistics.Numbers, values: np.ndarray) -> float:
    ranks = np.linspace(0.01, 0.99, 99).tolist()
    ordered = np.sort(values)
    return float(np.abs(np.searchsorted(ordered, numbers.quantiles(ranks)) / len(values) - ranks).max())


@pytest.mark.parametrize("order", ["random", "sorted", "periodic"])
def test_quantiles_beyond_the_first_65536_values_are_within_half_a_percent(order: str) -> None:
    values = np.random.default_rng(0).gamma(2.0, 3.0, 400_000)
    if order == "sorted":
        values.sort()
    elif order == "periodic":  # hourly rows with a daily course
        values = np.arange(400_000) % 24 + np.random.default_rng(1).random(400_000)
    whole = numeric(values)
    merged = numeric(values[:100_000]).merge(numeric(values[100_000:]))
    assert rank_error(whole.numbers["value"], values) < 0.005
    assert rank_error(merged.numbers["value"], values) < 0.005


@pytest.mark.parametrize("num_rows", [1_000, 10_000, 65_536])
def test_quantiles_of_fewer_values_are_within_three_in_a_thousand(num_rows: int) -> None:
    values = np.random.default_rng(0).gamma(2.0, 3.0, num_rows)
    assert rank_error(numeric(values).numbers["value"], values) < 0.003 + 1 / num_rows


def test_quantiles_of_values_that_repeat_are_those_values() -> None:
    values = np.random.default_rng(0).choice([0.0, 0.1, 0.7], 70_000, p=[0.3, 0.3, 0.4])
    found = numeric(values).numbers["value"].quantiles([0.1, 0.2, 0.45, 0.5, 0.7, 0.9])
    assert found == pytest.approx([0.0, 0.0, 0.1, 0.1, 0.7, 0.7], rel=1e-12)


def test_digests_do_not_depend_on_where_batches_begin() -> None:
    values = np.random.default_rng(0).normal(size=150_000)
    builder = StatisticsBuilder({"x": "numeric"})
    for part in np.split(values, [1, 7000, 65_535, 65_540, 65_541, 140_000]):
        builder.add(pa.record_batch({"x": part}))
    assert builder.build().features["x"].numbers["value"].digest == numeric(values).numbers["value"].digest


def test_quantiles_of_the_largest_floats_are_right() -> None:
    values = np.random.default_rng(0).uniform(-1.7, 1.7, 100_000) * 1e308
    assert rank_error(numeric(values).numbers["value"], values) < 0.005


@pytest.mark.parametrize("num_distinct", [50, 3_000, 19_000, 60_000, 300_000])
def test_distinct_counts_are_within_their_error_and_merge(num_distinct: int) -> None:
    values = np.random.default_rng(num_distinct).permutation(np.arange(600_000) % num_distinct) * 0.1
    whole = numeric(values)
    merged = numeric(values[:200_000]).merge(numeric(values[200_000:]))
    relative_error = 3 * (0.016 if num_distinct <= LOW_LIMIT else 0.032)
    assert whole.num_distinct == pytest.approx(num_distinct, rel=relative_error)
    assert merged.num_distinct == whole.num_distinct


@given(st.lists(st.integers(0, 2**64 - 1), max_size=50), st.lists(st.integers(0, 2**64 - 1), max_size=50))
def test_distinct_counts_take_any_hash(first: list[int], second: list[int]) -> None:
    built = []
    for hashes in (first, second, first + second):
        builder = DistinctBuilder()
        builder.add(np.array(hashes, np.uint64))
        built.append(builder.build())
    assert built[0].merge(built[1]).estimate == built[2].estimate == len(set(first + second))


def test_heavy_hitters_bound_their_error_also_over_many_rare_values() -> None:
    random = np.random.default_rng(0)
    values = [f"id{value}" for value in random.integers(0, 10**9, 40_000)] + ["often"] * 3_000 + ["less"] * 1_000
    random.shuffle(values)
    builders = [HeavyHittersBuilder(), HeavyHittersBuilder()]
    for start in range(0, len(values), 4_400):
        builders[start // 4_400 % 2].add_column(pa.array(values[start : start + 4_400]))
    found = builders[0].build().merge(builders[1].build())
    truth = Counter(values)
    assert [name for name, _ in found.items(2)] == ["often", "less"]
    assert found.total == len(values)
    assert 0 < found.max_error < 0.005 * len(values)
    assert not found.exact
    assert all(truth[name] - found.max_error <= count <= truth[name] for name, count in found.items())


def test_dictionaries_are_counted_as_texts_are() -> None:
    texts = pa.chunked_array([["b", "a", None, "b"], ["a", "c"], [None], ["c", "c"]], pa.string())
    kinds: dict[str, Kind] = {"x": "categorical"}
    plain, encoded, shared = (StatisticsBuilder(kinds) for _ in range(3))
    one_dictionary = texts.combine_chunks().dictionary_encode()
    for chunk in texts.chunks:
        plain.add(pa.record_batch({"x": chunk}))
        encoded.add(pa.record_batch({"x": chunk.dictionary_encode()}))
    for start in range(0, 9, 2):
        shared.add(pa.record_batch({"x": one_dictionary.slice(start, 2)}))
    nulls_inside = pa.DictionaryArray.from_arrays([0, 1, 2, None], pa.array(["a", None, "unused-not", "unused"]))
    assert_alike(encoded.build(), plain.build())
    assert_alike(shared.build(), plain.build())
    found = Statistics.of(pa.record_batch({"x": nulls_inside}), kinds).features["x"]
    assert found.top.items() == [("a", 1), ("unused-not", 1)]
    assert found.num_missing == 2


def test_building_twice_counts_nothing_twice() -> None:
    builder = StatisticsBuilder({"x": "categorical"})
    builder.add(pa.record_batch({"x": pa.array(["a", "b"]).dictionary_encode()}))
    assert builder.build() == builder.build()


# --- hashes


@given(st.lists(st.text(max_size=150), unique=True, max_size=60))
def test_hashes_of_texts_are_those_of_the_texts_alone(texts: list[str]) -> None:
    together = hash_strings(pa.array(texts, pa.string()))
    assert len(set(together.tolist())) == len(texts)
    padded = pa.array(["before", *texts, "after"], pa.string()).slice(1, len(texts))
    assert hash_strings(padded).tolist() == together.tolist()
    assert [int(hash_strings(pa.array([text]))[0]) for text in texts] == together.tolist()


def test_every_sixteenth_hash_is_in_the_sample_whatever_the_values() -> None:
    for hashes in (hash_numbers(np.arange(2.0**17)), hash_strings(pa.array(range(2**17)).cast(pa.string()))):
        assert np.mean(hashes % 16 == 0) == pytest.approx(1 / 16, rel=0.04)


# --- what is refused, and what is promised


@pytest.mark.parametrize(
    ("kinds", "part"),
    [
        ({"agee": "numeric"}, '"agee" is not in the rows'),
        ({"name": "numeric"}, 'Column "name" has the type string, which does not fit a numeric column'),
        ({"name": "tags"}, "does not fit a tags column"),
        ({"list": "datetime"}, "does not fit a datetime column"),
    ],
)
def test_columns_that_do_not_fit_are_refused(kinds: dict[str, Kind], part: str) -> None:
    batch = pa.record_batch({"age": [1.0], "name": ["x"], "list": pa.array([["a"]])})
    with pytest.raises(DataError, match="(?s).*") as caught:
        Statistics.of(batch, kinds)
    assert part in str(caught.value)


def test_a_misspelt_column_is_told_its_nearest_name() -> None:
    with pytest.raises(DataError, match='Did you mean "age"'):
        Statistics.of(pa.record_batch({"age": [1.0]}), {"agee": "numeric"})


def test_different_columns_and_kinds_are_not_merged() -> None:
    batch = pa.record_batch({"a": ["1"], "b": ["2"]})
    found = Statistics.of(batch, {"a": "categorical"})
    with pytest.raises(DataError, match="cannot be merged: a, b"):
        found.merge(Statistics.of(batch, {"b": "categorical"}))
    with pytest.raises(DataError, match="cannot be merged with a text one"):
        found.merge(Statistics.of(batch, {"a": "text"}))


def broken(change: str) -> object:
    found = statistics_of([]).to_json() if change == "version" else numeric_json()
    match change:
        case "version":
            found["version"] = 99
        case "sketch":
            found["features"]["x"]["distinct"]["thin"] = "AAAA"
        case "base64":
            found["features"]["x"]["numbers"]["value"]["digest"] = "?"
        case "digest":
            found["features"]["x"]["numbers"]["value"]["digest"] = "AAAA"
        case "kind":
            found["features"]["x"]["kind"] = "number"
        case "features":
            found["features"] = None
        case "moments":
            found["features"]["x"]["numbers"]["value"]["moments"]["median"] = 1
    return found


def numeric_json() -> dict:
    return Statistics.of(pa.record_batch({"x": [1.0]}), {"x": "numeric"}).to_json()


@pytest.mark.parametrize("change", ["version", "sketch", "base64", "digest", "kind", "features", "moments"])
def test_broken_json_is_refused_in_one_sentence(change: str) -> None:
    with pytest.raises(DataError):
        Statistics.from_json(broken(change))  # type: ignore[arg-type]


def test_statistics_are_equal_in_another_process() -> None:
    program = """
import hashlib, json, numpy as np, pyarrow as pa
from pipeline.data.statistics import Statistics
random = np.random.default_rng(0)
batch = pa.record_batch({"x": random.normal(size=90_000), "c": random.integers(0, 5000, 90_000).astype(str)})
found = Statistics.of(batch, {"x": "numeric", "c": "categorical"}).to_json()
print(hashlib.sha256(json.dumps(found).encode()).hexdigest())
import sys
assert "tensorflow" not in sys.modules
"""
    printed = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert printed[0] == printed[1] != ""


def test_their_size_does_not_grow_with_the_rows() -> None:
    random = np.random.default_rng(0)
    sizes = []
    for num_rows in (100_000, 400_000):
        batch = pa.record_batch(
            {"x": random.normal(size=num_rows), "c": random.integers(0, 10**9, num_rows).astype(str)}
        )
        sizes.append(len(json.dumps(Statistics.of(batch, {"x": "numeric", "c": "categorical"}).to_json())))
    assert sizes[1] < 1.2 * sizes[0] < 100_000


def test_the_examples_in_the_room_run() -> None:
    names = [found.name for found in pkgutil.iter_modules(pipeline.data.statistics.__path__)]
    results = [doctest.testmod(importlib.import_module(f"pipeline.data.statistics.{name}")) for name in names]
    assert sum(result.failed for result in results) == 0
    assert sum(result.attempted for result in results) > 20
