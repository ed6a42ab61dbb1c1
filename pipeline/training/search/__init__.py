"""What to try: KerasTuner's oracles behind a journal that survives a kill. Importing it does not load KerasTuner."""

from pipeline.training.search.default import default_space
from pipeline.training.search.dimensions import EPOCHS, why_not_tuned
from pipeline.training.search.journal import Header, Journal
from pipeline.training.search.search import ALGORITHMS, Search
from pipeline.training.search.space import check_space, overrides, to_hyperparameters
from pipeline.training.search.trials import Asked, Outcome, Trial

__all__ = [
    "ALGORITHMS",
    "EPOCHS",
    "Asked",
    "Header",
    "Journal",
    "Outcome",
    "Search",
    "Trial",
    "check_space",
    "default_space",
    "overrides",
    "to_hyperparameters",
    "why_not_tuned",
]
