"""Models: `(spec, *, hyperparameters) -> keras.Model`, uncompiled, whose output is logits (or the scaled target).

A function of your own with that form is used as `model.name = "their.module:thing"`.
"""

from pipeline.models.convnet import convnet
from pipeline.models.mlp import mlp

__all__ = ["convnet", "mlp"]
