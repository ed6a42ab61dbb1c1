"""The whole way from a source to batches, for Python users who bring their own Keras code."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data.divide import divide
from pipeline.data.infer import Wanted
from pipeline.data.ingest import ingest
from pipeline.data.kinds import Kind
from pipeline.data.preparation import Cache, learn_and_encode
from pipeline.data.quarantine import Budget
from pipeline.data.schema import Schema
from pipeline.data.sides import SIDES
from pipeline.data.sources.source import Source
from pipeline.data.split import Given, Stratified, Time
from pipeline.data.split.splitter import Splitter
from pipeline.data.statistics import Statistics
from pipeline.data.store import Store
from pipeline.data.transforms import Transforms
from pipeline.data.transforms.choose import choices_of, default_choices
from pipeline.progress import Reporter, silent
from pipeline.spec import Spec


@dataclass(frozen=True)
class Splits:
    """Prepared data.

    Attributes:
      train, validation, test: stores, for `make_train` and `make_eval`.
      spec: what a model must know, for `pipeline.models`.
      transforms: all that was learnt from train, for `pipeline.export`.
      schema: of the source's columns.
      statistics: by side.
      twins: the report on twins.
      directory: where all this lies, `quarantine.parquet` among it; a temporary one is removed with this object.
    """

    train: Store
    validation: Store
    test: Store
    spec: Spec
    transforms: Transforms
    schema: Schema
    statistics: Mapping[str, Statistics]
    twins: Mapping[str, Any]
    directory: Path
    _temporary: Any = field(default=None, repr=False, compare=False)


def prepare(
    source: Source,
    *,
    split: Splitter | None = None,
    seed: int = 0,
    directory: str | Path | None = None,
    drop: Collection[str] = (),
    kinds: Mapping[str, Kind] | None = None,
    weight: str | None = None,
    budget: Budget | None = None,
    task: str = "auto",
    transforms: Mapping[str, Any] | None = None,
    default_transforms: Mapping[Kind, Any] | None = None,
    image_size: tuple[int, int] | None = None,
    vocabulary_size: int = 10_000,
    min_count: int = 2,
    num_bins: int = 256,
    cache: Cache = "pixels",
    reporter: Reporter | None = None,
) -> Splits:
    """Reads, checks, splits, fits and encodes; the same functions as the stages `ingest`, `split` and `prepare`.

    Args:
      source: see `pipeline.data.sources`; arrays, Arrow tables and `tf.data.Dataset`s are sources, too.
      split: see `pipeline.data.split`; None: the published split if the source has one, else `Stratified()`.
      seed: of the split, unless that has its own.
      directory: where to keep the stores; None: a temporary one.
      drop: columns to leave out.
      kinds: column -> kind, where a person knows better than the inference.
      weight: the column of numbers that say how much each row counts; None: all the same.
      budget: how many bad rows may be set aside.
      task: auto, binary, multiclass or regression.
      transforms: column -> a transform, or for numbers a list of steps; see `pipeline.data.transforms`.
      default_transforms: kind -> the same, for the columns of that kind that are not named.
      image_size, vocabulary_size, min_count: of the transforms that nobody chose, see `default_choices`.
      num_bins: bins a numeric column at most, for a model's embeddings of numbers; each has 32 rows or more.
      cache: pixels: images are decoded once; encoded: at every read, see `pipeline.data.encoded`.
      reporter: for progress.

    Raises:
      DataError: the source cannot be read, too many rows are bad, or the split leaves a side empty.
      ConfigError: the task does not fit the label, or a transform its column; or there is no such column.

    Example:
      >>> from pipeline import data
      >>> splits = data.prepare(data.sources.ScikitLearn("iris"), split=data.split.Stratified(0.6, 0.2, 0.2))
      >>> len(splits.train), splits.spec.num_classes
      (90, 3)
    """
    temporary = None if directory is not None else tempfile.TemporaryDirectory(prefix="pipeline-")
    folder = Path(directory if directory is not None else temporary.name)  # type: ignore[union-attr]
    folder.mkdir(parents=True, exist_ok=True)
    reporter = reporter or silent()
    rows = folder / "rows.arrow"
    ingested = ingest(
        source, folder, replace(_wanted(source, split, drop, kinds or {}), weight=weight), budget=budget,
        image_size=image_size, keep_pixels=cache == "pixels", reporter=reporter,
    )  # fmt: skip
    schema = ingested.schema
    defaults = default_choices(vocabulary_size=vocabulary_size, min_count=min_count, image_size=image_size)
    choices = choices_of(schema, transforms, default_transforms, defaults)
    splitter = split or (Given() if schema.split else Stratified())
    divided = divide(rows, schema, splitter, held_out=np.empty(0, np.uint64), seed=seed, reporter=reporter)
    for line in divided.warnings:
        reporter.warn(line)
    spec, fitted, statistics = learn_and_encode(
        rows, schema, divided.sides, choices, folder, reporter, task=task, num_bins=num_bins, cache=cache
    )
    train, validation, test = (Store(folder / side) for side in SIDES)
    return Splits(train, validation, test, spec, fitted, schema, statistics, divided.report, folder, temporary)


def _wanted(source: Source, split: Splitter | None, drop: Collection[str], kinds: Mapping[str, Kind]) -> Wanted:
    needs = split.needs if split is not None else None
    is_given = isinstance(split, Given)
    others: dict[str, Kind | None] = {}
    if needs is not None and not is_given and not isinstance(split, Time):
        others = {needs: "categorical"}  # a group or a key would tell the model which examples belong together
    elif needs is not None and not is_given and needs in drop:
        others = {needs: None}
    return Wanted(
        label=source.label, split=needs if is_given else None, others=others, drop=drop, kinds={**source.kinds, **kinds}
    )
