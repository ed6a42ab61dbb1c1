"""The training loop: many steps are one call into the graph, and between two calls everything can be saved."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipeline.config import fingerprint
from pipeline.errors import ConfigError, TrainingError
from pipeline.spec import Spec
from pipeline.training.checkpoint import Checkpoints, Writer
from pipeline.training.optimizers import Optimizer
from pipeline.training.state import History, Training
from pipeline.training.steps import Pace, train_steps, validation_loss


def fit(
    model: keras.Model,
    train: tf.data.Dataset,
    validation: tf.data.Dataset,
    *,
    optimizer: Optimizer,
    epochs: int,
    spec: Spec | None = None,
    patience: int | None = None,
    on_epoch: Callable[[History], None] | None = None,
    checkpoint: Checkpoints | None = None,
    steps_per_call: int | None = None,
) -> History:
    """Trains, and leaves the model with the weights of its best epoch on validation.

    With `checkpoint`, a training that was killed goes on where it was last saved, in any later process, and ends on a
    CPU with the same weights and history, bit for bit. The same model, optimizer and batches must be given again; the
    model's initial weights do not matter then. What a layer or a dataset of one's own draws from hidden state, such as
    `tf.random.uniform` without `stateless`, is saved by nobody.

    Args:
      model: features -> logits, uncompiled.
      train: batches of all epochs, as `make_train` gives them: (features, label) or (features, label, sample_weight).
        The loss of a batch is the mean over its rows of weight times loss, as Keras has it. To begin in the middle, a
        dataset of `make_train` is asked for that step; of any other the first steps are skipped.
      validation: every validation row once, as `make_eval` gives them; with weights, its loss is the weighted mean.
      optimizer: of `pipeline.training`.
      epochs: that `train` holds; a dataset of `make_train` may also hold one, and gives as many as are asked for.
      spec: its task decides the loss; None: that of the store which `make_train` was given.
      patience: stop after so many epochs without a lower validation loss; None: never.
      on_epoch: called after every epoch that this process ends.
      checkpoint: where to save the training and how often; None: nowhere. Who gives it clears it, when the weights are
        safe.
      steps_per_call: steps that are one call into the graph; None: as many as take about half a second. Changes no bit.

    Returns:
      The history, of the whole training.

    Raises:
      TrainingError: a loss is not finite, or the model's output does not fit the task.
      ConfigError: `train` does not hold `epochs` equal epochs, or nothing says the task.

    Example:
      >>> import numpy as np
      >>> from pipeline.models import mlp
      >>> from pipeline.training import SGD
      >>> rows = tf.data.Dataset.from_tensors(({"numeric": np.eye(2, dtype=np.float32)}, np.array([0, 1])))
      >>> spec = Spec("binary", 2, num_numeric=2)
      >>> len(fit(mlp(spec, width=4), rows.repeat(3), rows, spec=spec, optimizer=SGD(0.1), epochs=3).loss)
      3
    """
    train = _all_epochs(train, epochs)
    spec, num_steps = _spec_of(train, spec), _num_steps(train, epochs)
    _check_output(model, spec)
    built = optimizer.build(num_steps)
    built.build(model.trainable_variables)
    training = Training(model, built)
    steps, validate = train_steps(model, spec, built), validation_loss(model, spec, validation)
    steps_per_epoch = num_steps // epochs
    pace = Pace(checkpoint.every_steps if checkpoint else None, steps_per_call)
    writer = checkpoint and Writer(checkpoint, _fingerprint(checkpoint, training, train, optimizer, epochs, patience))
    with writer or nullcontext():
        if checkpoint and writer and (found := writer.newest()):
            training.restore(found)
            checkpoint.note(f"goes on at step {training.step} of {num_steps}")
        batches = iter(_from_step(train, training.step))
        while training.step < num_steps and not training.is_over(patience):
            epoch_end = (training.step // steps_per_epoch + 1) * steps_per_epoch
            count = pace.steps(training.step, epoch_end)
            training.total = steps(batches, tf.constant(count), training.total)
            training.step += count
            pace.took(count)
            if training.step == epoch_end:
                training.end_epoch(steps_per_epoch, validate())
                _check_finite(training.history, optimizer)
                if on_epoch:
                    on_epoch(training.history)
            if writer and writer.due(training.step):
                writer.write(training.snapshot())
    model.set_weights(training.best)
    return training.history


def _fingerprint(
    checkpoints: Checkpoints,
    training: Training,
    train: tf.data.Dataset,
    optimizer: Any,
    epochs: int,
    patience: int | None,
) -> str:
    """Of what is trained, as far as it can be seen from here: a checkpoint of anything else is not used."""
    settings = {key: value for key, value in training.optimizer.get_config().items() if key != "name"}
    feed = getattr(train, "feed", None)
    names = ("num_rows", "batch_size", "seed", "augment", "resample", "class_weight", "shard")
    batches = [int(train.cardinality()), str(train.element_spec), [repr(getattr(feed, name, None)) for name in names]]
    variables = [(str(variable.shape), variable.dtype) for variable in training.variables]
    parts = [checkpoints.fingerprint, type(optimizer).__name__, settings, epochs, patience, batches, variables]
    # Where an object lies in memory is no part of what it is.
    return fingerprint(re.sub(r" at 0x[0-9a-f]+", "", repr(parts)))


def _spec_of(train: tf.data.Dataset, spec: Spec | None) -> Spec:
    feed = getattr(train, "feed", None)
    found = spec or (feed and feed.store.spec)
    if not isinstance(found, Spec):
        raise ConfigError(
            "Nothing says what the label means: spec is None, and train comes from no store that knows it.",
            expected="train from make_train(splits.train, ...), or the argument spec",
            fix="training.fit(..., spec=splits.spec)",
        )
    return found


def _all_epochs(train: tf.data.Dataset, epochs: int) -> tf.data.Dataset:
    """A feed of which one epoch was asked has all the others, too."""
    feed = getattr(train, "feed", None)
    return train if feed is None or int(train.cardinality()) != feed.steps_per_epoch else feed.dataset(epochs)


def _num_steps(train: tf.data.Dataset, epochs: int) -> int:
    num_steps, feed = int(train.cardinality()), getattr(train, "feed", None)
    if num_steps <= 0 or num_steps % epochs:
        raise ConfigError(f"train holds {num_steps} batches, which make no {epochs} equal epochs.")
    if feed is not None and (num_steps % feed.steps_per_epoch or getattr(train, "first_step", 0)):
        raise ConfigError(
            f"train holds {num_steps} batches, and an epoch has {feed.steps_per_epoch}.",
            expected="whole epochs from the first one on: to begin later is the checkpoints' business",
            fix="make_train(...) without first_step",
        )
    return num_steps


def _from_step(train: tf.data.Dataset, step: int) -> tf.data.Dataset:
    """The batches that are left. A feed reaches any step at once; a foreign dataset must make what it skips."""
    feed = getattr(train, "feed", None)
    if step == 0 or feed is None:
        return train.skip(step) if step else train
    return feed.dataset(int(train.cardinality()) // feed.steps_per_epoch, first_step=step)


def _check_output(model: keras.Model, spec: Spec) -> None:
    if tuple(model.output_shape) != (None, spec.num_outputs):
        raise TrainingError(
            f"The model's output has the shape {tuple(model.output_shape)}.",
            expected=f"(None, {spec.num_outputs}) for a {spec.task} task of {spec.num_classes} classes, as logits",
        )


def _check_finite(history: History, optimizer: Optimizer) -> None:
    if math.isfinite(history.loss[-1]) and math.isfinite(history.val_loss[-1]):
        return
    before, rate = history.loss[-2] if len(history.loss) > 1 else np.nan, optimizer.learning_rate
    raise TrainingError(
        f"The loss became {history.loss[-1]:g} (validation {history.val_loss[-1]:g}) in epoch {len(history.loss)} "
        f"with {type(optimizer).__name__} at a learning rate of {rate:g}; the epoch before it was {before:g}.",
        expected="finite losses",
        fix="Try a lower learning rate, e.g. --set train.learning_rate=" + f"{rate / 10:g}",
    )
