"""Sources: each yields raw rows as Arrow record batches. One origin per file."""

from pipeline.data.sources.csv import Csv
from pipeline.data.sources.image_folder import ImageFolder
from pipeline.data.sources.parquet import Parquet
from pipeline.data.sources.scikit_learn import ScikitLearn

__all__ = ["Csv", "ImageFolder", "Parquet", "ScikitLearn"]
