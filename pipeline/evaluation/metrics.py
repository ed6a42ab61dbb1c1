"""Metrics of a task, by scikit-learn."""

from __future__ import annotations

import numpy as np
from sklearn import metrics

UNKNOWN_CLASS = -1


def classification(
    probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> dict[str, float]:
    """Metrics of a classifier.

    Args:
      probabilities: float [rows, classes].
      labels: int [rows]; `UNKNOWN_CLASS` for a class that train never showed: counted as wrong by accuracy,
        left out by the others.
      weights: float [rows], scikit-learn's `sample_weight`; rows of weight 0 are as if not there. None: all 1.

    Returns:
      accuracy, balanced_accuracy, f1 (of the second class for two, else the mean over classes), log_loss, auc
      (one against the rest for more than two). What is not defined on these rows is absent.
    """
    weights, (probabilities, labels) = _counting(weights, probabilities, labels)
    predicted = probabilities.argmax(axis=1)
    found = {"accuracy": float(metrics.accuracy_score(labels, predicted, sample_weight=weights))}
    known = labels != UNKNOWN_CLASS
    labels, predicted, probabilities = labels[known], predicted[known], probabilities[known].astype(np.float64)
    if len(labels) == 0:
        return found
    weighted = {"sample_weight": weights if weights is None else weights[known]}
    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
    classes = np.arange(probabilities.shape[1])
    binary = len(classes) == 2
    recalls = metrics.recall_score(
        labels, predicted, labels=np.unique(labels), average="macro", zero_division=0, **weighted
    )
    averaging = {"average": "binary"} if binary else {"average": "macro", "labels": classes}
    f1 = metrics.f1_score(labels, predicted, zero_division=0, **averaging, **weighted)
    found |= {
        "balanced_accuracy": float(recalls),
        "f1": float(f1),
        "log_loss": float(metrics.log_loss(labels, probabilities, labels=classes, **weighted)),
    }
    if binary and len(np.unique(labels)) == 2:
        found["auc"] = float(metrics.roc_auc_score(labels, probabilities[:, 1], **weighted))
    elif not binary and len(np.unique(labels)) == len(classes):
        found["auc"] = float(
            metrics.roc_auc_score(labels, probabilities, multi_class="ovr", labels=classes, **weighted)
        )
    return found


def confusion(probabilities: np.ndarray, labels: np.ndarray) -> list[list[int]]:
    """Rows: the true class; columns: the predicted one."""
    known = labels != UNKNOWN_CLASS
    classes = np.arange(probabilities.shape[1])
    matrix: list[list[int]] = metrics.confusion_matrix(
        labels[known], probabilities[known].argmax(axis=1), labels=classes
    ).tolist()
    return matrix


def regression(predicted: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> dict[str, float]:
    """Rmse and mae in the label's unit, and r2; all arrays float [rows], `weights` as for `classification`."""
    weights, (predicted, labels) = _counting(weights, predicted, labels)
    found = {
        "rmse": float(metrics.root_mean_squared_error(labels, predicted, sample_weight=weights)),
        "mae": float(metrics.mean_absolute_error(labels, predicted, sample_weight=weights)),
    }
    if len(labels) > 1:
        found["r2"] = float(metrics.r2_score(labels, predicted, sample_weight=weights))
    return found


def _counting(weights: np.ndarray | None, *columns: np.ndarray) -> tuple[np.ndarray | None, tuple[np.ndarray, ...]]:
    """The rows that weigh something: a class of which none does is not there."""
    if weights is None:
        return None, columns
    there = weights > 0
    return weights[there].astype(np.float64), tuple(column[there] for column in columns)
