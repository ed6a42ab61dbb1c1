"""The last word: metrics on rows that nothing was learnt from, beside what no learning at all would reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.data.label_info import LabelInfo
from pipeline.data.store import SAMPLE_WEIGHT, Store
from pipeline.data.transforms.plain import from_plain
from pipeline.errors import ConfigError
from pipeline.evaluation import metrics

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


@dataclass(frozen=True)
class Evaluation:
    """What a model is worth; printed as a small table.

    Attributes:
      metrics: name -> value, see `pipeline.evaluation.metrics`.
      baseline: the same of a model that always answers train's class shares or mean.
      num_rows: evaluated.
      num_unknown: of them with a class that train never showed.
      classes: names, in the order of the confusion matrix.
      confusion: rows true, columns predicted, in numbers of rows whatever they weigh; empty for regression.
      weighted_by: the column by which rows count in the metrics, or None.

    Example:
      >>> print(Evaluation({"mae": 1.5, "r2": 0.25}, {"mae": 2.0, "r2": 0.0}, num_rows=40))
      40 rows   model  baseline
      mae      1.5000    2.0000
      r2       0.2500    0.0000
    """

    metrics: dict[str, float]
    baseline: dict[str, float]
    num_rows: int
    num_unknown: int = 0
    classes: tuple[str, ...] = ()
    confusion: list[list[int]] = field(default_factory=list)
    weighted_by: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def __str__(self) -> str:
        """The metrics beside the baseline, a line each."""
        known = {name: f"{value:.4f}" for name, value in self.baseline.items()}
        rows = [(f"{self.num_rows} rows", "model", "baseline")]
        rows += [(name, f"{value:.4f}", known.get(name, "")) for name, value in self.metrics.items()]
        name, model, baseline = (max(map(len, column)) for column in zip(*rows, strict=True))
        lines = [f"{row[0]:<{name}}  {row[1]:>{model}}  {row[2]:>{baseline}}".rstrip() for row in rows]
        if self.weighted_by is not None:
            lines.append(f'weighted by "{self.weighted_by}"')
        if self.num_unknown:
            lines.append(f"{self.num_unknown} rows have a class that train never showed; they count as wrong")
        return "\n".join(lines)


def evaluate(model: keras.Model, dataset: tf.data.Dataset) -> Evaluation:
    """Evaluates a model on all rows of a store: the one place that opens test.

    Args:
      model: features -> logits, as those of `pipeline.models` (for regression: the standardized label).
      dataset: of `pipeline.data.make_eval`.

    Returns:
      Metrics beside those of a baseline that knows nothing but train's class shares or mean. Where rows have weights,
      they count by them in all metrics, and in the baseline.

    Raises:
      ConfigError: the dataset is another, or the model's output does not fit the task.

    Example:
      >>> from pipeline import data, models
      >>> splits = data.prepare(data.sources.ScikitLearn("iris"))
      >>> evaluate(models.mlp(splits.spec, units=(4,)), data.make_eval(splits.test)).num_rows
      23
    """
    from pipeline.models.outputs import check_output, predict

    store = getattr(dataset, "store", None)
    spec = store.spec if isinstance(store, Store) else None
    if not isinstance(store, Store) or spec is None:
        raise ConfigError(
            "evaluate does not know which rows these are.",
            expected="a dataset of make_eval, of a store that data.prepare made",
            fix="evaluation.evaluate(model, data.make_eval(splits.test))",
        )
    check_output(model, spec, error=ConfigError)
    info = LabelInfo.of(store)
    found, labels = predict(model, spec, dataset)
    weights = np.asarray(store.columns[SAMPLE_WEIGHT]) if SAMPLE_WEIGHT in store.columns else None
    if info.classes:
        result = evaluate_classes(found, labels, np.asarray(info.constant), info.classes, weights=weights)
    else:
        scaled = from_plain(*store.target)
        found, labels = (scaled.inverse(values.astype(np.float64)) for values in (found, labels))
        result = evaluate_values(found, labels, info.constant[0], weights=weights)
    return replace(result, weighted_by=info.weight)


def evaluate_classes(
    probabilities: np.ndarray,
    labels: np.ndarray,
    train_shares: np.ndarray,
    classes: Sequence[str],
    *,
    weights: np.ndarray | None = None,
) -> Evaluation:
    """Evaluates a classifier.

    Args:
      probabilities: float [rows, classes].
      labels: int [rows]; -1 for a class that train never showed.
      train_shares: float [classes], for the baseline.
      classes: their names.
      weights: float [rows], by which rows count; None: all the same.
    """
    constant = np.tile(train_shares, (len(labels), 1))
    return Evaluation(
        metrics.classification(probabilities, labels, weights),
        metrics.classification(constant, labels, weights),
        len(labels),
        int((labels == metrics.UNKNOWN_CLASS).sum()),
        tuple(classes),
        metrics.confusion(probabilities, labels),
    )


def evaluate_values(
    predicted: np.ndarray, labels: np.ndarray, train_mean: float, *, weights: np.ndarray | None = None
) -> Evaluation:
    """Evaluates a regression.

    Args:
      predicted, labels: float [rows], in the label's unit.
      train_mean: for the baseline.
      weights: float [rows], by which rows count; None: all the same.
    """
    mean = np.full(len(labels), train_mean)
    return Evaluation(
        metrics.regression(predicted, labels, weights), metrics.regression(mean, labels, weights), len(labels)
    )
