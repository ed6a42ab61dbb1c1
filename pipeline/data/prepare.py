"""Learn from train alone, then encode every split once into its store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa

from pipeline.data.ingest import IMAGE_ABOUT, stored_rows
from pipeline.data.schema import Schema
from pipeline.data.sides import SIDES, TRAIN
from pipeline.data.split import MAX_CLASSES
from pipeline.data.statistics import Moments, count_values
from pipeline.data.store import LABEL, StoreWriter
from pipeline.data.transforms import (
    ClassIndex,
    ResizeImage,
    ScaleTarget,
    Standardize,
    Transforms,
    Vocabulary,
    labels_of,
)
from pipeline.data.transforms.target import FittedClassIndex, looks_like_classes
from pipeline.errors import ConfigError
from pipeline.progress import Reporter, silent
from pipeline.spec import Spec, Task

# Quantile edges are taken from at most so many train rows, evenly spread: their error is then far below a bin.
QUANTILE_ROWS = 200_000
# Larger images are brought to this size unless the config says otherwise: what a small convnet on a laptop
# can use. 8x8 digits or 28x28 clothes keep their size.
DEFAULT_IMAGE_SIZE = 64
_CHUNK_ROWS = 1024


@dataclass
class _Learnt:
    """What one pass over the train rows gathers."""

    moments: dict[str, Moments] = field(default_factory=dict)
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    samples: dict[str, list[np.ndarray]] = field(default_factory=dict)
    image_sizes: set[tuple[int, ...]] = field(default_factory=set)
    labels: list[np.ndarray] = field(default_factory=list)


def prepare(
    rows_path: Path,
    schema: Schema,
    sides: np.ndarray,
    directory: Path,
    *,
    task: str = "auto",
    image_size: tuple[int, int] | None = None,
    vocabulary_size: int = 10_000,
    min_count: int = 2,
    num_bins: int = 48,
    reporter: Reporter | None = None,
) -> tuple[Spec, Transforms]:
    """Fits transforms on the train rows and writes the stores `directory/train`, `validation` and `test`.

    Args:
      rows_path: what `ingest` wrote.
      schema: of those rows.
      sides: uint8 [rows], from a split.
      directory: where the stores go.
      task: auto, binary, multiclass or regression.
      image_size: (height, width); None: by the train images.
      vocabulary_size, min_count: see `Vocabulary`.
      num_bins: quantile bins a numeric column.
      reporter: for progress.

    Returns:
      What a model must know, and the fitted transforms.

    Raises:
      DataError: the label has one class or does not vary, or an image cannot be decoded.
      ConfigError: the task does not fit the label.
    """
    reporter = reporter or silent()
    learnt = _learn(rows_path, schema, sides, reporter)
    labels = np.concatenate(learnt.labels)
    task = _task(task, labels, schema)
    features: list[tuple[str, Any]] = []
    for feature in schema.features:
        if feature.kind == "numeric":
            features.append((feature.name, Standardize().fit(learnt.moments[feature.name])))
        elif feature.kind == "categorical":
            features.append((feature.name, Vocabulary(vocabulary_size, min_count).fit(learnt.counts[feature.name])))
        else:
            features.append((feature.name, _image_transform(learnt.image_sizes, image_size)))
    target = ScaleTarget().fit(labels) if task == "regression" else ClassIndex().fit(labels)
    transforms = Transforms(tuple(features), schema.label.name, target)
    spec = _spec(task, transforms, learnt, num_bins, len(labels))
    _encode(rows_path, sides, transforms, spec, directory, reporter)
    return spec, transforms


def _learn(rows_path: Path, schema: Schema, sides: np.ndarray, reporter: Reporter) -> _Learnt:
    learnt = _Learnt()
    stride = max(1, int((sides == TRAIN).sum()) // QUANTILE_ROWS)
    seen = 0
    with reporter.bar("train rows learnt from", int((sides == TRAIN).sum())) as advance:
        for batch in rows_of(stored_rows(rows_path), sides, TRAIN):
            for name in schema.of_kind("numeric"):
                values = labels_of(batch.column(name))
                learnt.moments[name] = learnt.moments.get(name, Moments()).merge(Moments.of(values))
                learnt.samples.setdefault(name, []).append(values[-seen % stride :: stride])
            for name in schema.of_kind("categorical"):
                learnt.counts[name] = learnt.counts.get(name, Counter()) + count_values(batch.column(name))
            for name in schema.of_kind("image"):
                about = [batch.column(f"{name}.{part}").to_numpy() for part in IMAGE_ABOUT]
                learnt.image_sizes |= set(map(tuple, np.stack(about, axis=1).tolist()))
            learnt.labels.append(labels_of(batch.column(schema.label.name)))
            seen += batch.num_rows
            advance(batch.num_rows)
    return learnt


def rows_of(
    reader: pa.ipc.RecordBatchFileReader, sides: np.ndarray, side: int, rows: int | None = None
) -> Iterator[pa.RecordBatch]:
    """The stored rows of one side, in their order, in batches of at most `rows`."""
    start = 0
    for index in range(reader.num_record_batches):
        batch = reader.get_batch(index)
        chosen = np.flatnonzero(sides[start : start + batch.num_rows] == side)
        start += batch.num_rows
        step = rows or max(len(chosen), 1)
        for first in range(0, len(chosen), step):
            yield batch.take(pa.array(chosen[first : first + step]))


def _task(task: str, labels: np.ndarray, schema: Schema) -> Task:
    if task == "regression" and labels.dtype.kind != "f":
        raise ConfigError(
            f'"task" is regression, but the label "{schema.label.name}" is text.',
            expected="a numeric label",
            fix='Remove the task, or set task = "multiclass".',
        )
    num_classes = len(np.unique(labels.astype(str)))
    if task == "binary" and num_classes > 2:
        raise ConfigError(
            f'"task" is binary, but the label has {num_classes} classes in train.', expected="two classes"
        )
    if task != "auto":
        return cast(Task, task)
    if not looks_like_classes(labels, MAX_CLASSES):
        return "regression"
    return "binary" if num_classes <= 2 else "multiclass"


def _image_transform(sizes: set[tuple[int, ...]], wanted: tuple[int, int] | None) -> ResizeImage:
    """The size and the colours, by the train images alone."""
    shapes = {size[:2] for size in sizes}
    channels = max(size[2] for size in sizes)
    if wanted:
        height, width = wanted
    elif len(shapes) == 1 and max(next(iter(shapes))) <= DEFAULT_IMAGE_SIZE:
        height, width = next(iter(shapes))
    else:
        height = width = DEFAULT_IMAGE_SIZE
    return ResizeImage(height, width, channels)


def _spec(task: Task, transforms: Transforms, learnt: _Learnt, num_bins: int, num_train: int) -> Spec:
    edges, num_indicators, vocabulary_sizes, image_shape = [], 0, [], None
    for name, transform in transforms.features:
        fitted: Any = transform
        if name in learnt.samples:
            encoded = fitted(np.concatenate(learnt.samples[name]))
            present = encoded[:, 0][encoded[:, 1] == 0] if fitted.indicator else encoded[:, 0]
            edges.append(_quantile_edges(present, num_bins))
            num_indicators += fitted.indicator
        elif name in learnt.counts:
            vocabulary_sizes.append(fitted.size)
        else:
            image_shape = (fitted.height, fitted.width, fitted.channels)
    target = transforms.target
    num_classes = len(target.names) if isinstance(target, FittedClassIndex) else 1
    return Spec(
        task, num_classes, len(edges) + num_indicators, tuple(edges), tuple(vocabulary_sizes), image_shape, num_train
    )


def _quantile_edges(values: np.ndarray, num_bins: int) -> tuple[float, ...]:
    """Increasing edges, a quantile each; fewer where values repeat, none where there are no two values."""
    if len(values) == 0:
        return ()
    edges = np.unique(np.quantile(values.astype(np.float64), np.linspace(0, 1, num_bins + 1)).astype(np.float32))
    return tuple(edges.tolist()) if len(edges) > 1 else ()


def _encode(
    rows_path: Path, sides: np.ndarray, transforms: Transforms, spec: Spec, directory: Path, reporter: Reporter
) -> None:
    counts = [int((sides == side).sum()) for side in range(len(SIDES))]
    with reporter.bar("rows encoded", sum(counts)) as advance:
        for side, name in enumerate(SIDES):
            writer = StoreWriter(directory / name, counts[side], _columns(spec))
            for batch in rows_of(stored_rows(rows_path), sides, side, _CHUNK_ROWS if spec.image_shape else None):
                writer.append({**transforms.encode(batch), LABEL: transforms.encode_label(batch)})
                advance(batch.num_rows)
            writer.close()


def _columns(spec: Spec) -> dict[str, tuple[str, tuple[int, ...]]]:
    columns: dict[str, tuple[str, tuple[int, ...]]] = {}
    if spec.num_numeric:
        columns["numeric"] = ("float32", (spec.num_numeric,))
    if spec.vocabulary_sizes:
        columns["categorical"] = ("int32", (len(spec.vocabulary_sizes),))
    if spec.image_shape:
        columns["image"] = ("uint8", spec.image_shape)
    columns[LABEL] = ("float32" if spec.task == "regression" else "int32", ())
    return columns
