"""Fit on what was learnt from train alone, then encode every side once into its store, and describe it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa

from pipeline.data.ingest import DEFAULT_IMAGE_SIZE
from pipeline.data.learn import Learnt, numbered, side_of
from pipeline.data.rows import stored_batches
from pipeline.data.schema import Schema
from pipeline.data.sides import SIDES
from pipeline.data.sources.ordered import ordered_map
from pipeline.data.split.strata import MAX_CLASSES
from pipeline.data.statistics import Statistics, StatisticsBuilder
from pipeline.data.store import LABEL, StoreWriter
from pipeline.data.transforms import (
    ClassIndex,
    DateTimeParts,
    HashedText,
    ResizeImage,
    ScaleTarget,
    Standardize,
    Tags,
    Transforms,
    Vocabulary,
)
from pipeline.data.transforms.target import looks_like_classes
from pipeline.errors import ConfigError
from pipeline.progress import Reporter, silent
from pipeline.spec import Spec, Task

_IMAGE_ROWS = 1024


def fit(
    learnt: Learnt,
    schema: Schema,
    *,
    task: str = "auto",
    image_size: tuple[int, int] | None = None,
    vocabulary_size: int = 10_000,
    min_count: int = 2,
    num_bins: int = 48,
) -> tuple[Spec, Transforms]:
    """Fits a transform for every feature and for the label.

    Args:
      learnt: of the train rows, see `pipeline.data.learn`.
      schema: of the stored rows.
      task: auto, binary, multiclass or regression.
      image_size: (height, width); None: by the train images.
      vocabulary_size, min_count: see `Vocabulary`.
      num_bins: quantile bins a numeric column.

    Returns:
      What a model must know, and the fitted transforms.

    Raises:
      DataError: the label has one class or does not vary.
      ConfigError: the task does not fit the label.
    """
    labels = np.concatenate(learnt.labels)
    known_task = task_of(task, labels, schema)
    fits: dict[str, Callable[[str], Any]] = {
        "numeric": lambda name: Standardize().fit(learnt.moments[name]),
        "categorical": lambda name: Vocabulary(vocabulary_size, min_count).fit(learnt.counts[name]),
        "datetime": lambda name: DateTimeParts().fit(learnt.moments[name], learnt.minutes[name]),
        "tags": lambda name: Tags(max_size=vocabulary_size, min_count=min_count).fit(
            learnt.counts[name], max(learnt.lengths[name])
        ),
        "text": lambda name: HashedText().fit(learnt.lengths[name]),
        "image": lambda name: _image_transform(learnt.image_sizes, image_size),
    }
    features = tuple((feature.name, fits[feature.kind](feature.name)) for feature in schema.features)
    target = ScaleTarget().fit(labels) if known_task == "regression" else ClassIndex().fit(labels)
    transforms = Transforms(features, schema.label.name, target)
    edges = {
        name: _edges(fitted, learnt.samples[name], num_bins) for name, fitted in features if name in learnt.samples
    }
    return transforms.spec(known_task, len(labels), edges), transforms


def encode(
    rows_path: Path,
    schema: Schema,
    sides: np.ndarray,
    transforms: Transforms,
    spec: Spec,
    directory: Path,
    reporter: Reporter | None = None,
) -> dict[str, Statistics]:
    """Writes the stores `directory/train`, `validation` and `test`.

    Args:
      rows_path: what `ingest` wrote.
      schema: of those rows.
      sides: uint8 [rows], from a split.
      transforms, spec: from `fit`.
      directory: where the stores go.
      reporter: for progress.

    Returns:
      The statistics of each side by its name: all rows are read here anyway.

    Raises:
      DataError: an image cannot be decoded.
    """
    columns = _columns(spec)
    writers = [StoreWriter(directory / name, int((sides == s).sum()), columns) for s, name in enumerate(SIDES)]
    described = {column.name: column.kind for column in (*schema.features, schema.label)}
    builders = [StatisticsBuilder(described) for _ in SIDES]
    rows = _IMAGE_ROWS if spec.image_shape else None

    def encoded(part: tuple[int, pa.RecordBatch]) -> list[tuple[pa.RecordBatch, dict[str, np.ndarray]]]:
        start, batch = part
        here = sides[start : start + batch.num_rows]
        found = {**transforms.encode(batch), LABEL: transforms.encode_label(batch)}
        return [
            (side_of(batch, here, side), {name: column[here == side] for name, column in found.items()})
            for side in range(len(SIDES))
        ]

    with (reporter or silent()).bar("rows encoded", len(sides)) as advance:
        for parts in ordered_map(encoded, _cut(stored_batches(rows_path), rows)):
            for writer, builder, (batch, found) in zip(writers, builders, parts, strict=True):
                if batch.num_rows:
                    writer.append(found)
                    builder.add(batch)
                    advance(batch.num_rows)
    for writer in writers:
        writer.close()
    return {name: builder.build() for name, builder in zip(SIDES, builders, strict=True)}


def rows_of(rows_path: Path, sides: np.ndarray, side: int, rows: int | None = None) -> Iterator[pa.RecordBatch]:
    """The stored rows of one side, in their order, in batches of at most `rows`."""
    for start, batch in numbered(stored_batches(rows_path)):
        chosen = np.flatnonzero(sides[start : start + batch.num_rows] == side)
        step = rows or max(len(chosen), 1)
        for first in range(0, len(chosen), step):
            yield batch.take(pa.array(chosen[first : first + step]))


def task_of(task: str, labels: np.ndarray, schema: Schema) -> Task:
    """The task, by the train labels where it is auto.

    Raises:
      ConfigError: it does not fit them.
    """
    if task == "regression" and labels.dtype.kind != "f":
        raise ConfigError(
            f'"task" is regression, but the label "{schema.label.name}" is text.',
            expected="a numeric label",
            fix='Remove the task, or set task = "multiclass".',
        )
    num_classes = len(pa.array(labels).unique())
    if task == "binary" and num_classes > 2:
        raise ConfigError(
            f'"task" is binary, but the label has {num_classes} classes in train.', expected="two classes"
        )
    if task != "auto":
        return cast(Task, task)
    if not looks_like_classes(labels, MAX_CLASSES):
        return "regression"
    return "binary" if num_classes <= 2 else "multiclass"


def _cut(batches: Iterator[pa.RecordBatch], rows: int | None) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Numbered batches of at most so many rows."""
    for start, batch in numbered(batches):
        step = rows or max(batch.num_rows, 1)
        for first in range(0, batch.num_rows, step):
            yield start + first, batch.slice(first, step)


