"""The last word: metrics on rows that nothing was learnt from, beside what no learning at all would reach."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from pipeline.evaluation import metrics


@dataclass(frozen=True)
class Evaluation:
    """What a model is worth.

    Attributes:
      metrics: name -> value, see `pipeline.evaluation.metrics`.
      baseline: the same of a model that always answers train's majority class or mean.
      num_rows: evaluated.
      num_unknown: of them with a class that train never showed.
      classes: names, in the order of the confusion matrix.
      confusion: rows true, columns predicted; empty for regression.
    """

    metrics: dict[str, float]
    baseline: dict[str, float]
    num_rows: int
    num_unknown: int = 0
    classes: tuple[str, ...] = ()
    confusion: list[list[int]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def evaluate_classes(
    probabilities: np.ndarray, labels: np.ndarray, train_labels: np.ndarray, classes: tuple[str, ...]
) -> Evaluation:
    """Evaluates a classifier.

    Args:
      probabilities: float [rows, classes].
      labels: int [rows].
      train_labels: int [train rows], for the baseline.
      classes: their names.
    """
    shares = np.bincount(train_labels, minlength=len(classes)) / len(train_labels)
    majority = np.tile(shares, (len(labels), 1))
    return Evaluation(
        metrics.classification(probabilities, labels),
        metrics.classification(majority, labels),
        len(labels),
        int((labels == metrics.UNKNOWN_CLASS).sum()),
        classes,
        metrics.confusion(probabilities, labels),
    )


def evaluate_values(predicted: np.ndarray, labels: np.ndarray, train_labels: np.ndarray) -> Evaluation:
    """Evaluates a regression; all arrays float, in the label's unit."""
    mean = np.full(len(labels), train_labels.mean())
    return Evaluation(metrics.regression(predicted, labels), metrics.regression(mean, labels), len(labels))
