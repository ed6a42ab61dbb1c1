"""Training: optimizers, the loop, and the search for hyperparameters."""

from pipeline.training.fit import History, fit
from pipeline.training.optimizers import SGD, Adagrad, Adam
from pipeline.training.space import default_space, to_hyperparameters
from pipeline.training.tune import Trial, best, tune

__all__ = ["SGD", "Adagrad", "Adam", "History", "Trial", "best", "default_space", "fit", "to_hyperparameters", "tune"]
