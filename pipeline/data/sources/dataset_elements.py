"""What the elements of a `tf.data.Dataset` are made of, by its `element_spec`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pipeline.data.sources.array_columns import check_array
from pipeline.data.sources.arrays import check_names
from pipeline.errors import DataError


@dataclass(frozen=True)
class Tensor:
    """What is known of one tensor of an example: NumPy's type, and the shape without the batch; None: it varies."""

    dtype: np.dtype
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class Elements:
    """Elements as tensors with names.

    Args:
      spec: the `element_spec`.
      label: the name for the second part of a pair.
      batched: whether elements are batches; None: see `pipeline.data.sources.FromDataset`.
    """

    spec: Any
    label: str | None
    batched: bool | None

    def named(self, element: Any) -> dict[str, Any]:
        """The tensors of an element, or their specs, by the names of their columns."""
        features, labels = element, None
        if isinstance(element, tuple):
            if len(element) != 2:
                raise DataError(
                    f"The tf.data.Dataset has elements of {len(element)} parts.",
                    expected="a dict, or a pair of features and label",
                    fix="dataset.map(lambda x, y, weight: ({**x, 'weight': weight}, y))",
                )
            features, labels = element
        found = dict(_named(features, "", self._only))
        if labels is not None:
            if isinstance(labels, Mapping | tuple) or self.label in found:
                raise DataError(f'The labels cannot be the column "{self.label}".', expected="one tensor of a new name")
            found[str(self.label)] = labels
        return found

    @cached_property
    def _specs(self) -> dict[str, Any]:
        specs = self.named(self.spec)
        for name, spec in specs.items():
            if type(spec).__name__ != "TensorSpec" or spec.shape.rank is None:
                raise DataError(
                    f'"{name}" of the tf.data.Dataset is {spec}.',
                    expected="a dense tensor of known rank",
                    fix="dataset.map(lambda row: row | {name: row[name].to_tensor()}), or leave it out.",
                )
            if self.is_batched and spec.shape.rank == 0:
                raise DataError(
                    f'"{name}" of the tf.data.Dataset is a scalar.', expected="batches, as batched=True says"
                )
        return specs

    @cached_property
    def is_batched(self) -> bool:
        """Whether elements are batches."""
        if self.batched is not None:
            return self.batched
        specs = list(_leaves(self.spec))
        shapes = [spec.shape.as_list() if spec.shape.rank is not None else [] for spec in specs]
        firsts = {shape[0] if shape else () for shape in shapes}
        return len(firsts) == 1 and () not in firsts and (None in firsts or len(shapes) > 1)

    @cached_property
    def _only(self) -> str:
        """What features are called that are one tensor."""
        rank = next(_leaves(self.spec)).shape.rank or 0
        return "image" if rank - self.is_batched > 1 else "x"

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """What every column, or group of columns, is made of.

        Raises:
          DataError: a tensor that makes no column, or elements that are neither a dict nor a pair.
        """
        found = {
            name: Tensor(np.dtype(spec.dtype.as_numpy_dtype), tuple(spec.shape.as_list()[self.is_batched :]))
            for name, spec in self._specs.items()
        }
        for name, tensor in found.items():
            _check(name, tensor, is_label=isinstance(self.spec, tuple) and name == self.label)
        check_names({name: (0, *(size or 0 for size in tensor.shape)) for name, tensor in found.items()
                     if tensor.dtype.kind != "O"})  # fmt: skip
        return found


def _named(features: Any, prefix: str, only: str) -> Iterator[tuple[str, Any]]:
    """The tensors in nested dicts, with dots; `only` is the name of one that is in no dict."""
    if isinstance(features, Mapping):
        for name, value in features.items():
            yield from _named(value, f"{prefix}.{name}" if prefix else str(name), only)
    elif isinstance(features, tuple):
        raise DataError(f'"{prefix or "x"}" of the tf.data.Dataset is a tuple.', expected="a dict or a tensor")
    else:
        yield prefix or only, features


def _leaves(element: Any) -> Iterator[Any]:
    if isinstance(element, Mapping | tuple):
        for value in element.values() if isinstance(element, Mapping) else element:
            yield from _leaves(value)
    else:
        yield element


def _check(name: str, tensor: Tensor, is_label: bool) -> None:
    where = f'"{name}" of the tf.data.Dataset'
    if is_label and tensor.shape not in ((), (1,)):
        raise DataError(
            f"{where} is the label, and has the shape {tensor.shape} in each example.",
            expected="a scalar",
            fix="Where it is one-hot: dataset.map(lambda x, y: (x, tf.argmax(y, axis=-1))).",
        )
    if tensor.dtype.kind == "O":
        if len(tensor.shape) > 1:
            raise DataError(f"{where} holds strings of shape {tensor.shape}.", expected="a string, or a vector of them")
        return
    if len(tensor.shape) == 1 and tensor.shape[0] is None:
        raise DataError(f"{where} is a vector of any length.", expected="a known number of elements",
                        fix="Fix its shape, e.g. with tf.ensure_shape, or leave it out.")  # fmt: skip
    # A size that varies is checked where the values come; 3 stands for it, which is also a number of channels.
    shape = [3 if size is None else size for size in tensor.shape]
    # An axis for the rows; and one for the channels of a grey image, which may lack it.
    check_array(where, tensor.dtype, (1, *shape, 1) if len(shape) == 2 else (1, *shape))
