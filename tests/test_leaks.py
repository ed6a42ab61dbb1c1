"""Leaks that are there are named, and honest features are left alone."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.kinds import Kind
from pipeline.data.leaks import Leak, find_leaks
from pipeline.errors import DataError


def kinds_of(columns: dict[str, Any]) -> dict[str, Kind]:
    """By the type of their values: numbers, times or categories."""
    letters: dict[str, Kind] = {"f": "numeric", "M": "datetime"}
    return {name: letters.get(np.asarray(values).dtype.kind, "categorical") for name, values in columns.items()}


def find(columns: dict[str, Any], label: str, task: str, **more: Any) -> list[tuple[str, tuple[str, ...]]]:
    """Kind and features of each finding."""
    leaks = find_leaks(pa.table(columns), label, kinds_of(columns), task=task, **more)
    return [(leak.kind, leak.features) for leak in leaks]


def honest(rows: int = 2000, seed: int = 0) -> dict[str, Any]:
    """Numbers, counts, categories and times that know the label only in part."""
    generator = np.random.default_rng(seed)
    temperature = generator.normal(15, 8, rows)
    return {
        "temperature": temperature,
        "visits": generator.poisson(30, rows).astype(np.float64),
        "spent": np.round(generator.lognormal(3, 1, rows), 2),
        "colour": np.asarray(["red", "green", "blue"])[generator.integers(0, 3, rows)],
        "shop": np.char.add("shop ", generator.integers(0, rows // 4, rows).astype(str)),
        "when": np.datetime64("2026-01-01", "us") + np.arange(rows) * np.timedelta64(1, "h"),
        "label": np.round(temperature * 2 + generator.normal(0, 4, rows), 3),
    }


def classes(columns: dict[str, Any], count: int) -> dict[str, Any]:
    """The same with the label in so many classes."""
    ranks = np.argsort(np.argsort(columns["label"]))
    return {**columns, "label": np.char.add("class ", (ranks * count // len(ranks)).astype(str))}


@pytest.mark.parametrize("seed", range(5))
def test_honest_features_are_left_alone(seed: int) -> None:
    columns = honest(seed=seed)
    assert find(columns, "label", "regression") == []
    assert find(classes(columns, 2), "label", "binary") == []
    assert find(classes(columns, 7), "label", "multiclass") == []


def test_a_strong_feature_is_no_leak() -> None:
    columns = honest()
    columns["motor"] = columns["label"] * 0.7 + np.random.default_rng(1).normal(0, 4, 2000)
    assert np.corrcoef(columns["motor"], columns["label"])[0, 1] > 0.9
    assert find(columns, "label", "regression") == []


def test_the_two_parts_of_a_sum_are_named_in_one_sentence() -> None:
    columns = honest()
    generator = np.random.default_rng(2)
    columns["casual"] = generator.poisson(30, 2000).astype(np.float64)
    columns["registered"] = generator.poisson(150, 2000).astype(np.float64)
    columns["cnt"] = columns["casual"] + columns["registered"]
    [leak] = find_leaks(pa.table(columns), "cnt", kinds_of(columns), task="regression")
    assert (leak.kind, leak.features, leak.score) == ("sum", ("casual", "registered"), 1.0)
    assert leak.line() == (
        'leak: "casual" + "registered" = "cnt" in all 2,000 train rows; they cannot be known before the label is'
    )


@settings(max_examples=40, deadline=None)
@given(
    size=st.integers(1, 4),
    signs=st.lists(st.sampled_from([1, -1]), min_size=4, max_size=4),
    factor=st.sampled_from([1.0, 0.5, 2.0, 100.0, 1 / 3]),
    decimals=st.sampled_from([0, 2, None]),
    seed=st.integers(0, 1000),
)
def test_sums_and_differences_of_up_to_four_features_are_found(
    size: int, signs: list[int], factor: float, decimals: int | None, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    matrix = generator.normal(0, 50, (400, 9)) * generator.uniform(0.5, 3, 9)
    matrix = matrix if decimals is None else np.round(matrix, decimals)
    chosen = sorted(generator.choice(9, size, replace=False).tolist())
    label = factor * (matrix[:, chosen] @ signs[:size])
    columns = {**{f"f{place}": matrix[:, place] for place in range(9)}, "label": label}
    found = [features for kind, features in find(columns, "label", "regression") if kind == "sum"]
    assert found == [tuple(f"f{place}" for place in chosen)]


def test_a_sum_of_rounded_parts_is_found() -> None:
    generator = np.random.default_rng(0)
    net, tax = generator.lognormal(4, 1, (2, 1000))
    columns = {"net": np.round(net, 2), "tax": np.round(tax, 2), "gross": np.round(net + tax, 2)}
    assert (columns["net"] + columns["tax"] != columns["gross"]).mean() > 0.2
    assert ("sum", ("net", "tax")) in find(columns, "gross", "regression")


def test_a_sum_is_found_among_many_features_with_missing_values() -> None:
    generator = np.random.default_rng(0)
    matrix = generator.normal(size=(3000, 120))
    label = matrix[:, 3] + matrix[:, 50] - matrix[:, 99]
    matrix[generator.random(matrix.shape) < 0.001] = np.nan
    matrix[:, 7] = np.nan
    columns = {**{f"f{place}": matrix[:, place] for place in range(120)}, "label": label}
    table = pa.table({name: pa.array(values, from_pandas=True) for name, values in columns.items()})
    [leak] = find_leaks(table, "label", kinds_of(columns), task="regression")
    assert leak.features == ("f3", "f50", "f99")
    assert '"f3" + "f50" - "f99" = "label"' in leak.evidence


def test_the_label_in_another_unit_is_named_with_its_formula() -> None:
    columns = honest()
    columns["fahrenheit"] = columns["label"] * 1.8 + 32
    [leak] = find_leaks(pa.table(columns), "label", kinds_of(columns), task="regression")
    assert leak.features == ("fahrenheit",)
    assert '0.555556 * "fahrenheit" - 17.7778 = "label"' in leak.line()
    assert "it cannot be known" in leak.line()


def test_an_almost_exact_sum_is_none() -> None:
    columns = honest()
    noise = np.random.default_rng(5).normal(0, 0.1, 2000)
    columns["label"] = columns["visits"] + columns["temperature"] + noise
    assert find(columns, "label", "regression") == []


@pytest.mark.parametrize(("task", "count"), [("binary", 2), ("multiclass", 5)])
def test_a_feature_that_tells_the_class_is_found_whatever_its_kind(task: str, count: int) -> None:
    columns = classes(honest(), count)
    number = np.char.partition(columns["label"], " ")[:, 2].astype(np.float64)
    noise = np.random.default_rng(3).uniform(0, 0.9, 2000)
    columns["outcome"] = np.char.add("code ", ((number * 7) % 5).astype(str))
    columns["score"] = (number * 3) % 5 + noise
    columns["closed"] = np.datetime64("2026-01-01", "us") + (number * 86400e6 + noise * 1e6).astype(np.int64)
    assert find(columns, "label", task) == [("predicts", (name,)) for name in ("outcome", "score", "closed")]
    leak = find_leaks(pa.table(columns), "label", kinds_of(columns), task=task)[0]
    assert leak.score >= 0.99
    assert leak.line().startswith('leak: "outcome" alone predicts "label"')


def test_a_feature_that_tells_the_quantity_is_found() -> None:
    columns = honest()
    columns["label"] = np.random.default_rng(6).uniform(0, 100, 2000)
    columns["cubed"] = columns["label"] ** 3
    columns["grade"] = np.char.add("g", (columns["label"] // 2).astype(int).astype(str))
    assert find(columns, "label", "regression") == [("predicts", ("cubed",)), ("predicts", ("grade",))]


def test_that_a_value_is_missing_can_tell_the_class() -> None:
    columns = classes(honest(), 2)
    table = pa.table(columns)
    returned = np.where(columns["label"] == "class 1", columns["temperature"], np.nan)
    table = table.append_column("returned", pa.array(returned, from_pandas=True))
    kinds = {**kinds_of(columns), "returned": "numeric"}
    assert [leak.features for leak in find_leaks(table, "label", kinds, task="binary")] == [("returned",)]


def test_identifiers_name_rows_and_predict_nothing() -> None:
    columns = honest()
    generator = np.random.default_rng(4)
    columns["instant"] = np.cumsum(generator.integers(1, 1000, 2000)).astype(np.float64)
    columns["account"] = (15_500_000 + generator.permutation(100_000)[:2000]).astype(np.float64)
    columns["name"] = np.char.add("customer ", generator.permutation(2000).astype(str))
    expected = [("identifier", (name,)) for name in ("instant", "account", "name")]
    assert find(columns, "label", "regression") == expected
    assert find(classes(columns, 2), "label", "binary") == expected


def test_floats_times_and_texts_are_no_identifiers() -> None:
    columns = honest()
    columns["text"] = np.char.add("how do I ", np.arange(2000).astype(str))
    columns["price"] = np.random.default_rng(0).integers(0, 10**9, 2000).astype(np.float64)
    kinds = {**kinds_of(columns), "text": "text"}
    assert find_leaks(pa.table(columns), "label", kinds, task="regression") == []


def test_what_is_declared_is_named_while_it_is_among_the_features() -> None:
    columns = honest()
    assert find(columns, "label", "regression", known_after=["visits", "absent", "label"]) == [
        ("known after", ("visits",))
    ]
    [leak] = find_leaks(pa.table(columns), "label", kinds_of(columns), task="regression", known_after=["visits"])
    assert leak.line().startswith('leak: "visits" is declared to be known after "label"; ')


def test_a_column_that_is_not_there_is_refused() -> None:
    with pytest.raises(DataError, match='no column "gone"'):
        find_leaks(pa.table({"a": [1.0]}), "a", {"gone": "numeric"}, task="regression")


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("rows", [0, 1, 29, 40, 60])
def test_few_rows_constants_and_nothing_but_gaps_prove_nothing(task: str, rows: int) -> None:
    label = pa.array(np.arange(rows) % 2.0) if task == "regression" else pa.array([str(row % 2) for row in range(rows)])
    table = pa.table(
        {
            "same": pa.array([1.0] * rows, pa.float64()),
            "empty": pa.array([None] * rows, pa.float64()),
            "unknown": pa.array([None] * rows, pa.string()),
            "coded": pa.array(["x"] * rows, pa.string()).dictionary_encode(),
            "label": label,
        }
    )
    kinds: dict[str, Kind] = {"same": "numeric", "empty": "numeric", "unknown": "categorical", "coded": "categorical"}
    assert find_leaks(table, "label", kinds, task=task) == []


def test_the_same_seed_finds_the_same() -> None:
    columns = classes(honest(), 3)
    columns["score"] = np.char.partition(columns["label"], " ")[:, 2].astype(np.float64)
    first, same = (find_leaks(pa.table(columns), "label", kinds_of(columns), task="multiclass", seed=3) for _ in "ab")
    assert first == same
    assert isinstance(first[0], Leak)


def test_fifty_thousand_rows_of_thirty_columns_take_a_moment() -> None:
    generator = np.random.default_rng(0)
    columns: dict[str, Any] = {f"n{place}": generator.normal(size=50_000) for place in range(20)}
    columns |= {f"c{place}": generator.integers(0, 1000, 50_000).astype(str) for place in range(10)}
    columns["label"] = generator.normal(size=50_000)
    table, kinds = pa.table(columns), kinds_of(columns)
    start = time.process_time()  # of the processor: other tests may run beside this one
    assert find_leaks(table, "label", kinds, task="regression") == []
    assert time.process_time() - start < 3
