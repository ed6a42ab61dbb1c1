"""Whether two sets of rows differ: this run's from the last one's, or one side's from another's."""

from pipeline.data.drift.compare import THRESHOLDS, Drift, compare

__all__ = ["THRESHOLDS", "Drift", "compare"]
