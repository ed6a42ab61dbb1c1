"""Augmentations: random changes of a train batch, `(features, seed) -> features`, whose spec they keep.

Each is a frozen dataclass; its randomness comes from the seed alone, one number an image, so that the same
seed gives the same batch whatever the parallelism.
"""

from pipeline.data.augment.crop import Crop
from pipeline.data.augment.flip import Flip
from pipeline.data.augment.shift import Shift

__all__ = ["Crop", "Flip", "Shift"]
