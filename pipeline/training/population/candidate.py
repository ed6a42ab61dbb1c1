"""One trial as it begins: its weights, its numbers, and what it must have in common with those it is trained beside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipeline.config import fingerprint
from pipeline.training.population.structure import Numbers, numbers_of, seeds_of, structure_of
from pipeline.training.population.updates import kind_of
from pipeline.training.precision import Precision


@dataclass(frozen=True)
class Candidate:
    """A training that can be one of many.

    Attributes:
      model: uncompiled, with the weights that it begins with; the population keeps one of all its candidates' models.
      initial: what gives the value that each of its variables begins with, in the order of `model.variables`. Not the
        values themselves: of many large models they would fill the memory before the first is trained.
      optimizer: one of ours, see `pipeline.training.optimizers`.
      train: batches of all epochs, as `make_train` gives them; of another seed, where `seed` is given.
      numbers: of the model.
      structure: of the model; None where it must be trained alone.
      label_smoothing, ema, precision: see `pipeline.training.fit`.
      seed: of its batches; None: that of `train`. A dataset for each seed would take as long as building the model.
    """

    model: keras.Model
    initial: Sequence[Callable[[], np.ndarray]]
    optimizer: Any
    train: tf.data.Dataset
    numbers: Numbers
    structure: str | None
    label_smoothing: float = 0.0
    ema: float | None = None
    precision: Precision = "float32"
    seed: int | None = None

    @classmethod
    def of(cls, model: keras.Model, optimizer: Any, train: tf.data.Dataset, **options: Any) -> Candidate:
        """Of a model that was just built; `options` are the last four attributes."""
        structure = structure_of(model) if kind_of(optimizer) else None
        return cls(
            model,
            [variable.numpy for variable in model.variables],
            optimizer,
            train,
            numbers_of(model),
            structure,
            **options,
        )

    @property
    def feed(self) -> Any:
        """Of the batches; None where they come from elsewhere."""
        found = getattr(self.train, "feed", None)
        return found if found is None or self.seed is None else replace(found, seed=self.seed)

    @property
    def num_weights(self) -> int:
        """Of all its variables."""
        return sum(int(np.prod(variable.shape)) for variable in self.model.variables)

    @property
    def seeds(self) -> list[list[int]]:
        """The states that its generators of random numbers begin with."""
        states, pairs = seeds_of(self.model), zip(self.model.variables, self.initial, strict=True)
        return [value().tolist() for variable, value in pairs if id(variable) in states]


def group_key(candidate: Candidate) -> str | None:
    """Equal for candidates that can be trained at once; None: only alone.

    They have the same layers and sizes, the same form of batches and as many of them, and the same precision. Learning
    rate, schedule, optimizer and its coefficients, l1, l2, dropout, label smoothing, averaging, augmentation and seeds
    may differ.
    """
    train, feed = candidate.train, candidate.feed
    if candidate.structure is None or feed is None:
        return None
    form = [candidate.structure, int(train.cardinality()), feed.steps_per_epoch, repr(train.element_spec)]
    return fingerprint([*form, candidate.precision, candidate.ema is None, any(candidate.numbers.proximal)])
