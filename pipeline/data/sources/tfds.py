"""Data sets that TensorFlow Datasets has prepared, by name or by folder; read without TensorFlow."""

from __future__ import annotations

import bisect
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.data.kinds import Kind
from pipeline.data.sides import SIDE_OF_NAME, TRAIN
from pipeline.data.sources.files import fingerprint_of
from pipeline.data.sources.source import BATCH_ROWS, OnReject, Place, check_file
from pipeline.data.sources.tfds_features import Column, columns_of, kept
from pipeline.data.sources.tfds_prepared import prepared
from pipeline.data.sources.tfds_records import Part, read_records
from pipeline.errors import DataError
from pipeline.hashing import FileHashes

SPLIT = "split"
# A batch ends here, so that images do not fill the memory.
_BATCH_BYTES = 64 << 20


@dataclass(frozen=True, init=False)
class Tfds:
    """A data set of TFDS as flat columns; see `pipeline.data.sources.tfds_features` for which.

    Nothing touches the network unless `download` is true. Files may be TFRecord, ArrayRecord or Parquet. Of several
    splits the rows have a `split`, if they are train, validation or test; other splits are read if they are named.

    Args:
      dataset: `mnist`, `glue/cola`, `mnist:3.0.1`, the folder of a prepared data set, or a builder of our own (see
        `pipeline.data.tfds_builders`), which is generated below `data_dir` the first time.
      data_dir: where TFDS keeps prepared data: `data_dir/name/version/`.
      split: as TFDS spells it: `train`, `train[:10%]`, `train+test`; None: train, validation and test.
      label: the column to predict; None: what the data set declares as `supervised_keys`.
      leave_out: features, or dicts of features, that are not read.
      download: whether TFDS may download and prepare what is not there.

    Example:
      >>> import tempfile
      >>> from pipeline.data.sources.source import refuse
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     source = Tfds("optical_digits", data_dir=folder)
      ...     next(source.batches(refuse)).schema.names, source.label
      (['image', 'label', 'split'], 'label')
    """

    dataset: str
    data_dir: str
    split: str | None
    given_label: str | None
    leave_out: tuple[str, ...]
    download: bool

    # Written out, because `label` is an argument as in every source, and what it is without one stands in the data.
    def __init__(
        self,
        dataset: str,
        data_dir: str = "data",
        split: str | None = None,
        label: str | None = None,
        leave_out: Sequence[str] = (),
        download: bool = False,
    ) -> None:
        values = (dataset, data_dir, split, label, tuple(leave_out), download)
        for name, value in zip(self.__dataclass_fields__, values, strict=True):
            object.__setattr__(self, name, value)

    @property
    def label(self) -> str | None:
        """The column to predict."""
        if self.given_label is not None:
            return self.given_label
        keys = self._builder.info.supervised_keys
        names = [column.name for column in self._columns]
        return keys[1] if keys and len(keys) > 1 and isinstance(keys[1], str) and keys[1] in names else None

    @property
    def kinds(self) -> dict[str, Kind]:
        """What the features tell; of the label only if it is a class label, else its values tell more."""
        label = self.label
        told = {column.name: column.kind for column in self._columns if column.kind is not None}
        return {name: kind for name, kind in told.items() if name != label or kind == "categorical"}

    def fingerprint(self, hashes: FileHashes) -> str:
        """The hash of the prepared files, of the description of their features, and of what is read of them."""
        files = [self._folder / "dataset_info.json", self._folder / "features.json"]
        files += sorted(self._folder.glob("*.labels.txt"))
        files += dict.fromkeys(part.file for part in self._parts)
        read = repr((self.split, self.leave_out, [(part.first, part.count) for part in self._parts]))
        return f"tfds-{hashlib.blake2b(read.encode(), digest_size=8).hexdigest()}-{fingerprint_of(files, hashes)}"

    def batches(self, on_reject: OnReject) -> Iterator[pa.RecordBatch]:
        """Record batches, of at most 65,536 rows and some 64 MB. Nothing is rejected: TFDS wrote these files.

        Raises:
          DataError: not prepared, features that cannot be columns, a damaged or missing file.
        """
        names = [part.split for part in self._parts]
        with_split = _is_published_split(names)
        if with_split and SPLIT in {column.name for column in self._columns}:
            raise DataError(
                f'{self.dataset} has a feature "{SPLIT}", and splits besides.',
                fix=f'source.leave_out = ["{SPLIT}"], or choose one: source.split = "{names[0]}".',
            )
        rows: list[list[Any]] = []
        sides: list[str] = []
        size = 0
        for part in self._parts:
            for row, num_bytes in self._rows(part):
                rows.append(row)
                sides.append(part.split)
                size += num_bytes
                if len(rows) == BATCH_ROWS or size >= _BATCH_BYTES:
                    yield self._batch(rows, sides if with_split else None)
                    rows, sides, size = [], [], 0
        if rows:
            yield self._batch(rows, sides if with_split else None)

    def places(self, rows: Sequence[int]) -> list[Place]:
        """The file, and the number of the record in it, from 1."""
        starts = list(itertools.accumulate((part.count for part in self._parts), initial=0))
        found = []
        for row in rows:
            number = bisect.bisect_right(starts, row) - 1
            part = self._parts[number]
            found.append(Place(str(part.file), part.first + row - starts[number] + 1))
        return found

    @cached_property
    def _folder(self) -> Path:
        return prepared(self.dataset, self.data_dir, download=self.download)

    @cached_property
    def _builder(self) -> Any:
        import tensorflow_datasets as tfds

        try:
            return tfds.builder_from_directory(self._folder)
        except Exception as error:  # JSON that is cut short, a feature's class that this TFDS does not know, ...
            raise DataError(
                f"{self._folder} cannot be read as a prepared TFDS data set: {error}",
                expected="dataset_info.json and features.json as TFDS writes them",
                fix="Prepare the data set again.",
            ) from error

    @cached_property
    def _columns(self) -> list[Column]:
        return columns_of(self._builder.info.features, self.leave_out, self.dataset)

    @cached_property
    def _parts(self) -> list[Part]:
        """The records to read, in order."""
        splits = self._builder.info.splits
        of_file = {name: split for split in splits for name in splits[split].filenames}
        known = [name for name in splits if name in SIDE_OF_NAME]
        wanted = [self.split] if self.split else known if _trains(known) else list(splits)
        try:
            found = [instruction for name in wanted for instruction in splits[name].file_instructions]
        except (KeyError, ValueError, AssertionError) as error:
            raise DataError(
                f'{self.dataset} has no split "{self.split}".',
                expected=f"{', '.join(splits)}, or a part of one as {next(iter(splits))}[:10%]",
            ) from error
        if not found:
            raise DataError(f"{self._folder} has no rows.", expected="at least one row")
        for one in found:
            check_file(Path(one.filename), "TFDS")
        return [
            Part(Path(one.filename), one.skip, one.take, one.examples_in_shard, of_file[Path(one.filename).name])
            for one in found
        ]

    def _rows(self, part: Part) -> Iterator[tuple[list[Any], int]]:
        """The values of every column, and the size of the record."""
        features, decoders = kept(self._builder.info.features, self.leave_out)
        for number, record in enumerate(read_records(part, self._builder.info.file_format.value), start=part.first + 1):
            column = None
            try:
                example = features.deserialize_example_np(record, decoders=decoders)
                row = []
                for column in self._columns:
                    row.append(column.value(example))
            except Exception as error:  # bytes that are no example, one without a feature, text that is not UTF-8, ...
                where = f"{part.file}:{number}{f', feature {column.feature!r}' if column else ''}"
                raise DataError(
                    f"{where} cannot be decoded: {error}",
                    expected="an example as features.json describes it",
                    fix="Prepare the data set again, or leave the feature out with source.leave_out.",
                ) from error
            yield row, len(record)

    def _batch(self, rows: Sequence[Sequence[Any]], sides: Sequence[str] | None) -> pa.RecordBatch:
        columns = {
            column.name: pa.array(values, column.type)
            for column, values in zip(self._columns, zip(*rows, strict=True), strict=True)
        }
        if sides is not None:
            columns[SPLIT] = pa.array(sides)
        return pa.RecordBatch.from_pydict(columns)


def _trains(splits: Sequence[str]) -> bool:
    return TRAIN in {SIDE_OF_NAME.get(name) for name in splits}


def _is_published_split(splits: Sequence[str]) -> bool:
    return _trains(splits) and len(set(splits)) > 1 and set(splits) <= set(SIDE_OF_NAME)
