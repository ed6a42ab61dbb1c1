"""Training: optimizers, the loop, its checkpoints, and the search for hyperparameters."""

from pipeline.training.checkpoint import Checkpoints
from pipeline.training.fit import fit
from pipeline.training.optimizers import SGD, Adagrad, Adam, AdamW
from pipeline.training.space import default_space, to_hyperparameters
from pipeline.training.state import History
from pipeline.training.tune import Trial, best, tune

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Checkpoints",
    "History",
    "Trial",
    "best",
    "default_space",
    "fit",
    "to_hyperparameters",
    "tune",
]
