"""How each model of ours is trained where the config does not say: what tuning on validation found for it.

More epochs than these do not make a model of ours better, even where a budget has time for them.
"""

from __future__ import annotations

from typing import Any

from pipeline.spec import Spec

# Rows of train up to which a smaller batch, and so more steps an epoch, is worth its time. (rows, batch size)
_TABLE_BATCHES = ((2_000, 32), (20_000, 128), (100_000, 256))
_LARGEST_TABLE_BATCH = 512
_FEW_IMAGES = 5_000
# A part of every label that all classes share keeps a network from certainty; two classes need none.
_SMOOTHING = 0.1


def recipe(model: str, spec: Spec) -> dict[str, Any]:
    """The keys of the section `train` that a model is best trained with; for one of your own, AdamW as Keras has it.

    Args:
      model: its name in the config.
      spec: of the data.

    Example:
      >>> recipe("text_bag", Spec("multiclass", 77))["label_smoothing"], recipe("tabm", Spec("binary", 2))["batch_size"]
      (0.1, 128)
    """
    smoothing = _SMOOTHING if spec.task == "multiclass" else 0.0
    if model == "text_bag":
        # Adagrad: a rare n-gram learns as quickly as a frequent one. Its steps only become shorter, so they begin long.
        return _keys("Adagrad", 0.3, 64, 15, smoothing)
    if model == "text_conv":
        return _keys("AdamW", 1e-3, 64, 30, smoothing)
    if model in ("convnet", "backbone"):
        few = 0 < spec.num_train < _FEW_IMAGES
        rate = 1e-3 if model == "backbone" else 3e-3 if few else 5e-3
        return _keys("AdamW", rate, 32 if few else 128, 90 if few else 30, smoothing, weight_decay=0.05)
    if model == "tabm":
        return _keys("AdamW", 3e-3, _table_batch(spec), 60, weight_decay=0.01)
    return _keys("AdamW", 1e-3, _table_batch(spec), 100, weight_decay=0.01)


def _keys(
    optimizer: str, rate: float, batch_size: int, epochs: int, smoothing: float = 0.0, **arguments: float
) -> dict[str, Any]:
    return {
        "optimizer": {"name": optimizer, **arguments},
        "learning_rate": rate,
        "batch_size": batch_size,
        "epochs": epochs,
        "label_smoothing": smoothing,
    }


def _table_batch(spec: Spec) -> int:
    if not spec.num_train:
        return 128
    return next((size for rows, size in _TABLE_BATCHES if spec.num_train < rows), _LARGEST_TABLE_BATCH)
