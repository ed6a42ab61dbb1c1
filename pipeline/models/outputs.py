"""What a model's output means: losses by task, logits to probabilities, a whole dataset at once.

A model gives logits [rows, outputs]. An ensemble in one network gives those of every member, [rows, members, outputs]:
each member is trained on a loss of its own, and their probabilities (for regression: their values) are averaged to
answer, as in Lakshminarayanan, Pritzel and Blundell, "Simple and Scalable Predictive Uncertainty Estimation using Deep
Ensembles" (NeurIPS 2017).
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipeline.errors import PipelineError, TrainingError
from pipeline.spec import Spec

_ENSEMBLE_RANK = 3


def example_losses(
    spec: Spec, label: tf.Tensor, logits: tf.Tensor, label_smoothing: float | tf.Tensor = 0.0
) -> tf.Tensor:
    """The loss of each row to train on, float32 [rows]: cross-entropy, or squared error of the scaled target.

    Args:
      spec: its task decides.
      label: int32 or float32 [rows]; where labels were mixed the probability of each class, float32 [rows, classes].
      logits: float32 [rows, spec.num_outputs], or [rows, members, spec.num_outputs]: then it is the mean over the
        members of each one's own loss.
      label_smoothing: the part of every label that is spread evenly over all classes (Szegedy et al., "Rethinking the
        Inception Architecture for Computer Vision", CVPR 2016); nothing is done to a number.

    Example:
      >>> losses = example_losses(Spec("binary", 2), tf.constant([1]), tf.constant([[[0.0], [0.0]]]))
      >>> round(float(losses[0]), 4)
      0.6931
    """
    if logits.shape.rank == _ENSEMBLE_RANK:
        members = tf.repeat(label[:, tf.newaxis], tf.shape(logits)[1], axis=1)
        return tf.reduce_mean(_losses(spec, members, logits, label_smoothing, label.shape.rank == 2), axis=1)
    return _losses(spec, label, logits, label_smoothing, label.shape.rank == 2)


def answer_losses(spec: Spec, label: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """The loss of each row's answer, float32 [rows]: what validation reports.

    Args:
      spec, label, logits: as in `example_losses`; of an ensemble the averaged probabilities answer. By Jensen's
        inequality that is never worse than the mean loss of its members.

    Example:
      >>> logits = tf.constant([[[2.0], [-2.0]]])  # of two members that disagree
      >>> round(float(answer_losses(Spec("binary", 2), tf.constant([1]), logits)[0]), 4)
      0.6931
    """
    if logits.shape.rank != _ENSEMBLE_RANK:
        return example_losses(spec, label, logits)
    if spec.task == "regression":
        return tf.square(tf.reduce_mean(logits[..., 0], axis=1) - label)
    # In logarithms throughout: a probability that underflows would make the loss infinite.
    both = tf.concat([-logits, logits], axis=2)
    members = tf.math.log_sigmoid(both) if spec.task == "binary" else tf.nn.log_softmax(logits)
    answer = tf.reduce_logsumexp(members, axis=1) - tf.math.log(tf.cast(tf.shape(logits)[1], logits.dtype))
    if label.shape.rank == 2:
        return -tf.reduce_sum(label * answer, axis=1)
    return -tf.gather(answer, tf.cast(label, tf.int32), axis=1, batch_dims=1)


def scores(spec: Spec, logits: Any) -> Any:
    """Probabilities [rows, num_classes], or the scaled prediction [rows] for regression; a tensor.

    >>> scores(Spec("binary", 2), tf.constant([[0.0]])).numpy().tolist()
    [[0.5, 0.5]]
    """
    if spec.task == "regression":
        found = logits[..., 0]
    elif spec.task == "binary":
        found = tf.concat([tf.sigmoid(-logits), tf.sigmoid(logits)], axis=-1)
    else:
        found = tf.nn.softmax(logits)
    return tf.reduce_mean(found, axis=1) if logits.shape.rank == _ENSEMBLE_RANK else found


def predict(model: keras.Model, spec: Spec, dataset: tf.data.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels of every row, in inference mode.

    Returns:
      Scores (see `scores`) and labels [rows].
    """

    @tf.function(input_signature=[dataset.element_spec[0]])
    def forward(features: dict[str, tf.Tensor]) -> tf.Tensor:
        return scores(spec, model(features, training=False))

    found = [(forward(features).numpy(), label.numpy()) for features, label, *_weight in dataset]
    return np.concatenate([row[0] for row in found]), np.concatenate([row[1] for row in found])


def output_shape(model: keras.Model, error: type[PipelineError] = TrainingError) -> tuple[int | None, ...]:
    """The shape of a model's one output.

    Raises:
      error: it has several outputs, or its shape is not known yet.
    """
    try:
        shape = model.output_shape
    except (AttributeError, ValueError):  # a subclass, or a Sequential without an Input
        shape = None
    if not isinstance(shape, tuple) or not all(size is None or isinstance(size, int) for size in shape):
        came = "is not known before it is called" if shape is None else f"has several parts: {shape}"
        raise error(
            f"The model's output {came}.",
            expected="a Keras model with one output of a known shape, as logits",
            fix="Make it with keras.Model(inputs, output).",
        )
    return shape


def check_output(model: keras.Model, spec: Spec, *, error: type[PipelineError] = TrainingError) -> None:
    """Refuses a model whose output does not fit the task: the one place that does.

    Args:
      model: features -> logits.
      spec: of the data.
      error: what to raise.

    Raises:
      error: its output is neither [rows, outputs] nor [rows, members, outputs]; it names what came and what was
        expected.

    Example:
      >>> x = keras.Input((2,))
      >>> check_output(keras.Model(x, keras.layers.Dense(3)(x)), Spec("multiclass", 4))
      Traceback (most recent call last):
      pipeline.errors.TrainingError: The model's output has the shape (None, 3): 3 classes, but the label has 4.
        expected: (None, 4) for a multiclass task of 4 classes, as logits; of an ensemble (None, members, 4)
    """
    shape, outputs = output_shape(model, error), spec.num_outputs
    ranks = (2, _ENSEMBLE_RANK)
    if len(shape) in ranks and shape[-1] == outputs and None not in shape[1:]:
        return
    differs = spec.task == "multiclass" and len(shape) in ranks and shape[-1] is not None
    counts = f": {shape[-1]} classes, but the label has {spec.num_classes}" if differs and shape[-1] != outputs else ""
    what = "a regression" if spec.task == "regression" else f"a {spec.task} task of {spec.num_classes} classes"
    raise error(
        f"The model's output has the shape {shape}{counts}.",
        expected=f"(None, {outputs}) for {what}, as logits; of an ensemble (None, members, {outputs})",
    )


def _losses(spec: Spec, label: tf.Tensor, logits: tf.Tensor, smoothing: float | tf.Tensor, is_mixed: bool) -> tf.Tensor:
    """Of labels [...] (mixed: [..., classes]) and logits [..., outputs]: float32 [...]."""
    is_plain = isinstance(smoothing, float | int) and smoothing == 0
    if spec.task == "regression":
        return tf.square(logits[..., 0] - label)
    if spec.task == "binary":
        true = label[..., 1] if is_mixed else tf.cast(label, tf.float32)
        true = true if is_plain else (1 - smoothing) * true + smoothing / 2
        return tf.nn.sigmoid_cross_entropy_with_logits(true, logits[..., 0])
    if is_plain:
        return (
            tf.nn.softmax_cross_entropy_with_logits(label, logits)
            if is_mixed
            else tf.nn.sparse_softmax_cross_entropy_with_logits(label, logits)
        )
    true = label if is_mixed else tf.one_hot(label, spec.num_classes)
    return tf.nn.softmax_cross_entropy_with_logits((1 - smoothing) * true + smoothing / spec.num_classes, logits)
