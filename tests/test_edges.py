"""The edges of a number's bins: increasing, as many as asked at most, and none wasted on one frequent value."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.edges import bin_edges

VALUES = st.lists(st.one_of(st.just(0.0), st.floats(-1e6, 1e6, width=32), st.integers(0, 3).map(float)), max_size=400)


@settings(max_examples=200, deadline=None)
@given(VALUES, st.integers(2, 64))
def test_edges_increase_hold_all_values_and_are_not_too_many(values: list[float], num_bins: int) -> None:
    array = np.asarray(values, np.float32)
    edges = bin_edges(array, num_bins)
    if len(np.unique(array)) < 2:
        assert edges == ()
        return
    assert np.all(np.diff(np.asarray(edges, np.float32)) > 0)
    assert len(edges) <= num_bins + 2
    assert (edges[0], edges[-1]) == (array.min(), array.max())


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_frequent_value_takes_one_edge_and_leaves_the_bins_to_the_others(seed: int, share: float) -> None:
    random = np.random.default_rng(seed)
    values = random.normal(100, 10, 20_000)
    values[: int(share * len(values))] = 0.0
    edges = np.asarray(bin_edges(values, 32))
    rest = np.sort(values[values != 0])
    counts = np.histogram(rest, edges[edges > 0])[0]
    assert len(counts) >= 30
    assert counts.max() <= 2 * counts.mean()


def test_few_distinct_values_are_edges_each_and_few_rows_make_few_bins() -> None:
    assert bin_edges(np.repeat([3.0, 1.0, 2.0], 50), 48) == (1.0, 2.0, 3.0)
    assert len(bin_edges(np.random.default_rng(0).normal(size=100), 256)) == 9
    assert len(bin_edges(np.random.default_rng(0).normal(size=100_000), 256)) == 257
