"""Splits: every row gets its side before anything is learnt. A split is an array of sides, so it is a fact that can
be saved and checked.

Every splitter is called as `splitter(labels, *, column, units, pinned, seed) -> sides`; see `splitter.Splitter`.
All randomness comes from the seed through NumPy's Philox generator, whose output is the same on every machine.
"""

from pipeline.data.split.chronological import Time
from pipeline.data.split.given import Given
from pipeline.data.split.grouped import Group, StratifiedGroup
from pipeline.data.split.keyed import Key
from pipeline.data.split.shuffled import Random, Stratified
from pipeline.data.split.strata import strata as strata

__all__ = ["Given", "Group", "Key", "Random", "Stratified", "StratifiedGroup", "Time"]
