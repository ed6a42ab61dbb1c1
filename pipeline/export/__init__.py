"""Export: the SavedModel that takes raw rows, its proof in a fresh process, its publication and its use."""

from pipeline.export.saved_model import saved_model

__all__ = ["saved_model"]
