"""One builder a kind of column: Arrow batches in, `FeatureStatistics` out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.data.kinds import Kind
from pipeline.data.rows import IMAGE_ABOUT
from pipeline.data.statistics.distinct import DistinctBuilder
from pipeline.data.statistics.feature import FeatureStatistics
from pipeline.data.statistics.hashing import hash_numbers, hash_strings
from pipeline.data.statistics.heavy_hitters import HeavyHittersBuilder, value_counts
from pipeline.data.statistics.numbers import NumbersBuilder

# A dictionary with more entries than a batch has rows costs more to count by than the batch itself.
_ALL_TEXTS, _TEXT_STRIDE = 65_536, 11
_MAX_DICTIONARY = 65_536
_MICROSECONDS = 1e6


@dataclass
class ColumnBuilder:
    """Takes the column `name` of batches; a subclass says what is kept of it."""

    name: str
    kind: Kind
    num_rows: int = 0
    num_missing: int = 0
    numbers: dict[str, NumbersBuilder] = field(default_factory=dict)
    distinct: DistinctBuilder | None = None
    top: HeavyHittersBuilder | None = None

    def add(self, batch: pa.RecordBatch) -> None:
        """Takes a batch."""
        column = batch.column(self.name)
        if pa.types.is_dictionary(column.type) and column.dictionary.null_count:
            column = column.cast(column.type.value_type)  # its entries that are null are not counted as such
        self.num_rows += len(column)
        self.num_missing += column.null_count
        self._take(column, batch)

    def _take(self, column: pa.Array, batch: pa.RecordBatch) -> None:
        """Of the column's values, missing ones included."""
        raise NotImplementedError

    def build(self) -> FeatureStatistics:
        """What was taken so far."""
        return FeatureStatistics(
            self.kind,
            self.num_rows,
            self.num_missing,
            {name: builder.build() for name, builder in self.numbers.items()},
            self.distinct.build() if self.distinct else None,
            self.top.build() if self.top else None,
        )

    def add_numbers(self, name: str, values: np.ndarray, num_missing: int = 0) -> None:
        """Finite float64 [n] for the numbers called `name`."""
        if name not in self.numbers:
            self.numbers[name] = NumbersBuilder()
        self.numbers[name].add(values, num_missing)


@dataclass
class NumericColumn(ColumnBuilder):
    """Numbers; those that are not finite count as missing."""

    distinct: DistinctBuilder = field(default_factory=DistinctBuilder)

    def _take(self, column: pa.Array, batch: pa.RecordBatch) -> None:
        values = floats(column.drop_null())
        finite = np.isfinite(values)
        if not finite.all():
            values = values[finite]
            self.num_missing += len(finite) - len(values)
        self.add_numbers("value", values, len(column) - len(values))
        add_distinct(self.distinct, values)


@dataclass
class DatetimeColumn(ColumnBuilder):
    """Moments in time, as seconds since 1970."""

    distinct: DistinctBuilder = field(default_factory=DistinctBuilder)

    def _take(self, column: pa.Array, batch: pa.RecordBatch) -> None:
        stamps = column.drop_null().cast(pa.timestamp("us"), safe=False).cast(pa.int64())
        seconds = stamps.to_numpy(zero_copy_only=False) / _MICROSECONDS
        self.add_numbers("seconds", seconds, column.null_count)
        add_distinct(self.distinct, seconds)


