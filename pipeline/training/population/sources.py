"""Where the trials of a population have their batches from: one dataset for those that differ in their seeds only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import tensorflow as tf

# Of a feed: what decides on its batches, but for the seed.
_KIND = ("batch_size", "augment", "resample", "class_weight", "shard")


@dataclass(frozen=True)
class Source:
    """The batches of a trial; equal where they are the same.

    Attributes:
      kind: equal for feeds that differ in their seeds only.
      seed: of the feed.
      feed: see `pipeline.data.feed`.
    """

    kind: str
    seed: int
    feed: Any = field(compare=False, repr=False)

    @classmethod
    def of(cls, feed: Any) -> Source:
        """That of a feed."""
        return cls(repr([getattr(feed, name) for name in _KIND]), feed.seed, feed)


def dataset_of(sources: Sequence[Source], epochs: int, first_step: int) -> tf.data.Dataset:
    """The batches that all trials have in common; or a tuple of one batch for each kind, the seeds one behind another.

    Args:
      sources: of all trials.
      epochs: of the training.
      first_step: to begin with.
    """
    if len(set(sources)) == 1:
        return sources[0].feed.dataset(epochs, first_step)
    kinds = _seeds_of_kinds(sources)
    feeds = {source.kind: source.feed for source in sources}
    found = [
        replace(feeds[kind], seed=seeds[0], beside=tuple(seeds[1:])).dataset(epochs, first_step)
        for kind, seeds in kinds.items()
    ]
    return tf.data.Dataset.zip(tuple(found))


@dataclass(frozen=True)
class Places:
    """Which batch of a step is whose.

    Attributes:
      num_seeds: of each kind.
      of_trials: the place of each trial's batch, counted over the seeds of one kind after another.

    Example:
      >>> Places.of([Source("a", 7, None), Source("b", 7, None), Source("a", 8, None), Source("a", 7, None)])
      Places(num_seeds=[2, 1], of_trials=[0, 2, 1, 0])
    """

    num_seeds: list[int]
    of_trials: list[int]

    @classmethod
    def of(cls, sources: Sequence[Source]) -> Places:
        """Of all trials."""
        kinds = _seeds_of_kinds(sources)
        all_of_them = [(kind, seed) for kind, seeds in kinds.items() for seed in seeds]
        places = [all_of_them.index((source.kind, source.seed)) for source in sources]
        return cls([len(seeds) for seeds in kinds.values()], places)


def batches_of_trials(batches: Sequence[Any], num_seeds: tf.Tensor, places: tf.Tensor) -> Any:
    """Each trial's own batch: a tree of [trials, rows, ...].

    Args:
      batches: of each kind, as `dataset_of` gives them.
      num_seeds, places: see `Places`, int32.
    """

    def apart(batch: Any, num: tf.Tensor) -> Any:
        return tf.nest.map_structure(
            lambda part: tf.reshape(part, tf.concat([[num, -1], tf.shape(part)[1:]], 0)), batch
        )

    found = [apart(batch, num) for batch, num in zip(batches, tf.unstack(num_seeds, num=len(batches)), strict=True)]
    return tf.nest.map_structure(lambda *parts: tf.gather(tf.concat(parts, 0), places), *found)


def _seeds_of_kinds(sources: Sequence[Source]) -> dict[str, list[int]]:
    """In the order in which they come."""
    found: dict[str, list[int]] = {}
    for source in sources:
        seeds = found.setdefault(source.kind, [])
        if source.seed not in seeds:
            seeds.append(source.seed)
    return found