def _image_transform(sizes: set[tuple[int, ...]], wanted: tuple[int, int] | None) -> ResizeImage:
    """The size and the colours, by the train images alone."""
    shapes = {size[:2] for size in sizes}
    channels = max((size[2] for size in sizes), default=3)
    if wanted:
        height, width = wanted
    elif len(shapes) == 1 and max(next(iter(shapes))) <= DEFAULT_IMAGE_SIZE:
        height, width = next(iter(shapes))
    else:
        height = width = DEFAULT_IMAGE_SIZE
    return ResizeImage(height, width, channels)


def _edges(fitted: Any, sample: list[pa.Array], num_bins: int) -> tuple[float, ...]:
    column = pa.concat_arrays(sample)
    return _quantile_edges(fitted(column)[:, 0][np.asarray(column.is_valid())], num_bins)


def _quantile_edges(values: np.ndarray, num_bins: int) -> tuple[float, ...]:
    """Increasing edges, a quantile each; fewer where values repeat, none where there are no two values."""
    if len(values) == 0:
        return ()
    edges = np.unique(np.quantile(values.astype(np.float64), np.linspace(0, 1, num_bins + 1)).astype(np.float32))
    return tuple(edges.tolist()) if len(edges) > 1 else ()


def _columns(spec: Spec) -> dict[str, tuple[str, tuple[int, ...]]]:
    columns: dict[str, tuple[str, tuple[int, ...]]] = {}
    if spec.num_numeric:
        columns["numeric"] = ("float32", (spec.num_numeric,))
    if spec.vocabulary_sizes:
        columns["categorical"] = ("int32", (len(spec.vocabulary_sizes),))
    if spec.bags:
        columns["bags"] = ("int32", (sum(bag.slots for bag in spec.bags),))
    if spec.image_shape:
        columns["image"] = ("uint8", spec.image_shape)
    columns[LABEL] = ("float32" if spec.task == "regression" else "int32", ())
    return columns
