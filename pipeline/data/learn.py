"""One pass over the train rows: what transforms are fitted from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.data.kinds import Kind
from pipeline.data.rows import IMAGE_ABOUT, labels_of, stored_batches
from pipeline.data.schema import Schema
from pipeline.data.sides import TRAIN
from pipeline.data.sources.ordered import ordered_map
from pipeline.data.statistics import Moments, count_values
from pipeline.data.transforms.date_time_parts import days_of, minutes_of
from pipeline.data.transforms.hashed_text import count_words
from pipeline.data.transforms.tags import split_tags
from pipeline.progress import Reporter, silent

# Quantile edges are taken from at most so many train rows, evenly spread: their error is then far below a bin.
QUANTILE_ROWS = 100_000
# Different values of a column that are counted exactly; beyond, those seen once are forgotten from time to time.
_COUNTED = 1_000_000


@dataclass
class Learnt:
    """What the train rows gave.

    Attributes:
      moments: of numbers, and of days since 1970 of times.
      minutes: of minutes since midnight of times.
      counts: of categories and of tags.
      lengths: of tags a row and of words a text.
      samples: evenly spread values of numbers and times.
      image_sizes: (height, width, channels) that occur.
      labels: of all train rows.
    """

    moments: dict[str, Moments] = field(default_factory=dict)
    minutes: dict[str, Moments] = field(default_factory=dict)
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    lengths: dict[str, Counter[int]] = field(default_factory=dict)
    samples: dict[str, list[pa.Array]] = field(default_factory=dict)
    image_sizes: set[tuple[int, ...]] = field(default_factory=set)
    labels: list[np.ndarray] = field(default_factory=list)


def learn(rows_path: Path, schema: Schema, sides: np.ndarray, reporter: Reporter | None = None) -> Learnt:
    """Reads the train rows once.

    Args:
      rows_path: what `ingest` wrote.
      schema: of those rows.
      sides: uint8 [rows], from a split.
      reporter: for progress.
    """
    learnt, num_train = Learnt(), int((sides == TRAIN).sum())
    learner = _Learner(learnt, schema, max(1, num_train // QUANTILE_ROWS))

    def train_rows(part: tuple[int, pa.RecordBatch]) -> pa.RecordBatch:
        start, batch = part
        return side_of(batch, sides[start : start + batch.num_rows], TRAIN)

    with (reporter or silent()).bar("train rows learnt from", num_train) as advance:
        for batch in ordered_map(train_rows, numbered(stored_batches(rows_path))):
            if batch.num_rows:
                learner.add(batch)
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
class _Learner:
    """Adds train rows to what is learnt."""

    learnt: Learnt
    schema: Schema
    stride: int
    seen: int = 0

    def add(self, batch: pa.RecordBatch) -> None:
        sampled = pa.array(np.arange(-self.seen % self.stride, batch.num_rows, self.stride))
        self.seen += batch.num_rows
        for feature in self.schema.features:
            column = batch.column(feature.name) if feature.kind != "image" else None
            _LEARN[feature.kind](self.learnt, feature.name, batch)
            if feature.kind in ("numeric", "datetime") and column is not None:
                self.learnt.samples.setdefault(feature.name, []).append(column.take(sampled))
        self.learnt.labels.append(labels_of(batch.column(self.schema.label.name)))


def _learn_numeric(learnt: Learnt, name: str, batch: pa.RecordBatch) -> None:
    _merge(learnt.moments, name, Moments.of(labels_of(batch.column(name))))


def _learn_categorical(learnt: Learnt, name: str, batch: pa.RecordBatch) -> None:
    column = batch.column(name)
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    codes = np.asarray(column.indices.drop_null())
    counts = np.bincount(codes, minlength=len(column.dictionary)).tolist()
    found = {text: count for text, count in zip(column.dictionary.to_pylist(), counts, strict=True) if count}
    _count(learnt, name, Counter(found))


def _learn_datetime(learnt: Learnt, name: str, batch: pa.RecordBatch) -> None:
    _merge(learnt.moments, name, Moments.of(days_of(batch.column(name))))
    _merge(learnt.minutes, name, Moments.of(minutes_of(batch.column(name))))


def _learn_tags(learnt: Learnt, name: str, batch: pa.RecordBatch) -> None:
    tags = split_tags(batch.column(name))
    _count(learnt, name, count_values(tags.flatten()))
    learnt.lengths.setdefault(name, Counter()).update(tags.value_lengths().to_pylist())


def _learn_text(learnt: Learnt, name: str, batch: pa.RecordBatch) -> None:
    learnt.lengths.setdefault(name, Counter()).update(count_words(batch.column(name)))


def _learn_image(learnt: Learnt, name: str, batch: pa.RecordBatch) -> None:
    there = batch.filter(pc.is_valid(batch.column(f"{name}.{IMAGE_ABOUT[0]}")))
    about = [there.column(f"{name}.{part}").to_numpy() for part in IMAGE_ABOUT]
    learnt.image_sizes |= set(map(tuple, np.stack(about, axis=1).tolist()))


_LEARN: dict[Kind, Callable[[Learnt, str, pa.RecordBatch], None]] = {
    "numeric": _learn_numeric,
    "categorical": _learn_categorical,
    "datetime": _learn_datetime,
    "tags": _learn_tags,
    "text": _learn_text,
    "image": _learn_image,
}


def _merge(moments: dict[str, Moments], name: str, found: Moments) -> None:
    moments[name] = moments.get(name, Moments()).merge(found)


def _count(learnt: Learnt, name: str, found: Counter[str]) -> None:
    counts = learnt.counts.setdefault(name, Counter())
    counts.update(found)
    if len(counts) > _COUNTED:  # an identifier: what is seen once is in no vocabulary anyway
        learnt.counts[name] = Counter({value: count for value, count in counts.items() if count > 1})
