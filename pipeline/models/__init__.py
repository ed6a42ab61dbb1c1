"""Models: `(spec, *, hyperparameters) -> keras.Model`, uncompiled, whose output is logits (or the scaled target).

A function of your own with that form is used as `model.name = "their.module:thing"`.
"""

from pipeline.models.backbone import backbone
from pipeline.models.convnet import convnet
from pipeline.models.mlp import mlp
from pipeline.models.residual_mlp import residual_mlp
from pipeline.models.tabm import tabm
from pipeline.models.text_bag import text_bag
from pipeline.models.text_conv import text_conv

__all__ = ["backbone", "convnet", "mlp", "residual_mlp", "tabm", "text_bag", "text_conv"]
