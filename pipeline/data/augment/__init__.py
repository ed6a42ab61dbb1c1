"""Augmentations: random changes of train rows, `(examples, keys) -> examples`, whose spec they keep.

Each is a frozen dataclass; its randomness comes from the key of each row alone, so that neither the batch that a row is
in nor any parallelism changes what becomes of it.
"""

from pipeline.data.augment.brightness import Brightness
from pipeline.data.augment.colour import Colour
from pipeline.data.augment.contrast import Contrast
from pipeline.data.augment.crop import Crop
from pipeline.data.augment.cut_mix import CutMix
from pipeline.data.augment.erase import Erase
from pipeline.data.augment.flip import Flip
from pipeline.data.augment.mask import Mask
from pipeline.data.augment.mix_up import MixUp
from pipeline.data.augment.noise import Noise
from pipeline.data.augment.rand_augment import RandAugment
from pipeline.data.augment.rotate import Rotate
from pipeline.data.augment.shift import Shift
from pipeline.data.augment.swap_noise import SwapNoise
from pipeline.data.augment.word_dropout import WordDropout
from pipeline.data.augment.word_swap import WordSwap
from pipeline.data.augment.zoom import Zoom

__all__ = [
    "Brightness",
    "Colour",
    "Contrast",
    "Crop",
    "CutMix",
    "Erase",
    "Flip",
    "Mask",
    "MixUp",
    "Noise",
    "RandAugment",
    "Rotate",
    "Shift",
    "SwapNoise",
    "WordDropout",
    "WordSwap",
    "Zoom",
]
