"""Many trainings at once in one program, their weights stacked on a leading axis."""

from pipeline.training.population.candidate import Candidate, group_key
from pipeline.training.population.lane import Lane
from pipeline.training.population.run import Population

__all__ = ["Candidate", "Lane", "Population", "group_key"]
