"""Transforms: configured, then fitted on train; a fitted one encodes columns and has a serving layer equal to it."""

from pipeline.data.transforms.bundle import Transforms
from pipeline.data.transforms.clip import Clip
from pipeline.data.transforms.date_time_parts import DateTimeParts
from pipeline.data.transforms.fold_rare import FoldRare
from pipeline.data.transforms.hash_category import HashCategory
from pipeline.data.transforms.hashed_text import HashedText
from pipeline.data.transforms.impute import Impute
from pipeline.data.transforms.log import Log
from pipeline.data.transforms.min_max_scale import MinMaxScale
from pipeline.data.transforms.one_hot import OneHot
from pipeline.data.transforms.quantile_scale import QuantileScale
from pipeline.data.transforms.resize_image import ResizeImage
from pipeline.data.transforms.robust_scale import RobustScale
from pipeline.data.transforms.standardize import Standardize
from pipeline.data.transforms.tags import Tags
from pipeline.data.transforms.target import ClassIndex, ScaleTarget
from pipeline.data.transforms.tf_idf import TfIdf
from pipeline.data.transforms.tokenize import Tokenize
from pipeline.data.transforms.vocabulary import Vocabulary

__all__ = [
    "ClassIndex",
    "Clip",
    "DateTimeParts",
    "FoldRare",
    "HashCategory",
    "HashedText",
    "Impute",
    "Log",
    "MinMaxScale",
    "OneHot",
    "QuantileScale",
    "ResizeImage",
    "RobustScale",
    "ScaleTarget",
    "Standardize",
    "Tags",
    "TfIdf",
    "Tokenize",
    "Transforms",
    "Vocabulary",
]
