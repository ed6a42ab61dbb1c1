"""What a column looks like: one pass, bounded memory, and `merge(a, b)` equals one pass over both."""

from pipeline.data.statistics.digest import Digest
from pipeline.data.statistics.distinct import Distinct
from pipeline.data.statistics.feature import FeatureStatistics
from pipeline.data.statistics.heavy_hitters import HeavyHitters
from pipeline.data.statistics.moments import Moments, count_values
from pipeline.data.statistics.numbers import Numbers
from pipeline.data.statistics.statistics import Statistics, StatisticsBuilder

__all__ = [
    "Digest",
    "Distinct",
    "FeatureStatistics",
    "HeavyHitters",
    "Moments",
    "Numbers",
    "Statistics",
    "StatisticsBuilder",
    "count_values",
]
