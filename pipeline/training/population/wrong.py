"""What is no number in one trial of a population, said as `training.fit` says it."""

from __future__ import annotations

import math

import numpy as np

from pipeline.training.batches import Batches
from pipeline.training.nonfinite import bad_weights, not_finite
from pipeline.training.population.candidate import Candidate
from pipeline.training.population.layout import Layout
from pipeline.training.schedules import Progress, Rate


def of_loss(candidate: Candidate, loss: float, before: float, step: int, num_steps: int) -> str:
    """A loss that is not finite.

    Args:
      candidate: the trial.
      loss, before: of the step, and of the one before it.
      step: counted from 0.
      num_steps: of a whole training.
    """
    return str(
        not_finite(
            loss,
            step=step + 1,
            epoch=step // candidate.feed.steps_per_epoch + 1,
            before=before if step else math.nan,
            optimizer=type(candidate.optimizer).__name__,
            learning_rate=_rate(candidate, step, num_steps),
            batch=_batches(candidate).at(step),
        )
    )


def of_weights(candidate: Candidate, layout: Layout, row: np.ndarray, steps: tuple[int, int], num_steps: int) -> str:
    """Weights that are not finite, though the loss is (see `steps.Done`).

    Args:
      candidate: the trial.
      layout: of its weights.
      row: float32 [weights].
      steps: the first and the last of those in which it happened, counted from 0.
      num_steps: of a whole training.
    """
    spoiled = set(layout.segments[~np.isfinite(row)].tolist())
    first, last = steps
    batches = _batches(candidate)
    found = batches.first_odd(first, last - first + 1)
    return str(
        bad_weights(
            [one.path for place, one in enumerate(candidate.model.trainable_variables) if place in spoiled],
            steps=(first + 1, last + 1) if found is None else (found[0] + 1, found[0] + 1),
            optimizer=type(candidate.optimizer).__name__,
            learning_rate=_rate(candidate, last, num_steps),
            batch=batches.at(last) if found is None else found[1],
        )
    )


def _batches(candidate: Candidate) -> Batches:
    epochs = int(candidate.train.cardinality()) // candidate.feed.steps_per_epoch
    return Batches.of(candidate.feed.dataset(epochs), epochs)


def _rate(candidate: Candidate, step: int, num_steps: int) -> float:
    optimizer = candidate.optimizer
    return float(Rate(optimizer.learning_rate, optimizer.schedule, Progress.of_steps(num_steps))(step))
