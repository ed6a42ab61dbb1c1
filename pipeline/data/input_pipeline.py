"""From stores to batches: the order of the steps, once for training and once for evaluation.

Every batch is a pure function of (seed, step): the order comes from a permutation computed per epoch, never
from a buffer, and every random change from a seed made of both. A batch is gathered whole; no dataset
element is ever a single row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.data.store import LABEL, Store

# Columns up to this size are held as tensors, which is fastest; larger ones are read from the memory map.
IN_MEMORY_BYTES = 4 << 30

Batch = tuple[dict[str, tf.Tensor], tf.Tensor]
Augmentation = Callable[[dict[str, tf.Tensor], tf.Tensor], dict[str, tf.Tensor]]


def make_train(
    store: Store,
    *,
    batch_size: int,
    seed: int,
    epochs: int = 1,
    augment: Sequence[Augmentation] = (),
    first_step: int = 0,
) -> tf.data.Dataset:
    """The train batches of all epochs.

    Args:
      store: of the train rows.
      batch_size: rows a batch; the last batch of an epoch has what is left.
      seed: of the order and of the augmentations.
      epochs: each goes once over all rows, in an order of its own.
      augment: (features, seed [2]) -> features, applied in this order.
      first_step: the step to begin with, reached at once.

    Returns:
      A dataset of (features, label) of known cardinality: epochs * ceil(rows / batch_size) - first_step.
      `model.fit(dataset, steps_per_epoch=..., epochs=...)` takes it as it is.

    Example:
      >>> import pathlib, tempfile
      >>> from pipeline.data.store import StoreWriter
      >>> folder = pathlib.Path(tempfile.mkdtemp())
      >>> writer = StoreWriter(folder, 4, {"numeric": ("float32", (1,)), "label": ("int32", ())})
      >>> writer.append({"numeric": np.zeros((4, 1)), "label": np.arange(4)}); writer.close()
      >>> train = make_train(Store(folder), batch_size=4, seed=7, epochs=2)
      >>> sorted(next(iter(train))[1].numpy().tolist()), int(train.cardinality())
      ([0, 1, 2, 3], 2)
    """
    num_rows, batch_size = len(store), min(batch_size, len(store))
    steps = num_steps(num_rows, batch_size)
    gather = _gatherer(store)
    epoch_of_first, step_of_first = divmod(first_step, steps)

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(
            tf.range(num_rows), seed=tf.stack([tf.constant(seed, tf.int64), epoch])
        )
        begin = tf.where(epoch == epoch_of_first, tf.constant(step_of_first, tf.int64), 0)

        def batch(step: tf.Tensor) -> Batch:
            features, label = gather(order[step * batch_size : (step + 1) * batch_size])  # 1. gather rows
            key = tf.stack([tf.constant(seed, tf.int64), epoch * steps + step])
            for place, change in enumerate(augment):  # 2. augment, in the units that the model will see
                features = change(features, tf.random.experimental.stateless_fold_in(key, place))
            return features, label

        return tf.data.Dataset.range(begin, steps).map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    dataset = tf.data.Dataset.range(epoch_of_first, epochs).flat_map(one_epoch)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(max(epochs * steps - first_step, 0)))
    return dataset.prefetch(tf.data.AUTOTUNE)


def make_eval(store: Store, *, batch_size: int = 1024) -> tf.data.Dataset:
    """Every row once, in the order of the store: a dataset of (features, label) of known cardinality."""
    num_rows = len(store)
    gather = _gatherer(store)

    def batch(step: tf.Tensor) -> Batch:
        return gather(tf.range(step * batch_size, tf.minimum((step + 1) * batch_size, num_rows)))

    steps = tf.data.Dataset.range(num_steps(num_rows, batch_size))
    return steps.map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)


def num_steps(num_rows: int, batch_size: int) -> int:
    """Batches in an epoch, the last one perhaps smaller."""
    return -(-num_rows // batch_size)


def _gatherer(store: Store) -> Callable[[tf.Tensor], Batch]:
    columns = store.columns
    if store.num_bytes <= IN_MEMORY_BYTES:
        tensors = {name: tf.constant(column) for name, column in columns.items()}
        return lambda indices: _split_label({name: tf.gather(tensor, indices) for name, tensor in tensors.items()})

    def read(indices: np.ndarray) -> list[np.ndarray]:
        return [np.ascontiguousarray(column[indices]) for column in columns.values()]

    def gather(indices: tf.Tensor) -> Batch:
        read_columns = tf.numpy_function(read, [indices], [tf.as_dtype(column.dtype) for column in columns.values()])
        for tensor, column in zip(read_columns, columns.values(), strict=True):
            tensor.set_shape([None, *column.shape[1:]])
        return _split_label(dict(zip(columns, read_columns, strict=True)))

    return gather


def _split_label(columns: dict[str, Any]) -> Batch:
    return {name: column for name, column in columns.items() if name != LABEL}, columns[LABEL]
