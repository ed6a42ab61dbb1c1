"""Fit on what was learnt from train alone, then encode every side once into its store, and describe it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pyarrow as pa

from pipeline.data.edges import bin_edges
from pipeline.data.encoded import encoded_form
from pipeline.data.label_info import label_info
from pipeline.data.learn import Learnt, learn, numbered, side_of
from pipeline.data.pixels import Mode
from pipeline.data.row_weights import Weights
from pipeline.data.rows import stored_batches
from pipeline.data.schema import Schema
from pipeline.data.sides import SIDES, TRAIN
from pipeline.data.sources.ordered import ordered_map
from pipeline.data.split.strata import MAX_CLASSES
from pipeline.data.statistics import Statistics, StatisticsBuilder
from pipeline.data.store import LABEL, SAMPLE_WEIGHT, Store, StoreWriter
from pipeline.data.transforms import ClassIndex, ScaleTarget, Transforms
from pipeline.data.transforms.resize_image import FittedResizeImage
from pipeline.data.transforms.target import looks_like_classes
from pipeline.data.transforms.transform import Transform
from pipeline.errors import ConfigError
from pipeline.progress import Reporter, silent
from pipeline.spec import Spec, Task

Cache = Literal["pixels", "encoded"]

_IMAGE_ROWS, _BYTES_AT_ONCE = 1024, 1 << 26


def learn_and_encode(
    rows_path: Path,
    schema: Schema,
    sides: np.ndarray,
    choices: Mapping[str, Transform],
    directory: Path,
    reporter: Reporter | None = None,
    *,
    task: str = "auto",
    num_bins: int = 256,
    cache: Cache = "pixels",
) -> tuple[Spec, Transforms, dict[str, Statistics]]:
    """All that is learnt is learnt from train, and every side is encoded by it: `learn`, `fit` and `encode`, one after
    another; see there for arguments and errors.

    Returns:
      What a model must know, the fitted transforms, and the statistics of each side.
    """
    # What was learnt is large, and is gone before the rows are encoded.
    spec, transforms = fit(learn(rows_path, schema, sides, choices, reporter), schema, task=task, num_bins=num_bins)
    statistics = encode(rows_path, schema, sides, transforms, spec, directory, reporter, cache=cache)
    return spec, transforms, statistics


def fit(learnt: Learnt, schema: Schema, *, task: str = "auto", num_bins: int = 48) -> tuple[Spec, Transforms]:
    """Fits the chosen transform of every feature, and that of the label.

    Args:
      learnt: of the train rows, with the choices: see `pipeline.data.learn`.
      schema: of the stored rows.
      task: auto, binary, multiclass or regression.
      num_bins: quantile bins a numeric column.

    Returns:
      What a model must know, and the fitted transforms.

    Raises:
      DataError: the label has one class or does not vary.
      ConfigError: the task does not fit the label.
    """
    labels = np.concatenate(learnt.labels)
    known_task = task_of(task, labels, schema)
    names = [feature.name for feature in schema.features]
    features = tuple((name, learnt.choices[name].fit(learnt.learners[name])) for name in names)
    target = ScaleTarget().fit(labels) if known_task == "regression" else ClassIndex().fit(labels)
    transforms = Transforms(features, schema.label.name, target, tuple(feature.kind for feature in schema.features))
    edges = {
        name: _edges(fitted, learnt.samples[name], num_bins)
        for name, fitted in features
        if fitted.part == "numeric" and name in learnt.samples
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
    *,
    cache: Cache = "pixels",
) -> dict[str, Statistics]:
    """Writes the stores `directory/train`, `validation` and `test`, and beside them what is known of the label.

    Args:
      rows_path: what `ingest` wrote.
      schema: of those rows.
      sides: uint8 [rows], from a split.
      transforms, spec: from `fit`.
      directory: where the stores go.
      reporter: for progress.
      cache: whether a store holds the pixels of images, or the images as they came, see `pipeline.data.encoded`.

    Returns:
      The statistics of each side by its name: all rows are read here anyway.

    Raises:
      DataError: an image cannot be decoded, or every weight of a side is 0.
      ConfigError: images are to be kept encoded that come from a transform of one's own.
    """
    weights = Weights.of(rows_path, schema.weight, sides) if schema.weight else None
    columns, known = _columns(spec, has_weights=weights is not None), transforms.to_json()["target"]
    if spec.image_shape and cache == "encoded":
        columns["image"] = _form_of_images(transforms, spec)
    writers = [
        StoreWriter(directory / name, int((sides == side).sum()), columns, spec, known)
        for side, name in enumerate(SIDES)
    ]
    described = {column.name: column.kind for column in (*schema.features, schema.label)}
    builders = [StatisticsBuilder(described) for _ in SIDES]
    rows = _rows_at_once(spec)

    def encoded(part: tuple[int, pa.RecordBatch]) -> list[tuple[pa.RecordBatch, dict[str, np.ndarray]]]:
        start, batch = part
        here = sides[start : start + batch.num_rows]
        found = {**transforms.encode(batch, decode_images=cache == "pixels"), LABEL: transforms.encode_label(batch)}
        if weights is not None:
            found[SAMPLE_WEIGHT] = weights(batch)
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
    if weights is not None:
        weights.check(directory)
    label_info(Store(directory / SIDES[TRAIN]), transforms, weights).write(directory)
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


def _edges(fitted: Any, sample: list[pa.Array], num_bins: int) -> list[tuple[float, ...]]:
    """Of each leading column."""
    column = pa.concat_arrays(sample)
    encoded = fitted(column)[np.asarray(column.is_valid())]
    return [bin_edges(encoded[:, lead], num_bins) for lead in range(fitted.lead)]


def _rows_at_once(spec: Spec) -> int:
    """So many that encoded rows take little memory: words of text may make a thousand numbers of each."""
    return _IMAGE_ROWS if spec.image_shape else max(_BYTES_AT_ONCE // (4 * max(spec.num_numeric, 1)), _IMAGE_ROWS)


def _form_of_images(transforms: Transforms, spec: Spec) -> list[Any]:
    images: list[tuple[int, Mode]] = []
    for name, fitted in transforms.features:
        if isinstance(fitted, FittedResizeImage):
            images.append((fitted.channels, fitted.mode))
        elif fitted.part == "image":
            raise ConfigError(
                f'"prepare.cache" is encoded, and "{name}" is transformed by {type(fitted).__name__}.',
                expected="images that ResizeImage decodes",
                fix='Set prepare.cache = "pixels".',
            )
    return encoded_form(spec.image_shape or (), images)


def _columns(spec: Spec, *, has_weights: bool) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    if spec.num_numeric:
        columns["numeric"] = ("float32", (spec.num_numeric,))
    if spec.vocabulary_sizes:
        columns["categorical"] = ("int32", (len(spec.vocabulary_sizes),))
    if spec.bags:
        columns["bags"] = ("int32", (sum(bag.slots for bag in spec.bags),))
    if spec.image_shape:
        columns["image"] = ("uint8", spec.image_shape)
    columns[LABEL] = ("float32" if spec.task == "regression" else "int32", ())
    if has_weights:
        columns[SAMPLE_WEIGHT] = ("float32", ())
    return columns
