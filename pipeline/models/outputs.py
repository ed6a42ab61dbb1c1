"""What a model's output means: losses by task, logits to probabilities, a whole dataset at once."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipeline.spec import Spec


def example_losses(spec: Spec, label: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """The loss of each row, float32 [rows]: cross-entropy, or squared error of the scaled target.

    Args:
      spec: its task decides.
      label: int32 or float32 [rows]; where labels were mixed the probability of each class, float32 [rows, classes].
      logits: float32 [rows, spec.num_outputs].
    """
    is_mixed = label.shape.rank == 2
    if spec.task == "binary":
        true = label[:, 1] if is_mixed else tf.cast(label, tf.float32)
        return tf.nn.sigmoid_cross_entropy_with_logits(true, logits[:, 0])
    if spec.task == "multiclass":
        function = (
            tf.nn.softmax_cross_entropy_with_logits if is_mixed else tf.nn.sparse_softmax_cross_entropy_with_logits
        )
        return function(label, logits)
    return tf.square(logits[:, 0] - label)


def scores(spec: Spec, logits: Any) -> Any:
    """Probabilities [rows, num_classes], or the scaled prediction [rows] for regression; a tensor.

    >>> scores(Spec("binary", 2), tf.constant([[0.0]])).numpy().tolist()
    [[0.5, 0.5]]
    """
    if spec.task == "regression":
        return logits[:, 0]
    if spec.task == "binary":
        return tf.concat([tf.sigmoid(-logits), tf.sigmoid(logits)], axis=1)
    return tf.nn.softmax(logits)


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
