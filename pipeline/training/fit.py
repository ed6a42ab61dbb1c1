"""The training loop: an epoch is one call into the graph, so no Python runs between its steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import keras
import numpy as np
import tensorflow as tf

from pipeline.errors import ConfigError, TrainingError
from pipeline.models.outputs import example_losses
from pipeline.spec import Spec
from pipeline.training.optimizers import Optimizer

# Validation batches up to this size are kept between epochs.
VALIDATION_BYTES = 256 << 20


@dataclass
class History:
    """What a training did, epoch by epoch.

    Attributes:
      loss: mean loss on train, regularization included, while the weights moved.
      val_loss: mean loss on validation at the end of the epoch, without regularization.
      best_epoch: whose weights the model has at the end, counted from 0.
    """

    loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    best_epoch: int = -1

    @property
    def best_val_loss(self) -> float:
        """The lowest validation loss."""
        return self.val_loss[self.best_epoch]


def fit(
    model: keras.Model,
    train: tf.data.Dataset,
    validation: tf.data.Dataset,
    *,
    spec: Spec,
    optimizer: Optimizer,
    epochs: int,
    patience: int | None = None,
    on_epoch: Callable[[History], None] | None = None,
) -> History:
    """Trains, and leaves the model with the weights of its best epoch on validation.

    Args:
      model: features -> logits, uncompiled.
      train: batches of all epochs, as `make_train` gives them.
      validation: every validation row once, as `make_eval` gives them.
      spec: its task decides the loss.
      optimizer: of `pipeline.training`.
      epochs: that `train` holds.
      patience: stop after so many epochs without a lower validation loss; None: never.
      on_epoch: called after every epoch.

    Returns:
      The history.

    Raises:
      TrainingError: a loss is not finite, or the model's output does not fit the task.
      ConfigError: `train` does not hold `epochs` equal epochs.
    """
    num_steps = int(train.cardinality())
    if num_steps <= 0 or num_steps % epochs:
        raise ConfigError(f"train holds {num_steps} batches, which make no {epochs} equal epochs.")
    _check_output(model, spec)
    rate = optimizer.learning_rate
    keras_optimizer = optimizer.build(num_steps)
    keras_optimizer.build(model.trainable_variables)
    train_epoch = _train_function(model, spec, keras_optimizer, num_steps // epochs)
    validate = _validation_function(model, spec, validation)
    history, best = History(), model.get_weights()
    batches = iter(train)
    for epoch in range(epochs):
        history.loss.append(float(train_epoch(batches)))
        history.val_loss.append(validate())
        _check_finite(history, rate, type(optimizer).__name__)
        if history.best_epoch < 0 or history.val_loss[-1] < history.best_val_loss:
            history.best_epoch, best = epoch, model.get_weights()
        if on_epoch:
            on_epoch(history)
        if patience is not None and epoch - history.best_epoch >= patience:
            break
    model.set_weights(best)
    return history


def _train_function(
    model: keras.Model, spec: Spec, optimizer: keras.optimizers.Optimizer, num_steps: int
) -> Callable[[tf.data.Iterator], tf.Tensor]:
    variables = model.trainable_variables

    @tf.function
    def train_epoch(batches: tf.data.Iterator) -> tf.Tensor:
        total = tf.constant(0.0)
        for _ in tf.range(num_steps):
            features, label = next(batches)
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(example_losses(spec, label, model(features, training=True)))
                loss += tf.add_n(model.losses) if model.losses else 0.0
            optimizer.apply(tape.gradient(loss, variables), variables)
            total += loss
        return total / num_steps

    return train_epoch


def _validation_function(model: keras.Model, spec: Spec, validation: tf.data.Dataset) -> Callable[[], float]:
    @tf.function(input_signature=validation.element_spec)
    def loss_of(features: dict[str, tf.Tensor], label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        losses = example_losses(spec, label, model(features, training=False))
        return tf.reduce_sum(tf.cast(losses, tf.float64)), tf.size(losses)

    batches = _in_memory(validation)

    def validate() -> float:
        found = [loss_of(features, label) for features, label in batches]
        return sum(float(total) for total, _ in found) / sum(int(rows) for _, rows in found)

    return validate


def _in_memory(dataset: tf.data.Dataset) -> tf.data.Dataset | list[tuple[dict[str, tf.Tensor], tf.Tensor]]:
    """The batches as a list, if they are not too large: starting a dataset anew each epoch costs 50 ms."""
    batches, num_bytes = [], 0
    for features, label in dataset:
        batches.append((features, label))
        num_bytes += sum(tensor.dtype.size * int(tf.size(tensor)) for tensor in features.values())
        if num_bytes > VALIDATION_BYTES:
            return dataset
    return batches


def _check_output(model: keras.Model, spec: Spec) -> None:
    if tuple(model.output_shape) != (None, spec.num_outputs):
        raise TrainingError(
            f"The model's output has the shape {tuple(model.output_shape)}.",
            expected=f"(None, {spec.num_outputs}) for a {spec.task} task of {spec.num_classes} classes, as logits",
        )


def _check_finite(history: History, rate: float, optimizer: str) -> None:
    if math.isfinite(history.loss[-1]) and math.isfinite(history.val_loss[-1]):
        return
    before = history.loss[-2] if len(history.loss) > 1 else np.nan
    raise TrainingError(
        f"The loss became {history.loss[-1]:g} (validation {history.val_loss[-1]:g}) in epoch {len(history.loss)} "
        f"with {optimizer} at a learning rate of {rate:g}; the epoch before it was {before:g}.",
        expected="finite losses",
        fix="Try a lower learning rate, e.g. --set train.learning_rate=" + f"{rate / 10:g}",
    )
