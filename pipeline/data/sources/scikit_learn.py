"""The data sets that come with scikit-learn: no download, no file."""

from __future__ import annotations

import importlib.metadata
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.errors import ConfigError, did_you_mean
from pipeline.hashing import FileHashes

# Those with one label; linnerud has three.
DATASETS = ("breast_cancer", "diabetes", "digits", "iris", "wine")


@dataclass(frozen=True)
class ScikitLearn:
    """A data set bundled with scikit-learn, by the name of its loader (`load_digits` is "digits").

    Args:
      dataset: breast_cancer, diabetes, digits, iris or wine.
      label: name to give the column to predict.
      as_images: for digits, 8x8 grey PNG images in one column "image" instead of 64 numbers.

    Example:
      >>> from pipeline.data.sources import ScikitLearn
      >>> next(ScikitLearn("iris").batches()).num_rows
      150
    """

    dataset: str
    label: str | None = "target"
    as_images: bool = False

    categorical = ()

    def __post_init__(self) -> None:
        if self.dataset not in DATASETS:
            raise ConfigError(
                f'"source.dataset": scikit-learn bundles no data set "{self.dataset}" with one label.',
                expected=f"one of {', '.join(DATASETS)}",
                fix=did_you_mean(self.dataset, DATASETS).strip() or None,
            )
        if self.as_images and self.dataset != "digits":
            raise ConfigError(f'"source.as_images": {self.dataset} holds no images.', expected="only with digits")
        if self.label is None:
            object.__setattr__(self, "label", "target")

    @property
    def images(self) -> tuple[str, ...]:
        """The image column, if there is one."""
        return ("image",) if self.as_images else ()

    def fingerprint(self, hashes: FileHashes) -> str:
        """The name and the version of scikit-learn: the data cannot change without it."""
        return f"sklearn-{importlib.metadata.version('scikit-learn')}-{self.dataset}-{self.as_images}-{self.label}"

    def batches(self) -> Iterator[pa.RecordBatch]:
        """One record batch."""
        import sklearn.datasets

        bunch: Any = getattr(sklearn.datasets, f"load_{self.dataset}")()
        if self.as_images:
            columns = {"image": pa.array([_png(image) for image in bunch.images], pa.binary())}
        else:
            columns = {str(name): pa.array(bunch.data[:, i]) for i, name in enumerate(bunch.feature_names)}
        columns[str(self.label)] = _label(bunch)
        yield pa.RecordBatch.from_pydict(columns)

    def locate(self, row: int) -> str:
        """`"digits, row 17"`, counted from 1."""
        return f"{self.dataset}, row {row + 1}"


def _label(bunch: Any) -> pa.Array:
    names = bunch.get("target_names")
    if names is None or np.issubdtype(np.asarray(names).dtype, np.number):
        return pa.array(bunch.target)
    return pa.array([str(names[index]) for index in bunch.target])


def _png(image: np.ndarray) -> bytes:
    """Grey levels 0 to 16 as an 8-bit PNG, lossless up to the scale."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.round(image * (255 / 16)).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()
