"""One pass over the train rows: every column to the learner of its transform."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.data.rows import image_column, labels_of, stored_batches
from pipeline.data.schema import Feature, Schema
from pipeline.data.sides import TRAIN
from pipeline.data.sources.ordered import ordered_map
from pipeline.data.transforms.transform import Learner, SampleLearner, Transform
from pipeline.progress import Reporter, silent

# Quantiles are taken from at most so many train rows (and fewer than twice as many), evenly spread: their error is then
# far below a bin.
QUANTILE_ROWS = 100_000
_SAMPLED = ("numeric", "datetime")


@dataclass
class Learnt:
    """What the train rows gave.

    Attributes:
      choices: column -> its configured transform.
      learners: column -> the learner of that transform, which saw the train rows.
      samples: evenly spread values of numbers and times.
      labels: of all train rows.
    """

    choices: Mapping[str, Transform]
    learners: dict[str, Learner]
    samples: dict[str, list[pa.Array]] = field(default_factory=dict)
    labels: list[np.ndarray] = field(default_factory=list)


def learn(
    rows_path: Path,
    schema: Schema,
    sides: np.ndarray,
    choices: Mapping[str, Transform],
    reporter: Reporter | None = None,
) -> Learnt:
    """Reads the train rows once.

    Args:
      rows_path: what `ingest` wrote.
      schema: of those rows.
      sides: uint8 [rows], from a split.
      choices: a transform for every feature, see `pipeline.data.transforms.choose`.
      reporter: for progress.
    """
    num_train = int((sides == TRAIN).sum())
    learnt = Learnt(choices, {feature.name: choices[feature.name].learner() for feature in schema.features})
    pass_over = _Pass(learnt, schema, max(1, num_train // QUANTILE_ROWS))

    def train_rows(part: tuple[int, pa.RecordBatch]) -> pa.RecordBatch:
        start, batch = part
        return side_of(batch, sides[start : start + batch.num_rows], TRAIN)

    with (reporter or silent()).bar("train rows learnt from", num_train) as advance:
        for batch in ordered_map(train_rows, numbered(stored_batches(rows_path))):
            if batch.num_rows:
                pass_over.add(batch)
            advance(batch.num_rows)
    return learnt


def numbered(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Each batch with the number of its first row."""
    start = 0
    for batch in batches:
        yield start, batch
        start += batch.num_rows


def side_of(batch: pa.RecordBatch, sides: np.ndarray, side: int) -> pa.RecordBatch:
    """The rows of one side; `sides` are those of the batch."""
    chosen = np.flatnonzero(sides == side)
    return batch if len(chosen) == batch.num_rows else batch.take(pa.array(chosen))


@dataclass
class _Pass:
    """Hands train rows to those who learn from them."""

    learnt: Learnt
    schema: Schema
    stride: int
    seen: int = 0

    def add(self, batch: pa.RecordBatch) -> None:
        sampled = pa.array(np.arange(-self.seen % self.stride, batch.num_rows, self.stride))
        self.seen += batch.num_rows
        for feature in self.schema.features:
            self._add_column(feature, batch, sampled)
        self.learnt.labels.append(labels_of(batch.column(self.schema.label.name)))

    def _add_column(self, feature: Feature, batch: pa.RecordBatch, sampled: pa.Array) -> None:
        name, learner = feature.name, self.learnt.learners[feature.name]
        column = image_column(batch, name) if feature.kind == "image" else batch.column(name)
        learner.add(column)
        if feature.kind in _SAMPLED or isinstance(learner, SampleLearner):
            sample = column.take(sampled)
            if feature.kind in _SAMPLED:
                self.learnt.samples.setdefault(name, []).append(sample)
            if isinstance(learner, SampleLearner):
                learner.add_sample(sample)
