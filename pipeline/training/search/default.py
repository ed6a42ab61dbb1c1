"""The space that is searched where the config names none."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from pipeline.spec import Spec


def default_space(spec: Spec, model: Callable[..., Any] | None = None) -> dict[str, Any]:
    """Optimizer, learning rate and the model's hyperparameters, in ranges that suit the data.

    Few sizes, and one batch size: trials of one size train at once, in one program.

    Args:
      spec: of the data.
      model: only its own hyperparameters are searched, of those that are known here; None: those of any.

    Example:
      >>> default_space(Spec("binary", 2, num_numeric=3))["model.width"]
      [128, 256]
    """
    image = spec.image_shape is not None
    text = bool(spec.bags) and not (image or spec.num_numeric or spec.vocabulary_sizes)
    space: dict[str, Any] = {
        "train.optimizer": ["Adagrad", "Adam", "AdamW"] if text else ["AdamW", "Adam", "SGD", "Adagrad"],
        # Adagrad's steps only become shorter: it wants to begin with long ones.
        "train.learning_rate": {"min": 1e-3, "max": 3e-1, "log": True}
        if text
        else {"min": 3e-4, "max": 3e-2, "log": True},
        "model.l1": {"min": 1e-8, "max": 1e-5, "log": True},
        "model.l2": {"min": 1e-7, "max": 1e-3, "log": True},
        "model.dropout": {"min": 0.0, "max": 0.4, "step": 0.1},
        "model.width": [16, 32] if image else [64, 128, 256] if text else [128, 256],
        "model.depth": [1, 2] if image else [1, 2, 3] if text else [2, 3],
    }
    if spec.edges:
        space["model.numbers"] = ["plain", "piecewise", "periodic"]
    if model is None:
        return {key: values for key, values in space.items() if key != "model.numbers"}
    known = inspect.signature(model).parameters
    return {key: values for key, values in space.items() if not key.startswith("model.") or key[6:] in known}
