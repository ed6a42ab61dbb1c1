"""Training: optimizers, the loop, its checkpoints, populations, and the search for hyperparameters."""

from pipeline.training.checkpoint import Checkpoints
from pipeline.training.fit import fit
from pipeline.training.optimizers import SGD, Adagrad, Adam, AdamW
from pipeline.training.population import Candidate, Population
from pipeline.training.search import Outcome, Search
from pipeline.training.state import History

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Candidate",
    "Checkpoints",
    "History",
    "Outcome",
    "Population",
    "Search",
    "fit",
]
