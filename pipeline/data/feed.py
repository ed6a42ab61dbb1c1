"""Batches as a pure function of (seed, step): any step is reached at once, and no parallelism changes a bit.

A batch is not put together from rows. Its rows are looked up in the order of its epoch (see `pipeline.data.order`),
gathered from the store in one operation, changed by each augmentation in one operation, and handed on. Where batches
are small, many of them are made at once as one block and cut up at the end, so that the cost of starting operations is
shared. Since every row has its own random numbers, where a block begins and ends changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.data.augment.examples import Augmentation, Examples
from pipeline.data.augment.keyed import fold
from pipeline.data.order import Order
from pipeline.data.resampling import Resampling, class_weights
from pipeline.data.store import LABEL, SAMPLE_WEIGHT, Store
from pipeline.errors import ConfigError
from pipeline.spec import Spec

# A block of batches has about this size: large enough to forget what starting an operation costs, and still in the
# cache.
_BLOCK_BYTES = 2 << 20
# With many seeds a batch is large already, and each thread keeps the memory that it once had.
_BLOCK_BYTES_BESIDE = 512 << 10
_MAX_BLOCK_STEPS = 256
# Stores beyond this are shuffled in windows, so that rows are read from disk in long runs. A fixed size, not that of
# this machine's memory: the order of an epoch must not depend on the machine.
SHUFFLED_WHOLE_BYTES = 4 << 30
_DISK_BLOCK_BYTES, _WINDOW_BYTES = 4 << 20, 1 << 30

ClassWeight = None | str | Mapping[int, float]


@dataclass(frozen=True, eq=False)
class Feed:
    """The train batches of a store, of every step of every epoch.

    Args:
      store: of the train rows.
      batch_size: rows of a global batch; the last one of an epoch has what is left.
      seed: of the order and of the augmentations.
      augment: applied in this order, see `pipeline.data.augment`.
      resample: none, balanced (every class equally often), or class index -> share of an epoch.
      class_weight: none, balanced, or class index -> weight of its rows in the loss.
      shard: (worker, workers): this worker's rows of every global batch; those of all workers together are the batch.
      threads: that make batches; None: as many as there are cores. Changes no bit.
      block_steps: batches that are made at once; None: by their size. Changes no bit.
      beside: more seeds. A batch of `dataset` then holds the rows of this seed's batch and, behind them, of the batch
        that each of these seeds has in this step: many trainings are fed by one dataset.

    Raises:
      ConfigError: an argument does not fit the store.

    Example:
      >>> import pathlib, tempfile
      >>> from pipeline.data.store import StoreWriter
      >>> folder = pathlib.Path(tempfile.mkdtemp())
      >>> writer = StoreWriter(folder, 4, {"numeric": ("float32", (1,)), "label": ("int32", ())})
      >>> writer.append({"numeric": np.zeros((4, 1)), "label": np.arange(4)}); writer.close()
      >>> feed = Feed(Store(folder), batch_size=3, seed=7)
      >>> feed.steps_per_epoch, len(feed.rows(step=1)), int(feed.dataset(epochs=5, first_step=3).cardinality())
      (2, 1, 7)
    """

    store: Store
    batch_size: int
    seed: int
    augment: tuple[Augmentation, ...] = ()
    resample: str | Mapping[int, float] = "none"
    class_weight: ClassWeight = "none"
    shard: tuple[int, int] = (0, 1)
    threads: int | None = None
    block_steps: int | None = None
    beside: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        worker, workers = self.shard
        if self.batch_size < 1 or not 0 <= worker < workers:
            raise ConfigError(
                f"batch_size is {self.batch_size} and shard {self.shard}.", expected="at least 1, and (worker, workers)"
            )
        for name, value in (("resample", self.resample), ("class_weight", self.class_weight)):
            if isinstance(value, str) and value not in ("none", "balanced"):
                raise ConfigError(f'{name} is "{value}".', expected="none, balanced, or a number for each class")
        for operation in self.augment:
            if not _changes_one_of(operation, self.store.columns):
                raise ConfigError(
                    f"augment: {operation!r} changes {getattr(operation, 'part', 'something')!r}; the store holds "
                    f"{', '.join(self.store.columns)}.",
                    expected="operations of pipeline.data.augment, on what the store holds",
                )
        if (self.resample != "none" or self.class_weight not in (None, "none")) and not self._has_classes:
            raise ConfigError("resample and class_weight need classes.", expected="a label of classes, not a quantity")

    @property
    def num_rows(self) -> int:
        """Rows of an epoch."""
        return len(self.store)

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch, the last one perhaps smaller."""
        return -(-self.num_rows // self.batch_size)

    @property
    def steps_per_block(self) -> int:
        """Batches that are made at once."""
        if self.block_steps is not None:
            return self.block_steps
        batch_bytes = self.store.num_bytes / max(self.num_rows, 1) * self.batch_size / self.shard[1]
        wanted = _BLOCK_BYTES_BESIDE if self.beside else _BLOCK_BYTES
        return int(np.clip(wanted // max(batch_bytes * len(self._of_seeds), 1), 1, _MAX_BLOCK_STEPS))

    def rows(self, step: int) -> np.ndarray:
        """The row numbers of the batch of a step: int64 [rows of this shard]."""
        return self._examples(step, step + 1)[0] % self.num_rows

    def examples(self, rows: np.ndarray, epoch: int) -> tuple[Any, ...]:
        """What an epoch makes of these rows (int [n]): a batch as of `dataset`, in memory."""
        wanted = tf.constant(rows, tf.int64)
        return self._batch(wanted, tf.fill(tf.shape(wanted), tf.constant(epoch, tf.int64)), self.seed)

    def dataset(self, epochs: int = 1, first_step: int = 0) -> tf.data.Dataset:
        """The batches of all epochs from a step on, see `pipeline.data.make_train`; `.feed` of it is this object."""
        self._columns  # noqa: B018 - here and not while the graph is made, to which the tensors would belong then
        last = epochs * self.steps_per_epoch

        @tf.autograph.experimental.do_not_convert  # there is nothing to convert, and looking for it takes a second
        def block(begin: tf.Tensor, end: tf.Tensor) -> tuple[Any, ...]:
            found = tf.numpy_function(self._of_all_seeds, [begin, end], [tf.int64] * 3)  # 1. which rows
            return self._batch(*(tf.ensure_shape(column, [None]) for column in found))  # 2. - 5.

        found = self._blocks(first_step, last)
        found = found.map(block, num_parallel_calls=self.threads or tf.data.AUTOTUNE, deterministic=True)
        found = found.rebatch(self._sizes(first_step) * len(self._of_seeds))  # 6. cut the block into batches
        found = found.apply(tf.data.experimental.assert_cardinality(max(last - first_step, 0)))
        found = found.prefetch(tf.data.AUTOTUNE).with_options(options(self.threads))
        found.feed, found.first_step = self, first_step
        return found

    @cached_property
    def order(self) -> Order:
        """Which example stands where in an epoch."""
        row_bytes = max(self.store.num_bytes // max(self.num_rows, 1), 1)
        if self.store.num_bytes <= SHUFFLED_WHOLE_BYTES:
            return Order(self.num_rows, self.seed, self._resampling)
        return Order(
            self.num_rows,
            self.seed,
            self._resampling,
            block_rows=max(_DISK_BLOCK_BYTES // row_bytes, 1),
            window_blocks=_WINDOW_BYTES // _DISK_BLOCK_BYTES,
            on_window=self.store.will_need,
        )

    def _blocks(self, first: int, last: int) -> tf.data.Dataset:
        """The steps from `first` to before `last`, some at a time, few at first: (begin, end) of each block."""
        most = self.steps_per_block
        ends, size = [first], 1
        while size < most and ends[-1] < last:
            ends.append(min(ends[-1] + size, last))
            size *= 2
        begins = tf.data.Dataset.from_tensor_slices((np.asarray(ends[:-1], np.int64), np.asarray(ends[1:], np.int64)))
        rest = tf.data.Dataset.range(ends[-1], last, most)
        return begins.concatenate(rest.map(lambda begin: (begin, tf.minimum(begin + most, last))))

    def _batch(self, examples: tf.Tensor, epochs: tf.Tensor, seeds: tf.Tensor | int) -> tuple[Any, ...]:
        """The order of the steps: gather, soften labels, augment, weigh; for any examples (int64 [n]) of any epochs."""
        rows = examples % self.num_rows
        found = self._augmented(self.augment, rows, examples, epochs, seeds)
        weights = self._weights(rows, found.label)
        return (found.features, found.label) if weights is None else (found.features, found.label, weights)

    def _augmented(
        self,
        operations: tuple[Augmentation, ...],
        rows: tf.Tensor,
        examples: tf.Tensor,
        epochs: tf.Tensor,
        seeds: tf.Tensor | int,
    ) -> Examples:
        columns = {name: gather(rows) for name, gather in self._columns.items()}  # 2. gather
        label = columns.pop(LABEL)
        columns.pop(SAMPLE_WEIGHT, None)
        if any(operation.mixes for operation in self.augment) and label.dtype.is_integer:
            label = tf.one_hot(label, self._num_classes)  # 3. labels that can be mixed
        found = Examples(columns, label, self._spec, self._partners((), epochs, seeds))
        for place, operation in enumerate(operations):  # 4. augment
            keys = fold(fold(fold(tf.cast(examples, tf.uint64), epochs), seeds), place)
            found = operation(replace(found, partners=self._partners(operations[:place], epochs, seeds)), keys)
        return found

    def _partners(
        self, before: tuple[Augmentation, ...], epochs: tf.Tensor, seeds: tf.Tensor | int
    ) -> Callable[[tf.Tensor], Examples]:
        def partners(keys: tf.Tensor) -> Examples:
            rows = tf.cast(keys % tf.constant(self.num_rows, tf.uint64), tf.int64)
            return self._augmented(before, rows, rows, epochs, seeds)

        return partners

    def _weights(self, rows: tf.Tensor, label: tf.Tensor) -> tf.Tensor | None:
        """5. The weight of each row in the loss, float32 [rows]; None where all count the same."""
        found = self._columns[SAMPLE_WEIGHT](rows) if SAMPLE_WEIGHT in self._columns else None
        if self.class_weight in (None, "none"):
            return found
        by_class = tf.constant(self._class_weights)
        own = tf.gather(by_class, label) if label.dtype.is_integer else tf.linalg.matvec(label, by_class)
        return own if found is None else own * found

    def _examples(self, begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """The examples of this shard in the batches of these steps, one after another, and the epoch of each."""
        begin, end = int(begin), int(end)
        parts = [self._of_epoch(*part) for part in _by_epoch(begin, end, self.steps_per_epoch)]
        epochs = np.arange(begin // self.steps_per_epoch, begin // self.steps_per_epoch + len(parts))
        return np.concatenate(parts), np.repeat(epochs, [len(part) for part in parts])

    def _of_all_seeds(self, begin: int, end: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The examples of these steps, in each step those of one seed after another; the epoch and the seed of each."""
        begin, end = int(begin), int(end)
        found = [feed._examples(begin, end) for feed in self._of_seeds]
        seeds = np.asarray([feed.seed for feed in self._of_seeds], np.int64)
        if len(found) == 1:
            return *found[0], np.repeat(seeds, len(found[0][0]))
        sizes = np.resize(self._sizes(begin), end - begin)  # an epoch's, again and again
        cuts = np.cumsum(sizes)[:-1]
        examples = [part for parts in zip(*(np.split(one, cuts) for one, _ in found), strict=True) for part in parts]
        epochs = [part for part in np.split(found[0][1], cuts) for _ in found]
        return (
            np.concatenate(examples),
            np.concatenate(epochs),
            np.repeat(np.tile(seeds, len(sizes)), np.repeat(sizes, len(seeds))),
        )

    @cached_property
    def _of_seeds(self) -> list[Feed]:
        """The feed of each seed by itself."""
        return [self, *(replace(self, seed=seed, beside=()) for seed in self.beside)]

    def _of_epoch(self, epoch: int, first: int, last: int) -> np.ndarray:
        start = first * self.batch_size
        found = self.order.examples(epoch, start, min(last * self.batch_size, self.num_rows))
        if self.shard == (0, 1):
            return found
        batches = [found[i : i + self.batch_size] for i in range(0, len(found), self.batch_size)]
        return np.concatenate([batch[slice(*self._part(len(batch)))] for batch in batches])

    def _part(self, size: Any) -> tuple[Any, Any]:
        """Where this shard begins and ends in a batch of so many rows."""
        worker, workers = self.shard
        return size * worker // workers, size * (worker + 1) // workers

    def _sizes(self, first_step: int) -> np.ndarray:
        """Rows of this shard in each batch of an epoch, beginning with that of a step; int64 [steps of an epoch]."""
        sizes = np.full(self.steps_per_epoch, self.batch_size, np.int64)
        sizes[-1] = self.num_rows - (self.steps_per_epoch - 1) * self.batch_size
        begin, end = self._part(sizes)
        return np.roll(end - begin, -first_step)

    @cached_property
    def _columns(self) -> dict[str, Callable[[tf.Tensor], tf.Tensor]]:
        return self.store.readers()

    @cached_property
    def _labels(self) -> np.ndarray:
        return np.asarray(self.store.columns[LABEL])

    @property
    def _has_classes(self) -> bool:
        return self._labels.dtype.kind == "i"

    @property
    def _spec(self) -> Spec:
        spec = self.store.spec
        return Spec("multiclass" if self._has_classes else "regression", self._num_classes) if spec is None else spec

    @cached_property
    def _num_classes(self) -> int:
        """Every class occurs in train, or it would not be one."""
        return int(self._labels.max(initial=0)) + 1 if self._has_classes else 1

    @cached_property
    def _resampling(self) -> Resampling | None:
        if self.resample == "none":
            return None
        return Resampling.of_classes(self._labels, None if isinstance(self.resample, str) else self.resample)

    @cached_property
    def _class_weights(self) -> np.ndarray:
        if not isinstance(self.class_weight, Mapping):
            return class_weights(self._labels)  # balanced
        given = self.class_weight
        return np.asarray([given.get(label, 1.0) for label in range(self._num_classes)], np.float32)


def options(threads: int | None = None) -> tf.data.Options:
    """For datasets over the tensors of a store."""
    found = tf.data.Options()
    # They would copy every column into the graph, the whole store, each time that an iterator is made.
    found.experimental_optimization.apply_default_optimizations = False
    # Its thread misses, one time in three, that the iterator is deleted, and that then waits for its next turn: 1.7 s
    # after 3.4 s of training. Without it as many blocks are made at once as there are cores.
    found.autotune.enabled = False
    if threads is not None:
        found.threading.private_threadpool_size = threads
    return found


def _changes_one_of(operation: Any, columns: Iterable[str]) -> bool:
    """Whether something is an augmentation, and there is what it changes."""
    part = getattr(operation, "part", None)
    wanted = {"any": set(columns), "table": {"numeric", "categorical"}}.get(str(part), {part})
    return hasattr(operation, "mixes") and bool(wanted & set(columns))


def _by_epoch(begin: int, end: int, num: int) -> Iterator[tuple[int, int, int]]:
    """Numbers from `begin` to before `end` as (epoch, first, last + 1) inside each epoch of `num`.

    >>> list(_by_epoch(3, 9, 4))
    [(0, 3, 4), (1, 0, 4), (2, 0, 1)]
    """
    for epoch in range(begin // num, -(-end // num)):
        yield epoch, max(begin - epoch * num, 0), min(end - epoch * num, num)
