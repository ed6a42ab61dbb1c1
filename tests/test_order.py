"""Every epoch is a permutation that (seed, epoch) decides, whole or in windows, resampled or not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.order import Order, permutation
from pipeline.data.resampling import Resampling, class_weights
from pipeline.errors import ConfigError

WINDOWS: dict[str, Any] = {"block_rows": 10, "window_blocks": 7}


@given(num=st.integers(0, 300), salt=st.integers(0, 2**64 - 1))
def test_a_permutation_holds_every_number_once(num: int, salt: int) -> None:
    assert sorted(permutation(num, salt).tolist()) == list(range(num))


def test_a_permutation_is_the_same_forever() -> None:
    assert permutation(10, 12345).tolist() == [3, 7, 1, 4, 2, 6, 8, 9, 5, 0]


def test_every_number_comes_to_every_place_equally_often() -> None:
    found = np.stack([permutation(6, salt) for salt in range(6000)])
    for place in range(6):
        counts = np.bincount(found[:, place], minlength=6)
        assert np.abs(counts - 1000).max() < 150  # 5 standard deviations
    assert len({tuple(one) for one in found.tolist()}) == 720


def test_groups_come_one_after_another_and_are_shuffled_inside() -> None:
    groups = np.asarray([1, 0, 2, 0, 1, 2] * 20, np.uint64)
    found = permutation(120, 5, groups)
    assert groups[found].tolist() == sorted(groups.tolist())
    assert sorted(found.tolist()) == list(range(120))
    assert found[:40].tolist() != sorted(found[:40].tolist())


@settings(max_examples=50)
@given(
    rows=st.integers(1, 200),
    seed=st.integers(0, 2**31),
    epoch=st.integers(0, 2**40),
    block_rows=st.one_of(st.none(), st.integers(1, 60)),
    window_blocks=st.integers(1, 9),
    cuts=st.lists(st.integers(0, 200), min_size=2, max_size=4),
)
def test_any_piece_of_an_epoch_is_that_piece_of_the_whole(
    rows: int, seed: int, epoch: int, block_rows: int | None, window_blocks: int, cuts: list[int]
) -> None:
    order = Order(rows, seed, block_rows=block_rows, window_blocks=window_blocks)
    whole = order.examples(epoch, 0, rows)
    assert sorted(whole.tolist()) == list(range(rows))
    start, stop = min(min(cuts), rows), min(max(cuts), rows)
    fresh = Order(rows, seed, block_rows=block_rows, window_blocks=window_blocks)
    assert fresh.examples(epoch, start, stop).tolist() == whole[start:stop].tolist()


@pytest.mark.parametrize("form", [{}, WINDOWS])
def test_epochs_and_seeds_have_orders_of_their_own(form: dict[str, Any]) -> None:
    found = {tuple(Order(503, seed, **form).examples(epoch, 0, 503)) for seed in range(4) for epoch in range(4)}
    assert len(found) == 16


def test_a_window_reads_whole_blocks_and_tells_them_before() -> None:
    told: list[list[tuple[int, int]]] = []
    order = Order(205, 1, block_rows=10, window_blocks=7, on_window=told.append)
    first = order.examples(0, 0, 60)
    assert len(told) == 1
    inside = {row for begin, end in told[0] for row in range(begin, end)}
    assert set(first.tolist()) <= inside
    assert len(told[0]) == 7
    order.examples(0, 0, 205)
    read = sorted(row for blocks in told for begin, end in blocks for row in range(begin, end))
    assert read == list(range(205))


def test_windows_mix_a_store_that_is_sorted_by_its_label() -> None:
    labels = np.repeat(np.arange(10), 1000)
    order = Order(10_000, 3, block_rows=25, window_blocks=40)
    found = labels[order.examples(0, 0, 10_000)].reshape(-1, 100)
    per_batch = np.stack([np.bincount(batch, minlength=10) for batch in found])
    assert per_batch.max() < 45  # a batch of 100 from the sorted store would hold one class


@pytest.mark.parametrize("form", [{}, WINDOWS])
def test_resampled_classes_have_their_shares_in_every_epoch(form: dict[str, Any]) -> None:
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [900, 90, 13]))
    order = Order(1003, 3, Resampling.of_classes(labels), **form)
    chosen = []
    for epoch in range(3):
        examples = order.examples(epoch, 0, 1003)
        rows = examples % 1003
        slack = 2 if not form else 40  # rows of a class lie together only in a full shuffle
        assert np.abs(np.bincount(labels[rows]) - 1003 / 3).max() <= slack
        assert len(set(examples.tolist())) == 1003  # a copy is an example of its own
        copies = np.bincount(rows, minlength=1003)[labels == 2]
        assert set(copies.tolist()) <= {25, 26}
        chosen.append(set(rows[labels[rows] == 0].tolist()))
        assert order.examples(epoch, 100, 400).tolist() == examples[100:400].tolist()
    if not form:
        assert len(chosen[0] | chosen[1] | chosen[2]) > 600  # another third of the frequent class each time


def test_shares_are_kept_and_a_class_not_named_keeps_its_own() -> None:
    labels = np.repeat([0, 1, 2], [800, 150, 50])
    rows = Order(1000, 0, Resampling.of_classes(labels, {2: 0.95})).examples(0, 0, 1000) % 1000
    assert np.bincount(labels[rows]).tolist() == pytest.approx([421, 79, 500], abs=1.5)
    without = Order(1000, 0, Resampling.of_classes(labels, {0: 0.0})).examples(0, 0, 1000) % 1000
    assert np.bincount(labels[without], minlength=3).tolist() == pytest.approx([0, 750, 250], abs=1)


@pytest.mark.parametrize(
    ("shares", "said"),
    [({7: 1.0}, "class 7 has no row"), ({0: -1.0}, "share of class 0 is -1"), ({0: 0, 1: 0}, "all shares")],
)
def test_shares_that_make_no_sense_are_refused(shares: dict[int, float], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Resampling.of_classes(np.asarray([0, 0, 1]), shares)


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    labels = np.repeat([0, 1, 3], [5, 60, 7])
    expected = compute_class_weight("balanced", classes=np.asarray([0, 1, 3]), y=labels)
    assert class_weights(labels)[[0, 1, 3]] == pytest.approx(expected)
