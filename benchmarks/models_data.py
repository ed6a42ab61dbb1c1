"""Rows to train the default models on: made ones, or of published sets."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from pipeline.spec import Bag, Spec

# By which the models choose their sizes, whatever number of rows the benchmark has time for.
_TABLE_ROWS, _TEXT_ROWS, _IMAGE_ROWS = 20_000, 10_000, 60_000
_BINS, _CLASSES = 48, 77


@dataclass(frozen=True)
class Rows:
    """Some rows, as `prepare` leaves them.

    Attributes:
      spec: for the model.
      features: name -> [rows, ...].
      label: int32 [rows].
    """

    spec: Spec
    features: dict[str, np.ndarray]
    label: np.ndarray

    def store(self, folder: Path) -> Any:
        """The same on disk, for our feed."""
        from pipeline.data.store import Store, StoreWriter

        columns = {**self.features, "label": self.label}
        kinds = {name: (str(column.dtype), column.shape[1:]) for name, column in columns.items()}
        writer = StoreWriter(folder, len(self.label), kinds, spec=self.spec)
        writer.append(columns)
        writer.close()
        return Store(folder)


def table(num_rows: int) -> Rows:
    """Ten numbers and four categories of 3 to 5,000 levels; a label of waves and steps."""
    from benchmarks.feed_tables import rows

    sizes = (3, 20, 200, 5000)
    columns = rows(num_rows, 10, sizes)
    numeric, categorical = columns["numeric"], columns["categorical"]
    quantiles = np.quantile(numeric, np.linspace(0, 1, _BINS + 1), axis=0).T
    effects = np.random.default_rng(1).standard_normal(sizes[2])
    signal = np.sin(3 * numeric[:, 0]) + (numeric[:, 1] > 0.5) + numeric[:, 2] + effects[categorical[:, 2]]
    edges = tuple(tuple(map(float, one)) for one in quantiles)
    spec = Spec("binary", 2, num_numeric=10, edges=edges, vocabulary_sizes=sizes, num_train=_TABLE_ROWS)
    return Rows(spec, {"numeric": numeric, "categorical": categorical}, (signal > 0.3).astype(np.int32))


def texts(num_rows: int, data: Path | None) -> Rows:
    """Short questions of 77 classes, as `HashedText` encodes them; made ones where there is no folder."""
    from pipeline.data.transforms import HashedText
    from pipeline.data.transforms.transform import fit_on

    if data is None:
        written, names = _made_texts(num_rows)
    else:
        read = pa.csv.read_csv(data / "banking77" / "train.csv")
        order = np.random.default_rng(0).permutation(len(read))[:num_rows]
        written, names = read["text"].combine_chunks().take(order), np.array(read["category"].to_pylist())[order]
    fitted = fit_on(HashedText(), written)
    classes, label = np.unique(names, return_inverse=True)
    spec = Spec("multiclass", len(classes), bags=(fitted.bag,), num_train=_TEXT_ROWS)
    return Rows(spec, {"bags": np.asarray(fitted(written), np.int32)}, label.astype(np.int32))


def images(num_rows: int, data: Path | None) -> Rows:
    """Grey images of 28x28 pixels in ten classes; made ones where there is no folder."""
    if data is None:
        random = np.random.default_rng(0)
        label = random.integers(0, 10, num_rows, np.int32)
        kinds = random.integers(0, 128, (10, 28, 28, 1))
        image = (kinds[label] + random.integers(0, 128, (num_rows, 28, 28, 1))).astype(np.uint8)
    else:
        folder = data / "fashion-mnist"
        image = _idx(folder / "train-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28, 1)[:num_rows]
        label = _idx(folder / "train-labels-idx1-ubyte.gz", 8)[:num_rows].astype(np.int32)
    spec = Spec("multiclass", 10, image_shape=(28, 28, 1), num_train=_IMAGE_ROWS)
    return Rows(spec, {"image": image}, label)


def large_bag(num_rows: int, size: int, slots: int, used: int, *, zipf: bool) -> Rows:
    """Full bags of indices below `used`, of `size`; a word's frequency is one over its rank, or all are as likely."""
    random = np.random.default_rng(0)
    if zipf:  # the rows of frequent words lie anywhere in the table
        ranks = np.floor((used - 1) ** random.random((num_rows, slots))).astype(np.int64)
        indices = 1 + random.permutation(used - 1)[ranks - 1]
    else:
        indices = random.integers(1, used, (num_rows, slots))
    spec = Spec("binary", 2, bags=(Bag(size=size, slots=slots),), num_train=num_rows)
    return Rows(spec, {"bags": indices.astype(np.int32)}, (np.arange(num_rows) % 2).astype(np.int32))


def _made_texts(num_rows: int) -> tuple[pa.Array, np.ndarray]:
    """Sentences, each with two words of its class among the others."""
    from benchmarks.feed_text import sentences

    label = np.random.default_rng(0).integers(0, _CLASSES, num_rows)
    written = [f"ask{one} {text} about{one}" for one, text in zip(label, sentences(num_rows), strict=True)]
    return pa.array(written), label


def _idx(file: Path, header: int) -> np.ndarray:
    with gzip.open(file) as stream:
        return np.frombuffer(stream.read(), np.uint8, offset=header)
