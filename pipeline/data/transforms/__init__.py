"""Transforms: configured, then fitted on train; a fitted one encodes columns and has a serving layer equal to it."""

from pipeline.data.transforms.bundle import Transforms
from pipeline.data.transforms.date_time_parts import DateTimeParts
from pipeline.data.transforms.hashed_text import HashedText
from pipeline.data.transforms.resize_image import ResizeImage
from pipeline.data.transforms.standardize import Standardize
from pipeline.data.transforms.tags import Tags
from pipeline.data.transforms.target import ClassIndex, ScaleTarget
from pipeline.data.transforms.vocabulary import Vocabulary

__all__ = [
    "ClassIndex",
    "DateTimeParts",
    "HashedText",
    "ResizeImage",
    "ScaleTarget",
    "Standardize",
    "Tags",
    "Transforms",
    "Vocabulary",
]
