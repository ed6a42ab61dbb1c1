"""One feed of many seeds: each batch holds, one behind another, what the feed of each seed has in that step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data import augment
from pipeline.data.feed import Feed
from pipeline.data.store import Store
from pipeline.training.population.sources import Places, Source, batches_of_trials, dataset_of
from tests.test_input_pipeline import write_store

AUGMENT = {
    "plain": (),
    "noise": (augment.Noise(scale=0.5),),
    "of partners": (augment.MixUp(alpha=0.4), augment.Noise(scale=0.1)),
    "images": (augment.Shift(fraction=0.25), augment.Flip()),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_store(tmp_path_factory.mktemp("store"))


def batches(feed: Feed, epochs: int, first_step: int) -> list[Any]:
    return list(feed.dataset(epochs, first_step).as_numpy_iterator())


def assert_equal(found: Any, expected: Any) -> None:
    tf.nest.map_structure(np.testing.assert_array_equal, found, expected)


@pytest.mark.parametrize("operations", AUGMENT.values(), ids=AUGMENT)
@given(
    seeds=st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=4, unique=True),
    batch_size=st.integers(1, 30),
    step=st.integers(0, 5),
    block_steps=st.sampled_from([None, 1, 3]),
    balanced=st.booleans(),
)
@settings(max_examples=10)
def test_a_batch_of_many_seeds_is_that_of_each(
    store: Store, operations: Any, seeds: list[int], batch_size: int, step: int, block_steps: int, balanced: bool
) -> None:
    own = {"augment": operations, "resample": "balanced" if balanced else "none", "class_weight": "balanced"}
    feeds = [Feed(store, min(batch_size, len(store)), seed, **own) for seed in seeds]
    together = Feed(store, feeds[0].batch_size, seeds[0], block_steps=block_steps, beside=tuple(seeds[1:]), **own)
    first_step = min(step, 3 * together.steps_per_epoch)
    found = batches(together, 3, first_step)
    alone = [batches(feed, 3, first_step) for feed in feeds]
    assert len(found) == len(alone[0])
    for batch, *parts in zip(found, *alone, strict=True):
        assert_equal(batch, tf.nest.map_structure(lambda *one: np.concatenate(one), *parts))


def test_each_trial_of_a_population_has_the_batches_of_its_feed(store: Store) -> None:
    kinds = [(augment.Noise(scale=0.5),), ()]
    feeds = [Feed(store, 5, seed, augment=kinds[kind]) for kind, seed in ((0, 3), (1, 3), (0, 9), (1, 4), (0, 3))]
    sources = [Source.of(feed) for feed in feeds]
    places = Places.of(sources)
    assert places.num_seeds == [2, 2]
    of_all = dataset_of(sources, 2, 1)
    numbers = np.asarray(places.num_seeds, np.int32), np.asarray(places.of_trials, np.int32)
    found = [batches_of_trials(batch, *map(tf.constant, numbers)) for batch in of_all]
    for place, feed in enumerate(feeds):
        for batch, expected in zip(found, batches(feed, 2, 1), strict=True):
            assert_equal(tf.nest.map_structure(lambda part, at=place: part[at].numpy(), batch), expected)
    assert isinstance(dataset_of(sources[1:2], 2, 1).element_spec[0], dict)  # one source: its own dataset


def test_the_dataset_of_many_seeds_knows_its_length(store: Store, tmp_path: Path) -> None:
    found = Feed(store, 5, 0, beside=(1, 2)).dataset(2, first_step=3)
    sizes = [len(label) for _, label in found.as_numpy_iterator()]
    assert sizes == [15, 9, 15, 15, 15, 15, 9]  # 23 rows: 5, 5, 5, 5, 3
    assert int(found.cardinality()) == len(sizes)
