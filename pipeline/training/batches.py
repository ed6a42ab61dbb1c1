"""The train batches of all epochs, and how to come to any of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from pipeline.errors import ConfigError
from pipeline.spec import Spec

# Epochs to hold ready where the clock ends the training. Datasets are lazy: it costs nothing.
MANY_EPOCHS = 1_000_000


@dataclass(frozen=True)
class Batches:
    """The batches of a training.

    Attributes:
      dataset: all of them, from the first step on.
      steps_per_epoch: of them make an epoch.
      num_steps: of all epochs; with a time budget of more than can be used.
    """

    dataset: tf.data.Dataset
    steps_per_epoch: int
    num_steps: int

    @classmethod
    def of(cls, train: tf.data.Dataset, epochs: int | None) -> Batches:
        """Of so many epochs. None: as many as there is time for; then a dataset without a feed is one epoch.

        Raises:
          ConfigError: `train` does not hold `epochs` equal epochs.
        """
        feed = getattr(train, "feed", None)
        dataset = train
        if feed is not None and (epochs is None or int(train.cardinality()) == feed.steps_per_epoch):
            _check_beginning(train, feed)
            dataset = feed.dataset(epochs or MANY_EPOCHS)
        elif epochs is None and int(train.cardinality()) > 0:
            dataset = train.repeat(MANY_EPOCHS)
        num_steps, wanted = int(dataset.cardinality()), epochs or MANY_EPOCHS
        if num_steps <= 0 or num_steps % wanted:
            raise ConfigError(f"train holds {num_steps} batches, which make no {wanted} equal epochs.")
        if feed is not None:
            _check_beginning(dataset, feed)
        return cls(dataset, num_steps // wanted, num_steps)

    @property
    def feed(self) -> Any:
        """Of `make_train`; None for another dataset."""
        return getattr(self.dataset, "feed", None)

    def from_step(self, step: int) -> tf.data.Dataset:
        """The batches that are left. A feed reaches any step at once; a foreign dataset must make what it skips."""
        if step == 0 or self.feed is None:
            return self.dataset.skip(step) if step else self.dataset
        return self.feed.dataset(self.num_steps // self.feed.steps_per_epoch, first_step=step)

    def at(self, step: int) -> tuple[Any, ...] | None:
        """The batch of one step, made again; None where there is none."""
        return next(iter(self.from_step(step).take(1)), None)

    def first_odd(self, step: int, count: int) -> tuple[int, tuple[Any, ...]] | None:
        """The first of so many batches that holds a NaN or something infinite, and its step; None: none does."""
        for place, batch in enumerate(self.from_step(step).take(count), start=step):
            values = [value for value in tf.nest.flatten(batch) if value.dtype.is_floating]
            if not all(bool(tf.reduce_all(tf.math.is_finite(value))) for value in values):
                return place, batch
        return None

    def spec(self, given: Spec | None) -> Spec:
        """The one that was given, or else that of the store.

        Raises:
          ConfigError: there is neither.
        """
        found = given or (self.feed and self.feed.store.spec)
        if not isinstance(found, Spec):
            raise ConfigError(
                "Nothing says what the label means: spec is None, and train comes from no store that knows it.",
                expected="train from make_train(splits.train, ...), or the argument spec",
                fix="training.fit(..., spec=splits.spec)",
            )
        return found


def _check_beginning(train: tf.data.Dataset, feed: Any) -> None:
    num_steps = int(train.cardinality())
    if num_steps % feed.steps_per_epoch or getattr(train, "first_step", 0):
        raise ConfigError(
            f"train holds {num_steps} batches, and an epoch has {feed.steps_per_epoch}.",
            expected="whole epochs from the first one on: to begin later is the checkpoints' business",
            fix="make_train(...) without first_step",
        )
