"""The rows that both sides of `benchmarks.tuning` train on: those that `prepare` wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.runs import read_json
from pipeline.spec import Spec

# Features, by name where there are several kinds, and the label [rows].
Side = tuple[Any, np.ndarray]


@dataclass(frozen=True)
class Rows:
    """Encoded rows as arrays in memory.

    Attributes:
      spec: for the models.
      train, validation: features and label.
    """

    spec: Spec
    train: Side
    validation: Side

    @staticmethod
    def of(prepared: Path) -> Rows:
        """Read from the artifact of `prepare`: standardized numbers, indices of categories, pixels."""
        spec = Spec.from_json(read_json(prepared / "spec.json"))
        return Rows(spec, _side(prepared / "train"), _side(prepared / "validation"))

    def accuracy(self, model: Any) -> float | None:
        """On validation; None for a number."""
        features, label = self.validation
        if self.spec.task == "regression":
            return None
        if isinstance(model.input, dict) and not isinstance(features, dict):
            features = {next(iter(model.input)): features}
        logits = model.predict(features, batch_size=1024, verbose=0)
        answers = logits[:, 0] > 0 if self.spec.task == "binary" else logits.argmax(axis=1)
        return float(np.mean(answers == label))


def _side(directory: Path) -> Side:
    from pipeline.data.store import LABEL, Store

    store = Store(directory)
    columns = store[np.arange(len(store))]
    label = columns.pop(LABEL)
    return columns if len(columns) > 1 else next(iter(columns.values())), label
