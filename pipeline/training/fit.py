"""A training from its beginning to its end, or from where it was last saved."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import keras
import tensorflow as tf

from pipeline.config import fingerprint
from pipeline.errors import ConfigError
from pipeline.models.outputs import check_output
from pipeline.spec import Spec
from pipeline.training.batches import Batches
from pipeline.training.budget import Budget
from pipeline.training.checkpoint import Checkpoints, Writer
from pipeline.training.loop import Loop
from pipeline.training.optimizers import Optimizer
from pipeline.training.precision import Precision
from pipeline.training.schedules import Progress
from pipeline.training.state import History, Training
from pipeline.training.steps import Pace, Validation, train_steps


def fit(
    model: keras.Model,
    train: tf.data.Dataset,
    validation: tf.data.Dataset,
    *,
    optimizer: Optimizer,
    epochs: int | None = None,
    budget: float | None = None,
    spent: float = 0.0,
    spec: Spec | None = None,
    patience: int | None = None,
    label_smoothing: float = 0.0,
    ema: float | None = None,
    precision: Precision = "float32",
    on_epoch: Callable[[History], None] | None = None,
    checkpoint: Checkpoints | None = None,
    steps_per_call: int | None = None,
) -> History:
    """Trains, and leaves the model with the weights of its best epoch on validation.

    With `checkpoint`, a training that was killed goes on where it was last saved, in any later process, and ends on a
    CPU with the same weights and history, bit for bit. The same model, optimizer and batches must be given again; the
    model's initial weights do not matter then. What a layer or a dataset of one's own draws from hidden state, such as
    `tf.random.uniform` without `stateless`, is saved by nobody. Where a training ends by the clock, no two are equal.

    Args:
      model: features -> logits, uncompiled; [rows, outputs], or of an ensemble [rows, members, outputs].
      train: batches of all epochs, as `make_train` gives them: (features, label) or (features, label, sample_weight).
        The loss of a batch is the mean over its rows of weight times loss, as Keras has it. To begin in the middle, a
        dataset of `make_train` is asked for that step; of any other the first steps are skipped.
      validation: every validation row once, as `make_eval` gives them; with weights, its loss is the weighted mean.
      optimizer: of `pipeline.training`.
      epochs: that `train` holds; a dataset of `make_train` may also hold one, and gives as many as are asked for. With
        a budget None: as many as there is time for; a dataset that is not of `make_train` then is one epoch.
      budget: seconds that the training takes, all in all, from its first step on: making the graph, validation and
        checkpoints count, and so do earlier processes of a training that goes on. The schedule follows it, and it ends
        within 5 %, but never before one step and one validation. None: no limit.
      spent: seconds of the budget that this process has used before, such as for starting TensorFlow.
      spec: its task decides the loss; None: that of the store which `make_train` was given.
      patience: stop after so many epochs without a lower validation loss; None: never.
      label_smoothing: see `pipeline.models.outputs.example_losses`; 0 or more and below 1.
      ema: decay of an exponential moving average of the weights (Polyak and Juditsky, 1992), above 0 and below 1; then
        the averaged weights are validated, and are those that the model has in the end. None: none.
      precision: of the forward and backward pass of a training step, see `pipeline.training.precision`; validation is
        always in float32.
      on_epoch: called after every epoch that this process ends.
      checkpoint: where to save the training and how often; None: nowhere. Who gives it clears it, when the weights are
        safe.
      steps_per_call: steps that are one call into the graph; None: as many as take about half a second. Changes no bit.

    Returns:
      The history, of the whole training.

    Raises:
      TrainingError: a loss is not finite, or the model's output does not fit the task.
      ConfigError: `train` does not hold `epochs` equal epochs, nothing says the task, or a number is out of its range.

    Example:
      >>> import numpy as np
      >>> from pipeline.models import mlp
      >>> from pipeline.training import SGD
      >>> rows = tf.data.Dataset.from_tensors(({"numeric": np.eye(2, dtype=np.float32)}, np.array([0, 1])))
      >>> spec = Spec("binary", 2, num_numeric=2)
      >>> len(fit(mlp(spec, width=4), rows.repeat(3), rows, spec=spec, optimizer=SGD(0.1), epochs=3).loss)
      3
    """
    _check_numbers(epochs, budget, label_smoothing, ema)
    batches = Batches.of(train, epochs)
    spec = batches.spec(spec)
    check_output(model, spec)
    progress = Progress.of_steps(batches.num_steps) if budget is None else Progress()
    built = optimizer.build(progress) if ema is None else optimizer.build(progress, ema=ema)
    built.build(model.trainable_variables)
    training = Training(model, built, progress)
    clock = Budget(math.inf if budget is None else budget, batches.steps_per_epoch, spent)
    loop = Loop(
        training,
        batches,
        train_steps(model, spec, built, label_smoothing=label_smoothing, precision=precision),
        Validation(model, spec, validation),
        Pace(checkpoint.every_steps if checkpoint else None, steps_per_call),
        clock,
        optimizer,
        patience,
        on_epoch,
    )
    asked = [epochs, budget, patience, label_smoothing, ema, precision]
    writer = checkpoint and Writer(checkpoint, _fingerprint(checkpoint, training, batches, optimizer, asked))
    with writer or nullcontext():
        if checkpoint and writer and (found := writer.newest()):
            training.restore(found)
            clock.spent += training.history.seconds
            of = f"{batches.num_steps}" if budget is None else f"{budget:g} s, of which {clock.spent:.1f} are spent"
            checkpoint.note(f"goes on at step {training.step} of {of}")
        loop.run(writer or None)
    model.set_weights(training.best)
    return training.history


def _fingerprint(
    checkpoints: Checkpoints, training: Training, batches: Batches, optimizer: Any, asked: list[Any]
) -> str:
    """Of what is trained, as far as it can be seen from here: a checkpoint of anything else is not used."""
    settings = {key: value for key, value in training.optimizer.get_config().items() if key != "name"}
    names = ("num_rows", "batch_size", "seed", "augment", "resample", "class_weight", "shard")
    feed = [repr(getattr(batches.feed, name, None)) for name in names]
    variables = [(str(variable.shape), variable.dtype) for variable in training.variables]
    parts = [checkpoints.fingerprint, type(optimizer).__name__, settings, asked, batches.num_steps]
    parts += [batches.dataset.element_spec, feed, variables]
    # Where an object lies in memory is no part of what it is.
    return fingerprint(re.sub(r" at 0x[0-9a-f]+", "", repr(parts)))


def _check_numbers(epochs: int | None, budget: float | None, label_smoothing: float, ema: float | None) -> None:
    if epochs is None and budget is None:
        raise ConfigError("Nothing says when the training ends.", expected="epochs, budget (seconds), or both")
    bounds = [
        ("epochs", epochs, epochs is None or epochs >= 1, "1 or more"),
        ("budget", budget, budget is None or 0 < budget < math.inf, "seconds, more than 0"),
        ("label_smoothing", label_smoothing, 0 <= label_smoothing < 1, "0 or more and below 1"),
        ("ema", ema, ema is None or 0 < ema < 1, "above 0 and below 1"),
    ]
    for name, value, fits, expected in bounds:
        if not fits:
            raise ConfigError(f"{name} is {value}.", expected=expected)
