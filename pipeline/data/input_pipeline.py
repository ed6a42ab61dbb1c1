"""From stores to batches: once for training and once for evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from pipeline.data.augment.examples import Augmentation
from pipeline.data.feed import ClassWeight, Feed, options
from pipeline.data.store import LABEL, SAMPLE_WEIGHT, Store


def make_train(
    store: Store,
    *,
    batch_size: int,
    seed: int,
    epochs: int = 1,
    augment: Sequence[Augmentation] = (),
    resample: str | Mapping[int, float] = "none",
    class_weight: ClassWeight = None,
    shard: tuple[int, int] = (0, 1),
    threads: int | None = None,
    first_step: int = 0,
) -> tf.data.Dataset:
    """The train batches of all epochs, each a pure function of (seed, step).

    Args:
      store: of the train rows.
      batch_size: rows a batch; the last batch of an epoch has what is left.
      seed: of the order and of the augmentations.
      epochs: each goes once over all rows, in an order of its own.
      augment: random changes, applied in this order; see `pipeline.data.augment`.
      resample: none; balanced: every class equally often; or class index -> share of an epoch.
      class_weight: none; balanced: rows / (classes * rows of the class); or class index -> weight.
      shard: (worker, workers): this worker's rows of every batch. The batch of all workers together is always the same.
      threads: that make batches; None: as many as there are cores.
      first_step: the step to begin with, reached at once.

    Returns:
      A dataset of (features, label), or (features, label, sample_weight) where the store has weights or classes are
      given some; `features` as in `pipeline.spec.Spec`. Its cardinality is epochs * ceil(rows / batch_size) -
      first_step, and its attribute `feed` gives the same batches from any other step on. `model.fit(dataset,
      steps_per_epoch=..., epochs=...)` takes it as it is.

    Raises:
      ConfigError: an argument does not fit the store.

    Example:
      >>> from pipeline import data
      >>> splits = data.prepare(data.sources.ScikitLearn("iris"))
      >>> train = data.make_train(splits.train, batch_size=32, seed=7, epochs=2)
      >>> int(train.cardinality()), train.feed.rows(step=3).shape
      (8, (9,))
    """
    feed = Feed(
        store,
        batch_size=min(batch_size, max(len(store), 1)),
        seed=seed,
        augment=tuple(augment),
        resample=resample,
        class_weight=class_weight,
        shard=shard,
        threads=threads,
    )
    return feed.dataset(epochs, first_step)


def make_eval(store: Store, *, batch_size: int = 1024) -> tf.data.Dataset:
    """Every row once, in the order of the store.

    Args:
      store: of any rows.
      batch_size: rows a batch; the last one has what is left.

    Returns:
      A dataset of known cardinality, of (features, label), or (features, label, sample_weight) where the store has
      weights; its attribute `store` is the store.
    """
    num_rows, columns = len(store), store.readers()

    def batch(start: tf.Tensor) -> tuple[Any, ...]:
        rows = tf.range(start, tf.minimum(start + batch_size, num_rows))
        found = {name: read(rows) for name, read in columns.items()}
        label, weight = found.pop(LABEL), found.pop(SAMPLE_WEIGHT, None)
        return (found, label) if weight is None else (found, label, weight)

    starts = tf.data.Dataset.range(0, num_rows, batch_size)
    dataset = starts.map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)
    dataset = dataset.with_options(options())
    dataset.store = store
    return dataset


def num_steps(num_rows: int, batch_size: int) -> int:
    """Batches in an epoch, the last one perhaps smaller."""
    return -(-num_rows // batch_size)
