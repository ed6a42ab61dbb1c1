"""Evaluation: metrics, baselines and the confusion matrix of the held-out rows."""

from pipeline.evaluation.evaluate import Evaluation, evaluate, evaluate_classes, evaluate_values

__all__ = ["Evaluation", "evaluate", "evaluate_classes", "evaluate_values"]
