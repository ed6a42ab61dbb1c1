"""The data sets that come with scikit-learn: no download, no file."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.data.kinds import Kind
from pipeline.data.sources.png import encode_png
from pipeline.data.sources.source import OnReject, Place
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
      >>> from pipeline.data.sources.source import refuse
      >>> next(ScikitLearn("iris").batches(refuse)).num_rows
      150
    """

    dataset: str
    label: str | None = "target"
    as_images: bool = False

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
    def kinds(self) -> dict[str, Kind]:
        """The image column, if there is one."""
        return {"image": "image"} if self.as_images else {}

    def fingerprint(self, hashes: FileHashes) -> str:
        """The name and the version of scikit-learn: the data cannot change without it."""
        return f"sklearn-{importlib.metadata.version('scikit-learn')}-{self.dataset}-{self.as_images}-{self.label}"

    def batches(self, on_reject: OnReject) -> Iterator[pa.RecordBatch]:
        """One record batch."""
        import sklearn.datasets

        bunch: Any = getattr(sklearn.datasets, f"load_{self.dataset}")()
        if self.as_images:
            # Grey levels 0 to 16.
            columns = {"image": encode_png(np.round(bunch.images * (255 / 16)).astype(np.uint8))}
        else:
            columns = {str(name): pa.array(bunch.data[:, i]) for i, name in enumerate(bunch.feature_names)}
        columns[str(self.label)] = _label(bunch)
        yield pa.RecordBatch.from_pydict(columns)

    def places(self, rows: Sequence[int]) -> list[Place]:
        """The name of the data set, and the number of the row, from 1."""
        return [Place(self.dataset, row + 1) for row in rows]


def _label(bunch: Any) -> pa.Array:
    names = bunch.get("target_names")
    if names is None or np.issubdtype(np.asarray(names).dtype, np.number):
        return pa.array(bunch.target)
    return pa.array([str(names[index]) for index in bunch.target])