@dataclass
class CategoricalColumn(ColumnBuilder):
    """Categories. Where batches share a dictionary, its entries are only counted until it changes."""

    distinct: DistinctBuilder = field(default_factory=DistinctBuilder)
    top: HeavyHittersBuilder = field(default_factory=HeavyHittersBuilder)
    dictionary: pa.Array | None = None
    counts: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def _take(self, column: pa.Array, batch: pa.RecordBatch) -> None:
        if pa.types.is_dictionary(column.type) and len(column.dictionary) <= _MAX_DICTIONARY:
            self._take_indices(column)
        else:
            self._count(*value_counts(column.cast(pa.large_string())))

    def build(self) -> FeatureStatistics:
        """What was taken so far."""
        self._flush()
        return ColumnBuilder.build(self)

    def _take_indices(self, column: pa.Array) -> None:
        if self.dictionary is None or not self.dictionary.equals(column.dictionary):
            self._flush()
            self.dictionary, self.counts = column.dictionary, np.zeros(len(column.dictionary), np.int64)
        indices = column.indices.drop_null().to_numpy(zero_copy_only=False)
        self.counts += np.bincount(indices, minlength=len(self.counts))

    def _flush(self) -> None:
        if self.dictionary is None:
            return
        used = np.flatnonzero(self.counts)
        self._count(self.dictionary.take(pa.array(used)).cast(pa.large_string()), self.counts[used])
        self.counts = np.zeros(len(self.counts), np.int64)

    def _count(self, values: pa.Array, counts: np.ndarray) -> None:
        self.distinct.add(hash_strings(values))
        self.top.add(values, counts)


@dataclass
class TagsColumn(ColumnBuilder):
    """Lists of tags: how many a row, and which."""

    distinct: DistinctBuilder = field(default_factory=DistinctBuilder)
    top: HeavyHittersBuilder = field(default_factory=HeavyHittersBuilder)

    def _take(self, column: pa.Array, batch: pa.RecordBatch) -> None:
        present = column.drop_null()
        self.add_numbers("tags", floats(pc.list_value_length(present)), column.null_count)
        values, counts = value_counts(pc.list_flatten(present).cast(pa.large_string()))
        self.distinct.add(hash_strings(values))
        self.top.add(values, counts)


@dataclass
class TextColumn(ColumnBuilder):
    """Texts: their lengths, and the words of a sample; words are what white space parts."""

    distinct: DistinctBuilder = field(default_factory=DistinctBuilder)
    top: HeavyHittersBuilder = field(default_factory=HeavyHittersBuilder)

    def _take(self, column: pa.Array, batch: pa.RecordBatch) -> None:
        present = column.drop_null().cast(pa.large_string())
        self.add_numbers("characters", floats(pc.utf8_length(present)), column.null_count)
        self.add_numbers("words", floats(pc.count_substring_regex(present, r"\S+")), column.null_count)
        self.distinct.add(hash_strings(present))
        # The first 65,536, then every 11th, a prime, so that rows with a period are met in every phase.
        sample = present.take(pa.array(sampled_rows(self.numbers["words"].digest.seen - len(present), len(present))))
        words = pc.list_flatten(pc.ascii_split_whitespace(pc.utf8_lower(sample)))
        self.top.add_column(words.filter(pc.not_equal(words, "")))


@dataclass
class ImageColumn(ColumnBuilder):
    """Images: their sizes, where `ingest` has put them beside the column."""

    def _take(self, column: pa.Array, batch: pa.RecordBatch) -> None:
        for size in IMAGE_ABOUT:
            if f"{self.name}.{size}" in batch.schema.names:
                sizes = batch.column(f"{self.name}.{size}").filter(column.is_valid()).drop_null()
                self.add_numbers(size, floats(sizes), len(column) - len(sizes))


BUILDERS: dict[Kind, Callable[[str, Kind], ColumnBuilder]] = {
    "numeric": NumericColumn,
    "categorical": CategoricalColumn,
    "tags": TagsColumn,
    "text": TextColumn,
    "datetime": DatetimeColumn,
    "image": ImageColumn,
}


def floats(column: pa.Array) -> np.ndarray:
    """float64 [n] of an Arrow column of n numbers or booleans without nulls."""
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    return column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def add_distinct(distinct: DistinctBuilder, values: np.ndarray) -> None:
    """Takes numbers; while a column may still have few different ones, sorting saves updates of the sketch."""
    distinct.add(hash_numbers(np.unique(values) if distinct.wants_all else values))


def sampled_rows(seen: int, num_rows: int) -> np.ndarray:
    """int64: which of the next rows belong to the sample, after `seen` of them."""
    rows = np.arange(num_rows)
    position = rows + seen - _ALL_TEXTS
    return rows[(position < 0) | (position % _TEXT_STRIDE == 0)]
