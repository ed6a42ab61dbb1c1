"""Sources: each yields raw rows as Arrow record batches. One origin per file."""

from pipeline.data.sources.arrays import Arrays
from pipeline.data.sources.arrow import Arrow
from pipeline.data.sources.arrow_table import ArrowTable
from pipeline.data.sources.csv import Csv
from pipeline.data.sources.dataset import FromDataset
from pipeline.data.sources.idx import Idx
from pipeline.data.sources.image_folder import ImageFolder
from pipeline.data.sources.json_lines import JsonLines
from pipeline.data.sources.npz import Npz
from pipeline.data.sources.parquet import Parquet
from pipeline.data.sources.scikit_learn import ScikitLearn
from pipeline.data.sources.text_folder import TextFolder
from pipeline.data.sources.tfds import Tfds

__all__ = [
    "Arrays",
    "Arrow",
    "ArrowTable",
    "Csv",
    "FromDataset",
    "Idx",
    "ImageFolder",
    "JsonLines",
    "Npz",
    "Parquet",
    "ScikitLearn",
    "TextFolder",
    "Tfds",
]
