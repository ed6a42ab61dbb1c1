"""A `tf.data.Dataset` that somebody else made. TensorFlow is there already, so it is not imported here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.data.kinds import Kind
from pipeline.data.sources.array_columns import columns_of
from pipeline.data.sources.arrow_table import add_content
from pipeline.data.sources.dataset_elements import Elements
from pipeline.data.sources.source import BATCH_ROWS, OnReject, Place
from pipeline.errors import DataError
from pipeline.hashing import FileHashes

_INFINITE = -1  # tf.data.INFINITE_CARDINALITY
_PART_BYTES = 16 << 20


@dataclass(frozen=True, eq=False)
class FromDataset:
    """Examples, or batches of them, as columns; for Python only. It is read as a stream, once for every pass.

    A scalar is a column, a vector of numbers is several (`x_0`, `x_1`, ...), a vector of strings is a list of tags;
    uint8 [height, width] or [height, width, channels] is an image, and images may differ in size.

    Args:
      dataset: finite, and in the same order every time. Its elements are dicts of tensors, or pairs of features (a
        dict, or one tensor, which is called `x`, or `image`) and a label.
      label: the column to predict; of pairs, the name to give it.
      batched: whether its elements are batches; None: if all tensors have the same first dimension, and it is not
        known (as after `batch`) or there are at least two.

    Example:
      >>> import tensorflow as tf
      >>> from pipeline.data.sources.source import refuse
      >>> pairs = tf.data.Dataset.from_tensor_slices(({"size": [1.0, 2.0]}, ["small", "large"]))
      >>> next(FromDataset(pairs.batch(2)).batches(refuse)).to_pylist()
      [{'size': 1.0, 'label': 'small'}, {'size': 2.0, 'label': 'large'}]
    """

    dataset: Any
    label: str | None = None
    batched: bool | None = None
    _digests: list[str] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        if not hasattr(self.dataset, "element_spec"):
            raise DataError(f"FromDataset was given a {type(self.dataset).__name__}.", expected="a tf.data.Dataset")
        if self.label is None and isinstance(self.dataset.element_spec, tuple):
            object.__setattr__(self, "label", "label")

    @property
    def kinds(self) -> dict[str, Kind]:
        """Images, and lists of strings."""
        found: dict[str, Kind] = {}
        for name, tensor in self._elements.tensors.items():
            if len(tensor.shape) > 1:
                found[name] = "image"
            elif tensor.shape and tensor.dtype.kind == "O":
                found[name] = "tags"
        return found

    def fingerprint(self, hashes: FileHashes) -> str:
        """The hash of names, types and values: takes a whole pass, unless one has been made."""
        if not self._digests:
            for _ in self.batches(lambda _: None):
                pass
        return f"dataset-{self._digests[0]}"

    def batches(self, on_reject: OnReject) -> Iterator[pa.RecordBatch]:
        """Record batches of some megabytes.

        Raises:
          DataError: the data set is infinite, has no examples, has tensors that make no column, fails while it is
            read, or (at the end of the second pass) gives other examples or another order every time.
        """
        digest, rows = hashlib.blake2b(digest_size=16), 0
        for part in self._parts():
            columns: dict[str, pa.Array] = {}
            for name, chunks in part.items():
                columns |= _columns(name, chunks)
            batch = pa.RecordBatch.from_pydict(columns)
            add_content(digest, batch)
            rows += batch.num_rows
            yield batch
        if rows == 0:
            raise DataError("The tf.data.Dataset has no examples.", expected="at least one")
        if self._digests and self._digests[0] != digest.hexdigest():
            raise DataError(
                "The tf.data.Dataset gave other examples, or another order, than the time before.",
                expected="the same examples in the same order every time: they are read more than once",
                fix="Remove shuffle (training shuffles by itself), or use reshuffle_each_iteration=False and a seed.",
            )
        self._digests[:] = [digest.hexdigest()]

    def places(self, rows: Sequence[int]) -> list[Place]:
        """`dataset:17`, the number of the example, from 1."""
        return [Place("dataset", row + 1) for row in rows]

    def _parts(self) -> Iterator[dict[str, list[np.ndarray]]]:
        """Arrays [rows, ...] by name, as many as make a record batch."""
        if int(self.dataset.cardinality()) == _INFINITE:
            raise DataError("The tf.data.Dataset is infinite.", expected="a finite one", fix="Remove repeat().")
        names, single = list(self._elements.tensors), not self._elements.is_batched
        part: dict[str, list[np.ndarray]] = {name: [] for name in names}
        rows = size = seen = 0
        elements = self.dataset.as_numpy_iterator()
        while (element := _next(elements, seen)) is not None:
            found = [_array(value) for value in self._elements.named(element).values()]
            values = [value[None] for value in found] if single else found
            if len({len(value) for value in values}) > 1:
                raise DataError(
                    f"Element {seen + 1} of the tf.data.Dataset has tensors of different lengths.",
                    expected="batches, as the element_spec looks like them",
                    fix="If its elements are single examples, say so: FromDataset(dataset, batched=False).",
                )
            for name, value in zip(names, values, strict=True):
                part[name].append(value)
                size += value.nbytes
            rows, seen = rows + len(values[0]), seen + 1
            if rows >= BATCH_ROWS or size >= _PART_BYTES:
                yield part
                part, rows, size = {name: [] for name in names}, 0, 0
        if rows:
            yield part

    @cached_property
    def _elements(self) -> Elements:
        return Elements(self.dataset.element_spec, self.label, self.batched)


def _next(elements: Iterator[Any], seen: int) -> Any:
    """The next element, or None; whatever goes wrong in somebody's functions is said with its place."""
    try:
        return next(elements, None)
    except Exception as error:
        first = str(error).strip().split("\n")[0][:300]
        raise DataError(f"The tf.data.Dataset fails after {seen} elements: {type(error).__name__}: {first}") from error


def _array(value: Any) -> np.ndarray:
    # NumPy's own type for bytes would take zeros at the end away.
    return np.asarray(value, object if isinstance(value, bytes) else None)


def _columns(name: str, chunks: Sequence[np.ndarray]) -> dict[str, pa.Array]:
    """The columns of one tensor from arrays [rows, ...]; only sizes of images and of lists may differ."""
    if chunks[0].dtype.kind == "O":
        values = [row.tolist() if isinstance(row, np.ndarray) else row for chunk in chunks for row in chunk]
        kind = pa.list_(pa.binary()) if chunks[0].ndim > 1 else pa.binary()
        try:
            return {name: pa.array(values, kind).cast(pa.list_(pa.string()) if chunks[0].ndim > 1 else pa.string())}
        except pa.ArrowException as error:
            raise DataError(f'"{name}" of the tf.data.Dataset holds bytes that are not UTF-8.',
                            expected="text in UTF-8", fix="Decode or drop it.") from error  # fmt: skip
    if len({chunk.shape[1:] for chunk in chunks}) == 1:
        return columns_of(name, np.concatenate(chunks), "dataset")
    return {name: pa.concat_arrays([columns_of(name, chunk, "dataset")[name] for chunk in chunks])}
