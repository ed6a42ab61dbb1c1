"""Training: optimizers, the loop, and the search for hyperparameters."""

from pipeline.training.fit import History, fit
from pipeline.training.optimizers import SGD, Adagrad, Adam

__all__ = ["SGD", "Adagrad", "Adam", "History", "fit"]
