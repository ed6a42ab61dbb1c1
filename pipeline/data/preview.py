"""A train batch looked at on its way: raw values, encoded ones, and what each step makes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipeline.data.in_short import described, encoded_text, label_text, raw_text
from pipeline.data.kinds import Kind
from pipeline.data.layout import places_of
from pipeline.data.transforms import Transforms

if TYPE_CHECKING:
    from pipeline.data.feed import Feed


@dataclass(frozen=True)
class Column:
    """A feature from raw to encoded.

    Attributes:
      name, kind: of the feature.
      part: of the batch to which its columns go.
      transform: with what it learnt, in short.
      raw, encoded: of the shown rows.
    """

    name: str
    kind: str
    part: str
    transform: str
    raw: tuple[str, ...]
    encoded: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """A tensor of a batch in numbers.

    Attributes:
      name: numeric, categorical, bags, image, label or sample_weight.
      shape: [rows, ...].
      dtype: of the tensor.
      minimum, maximum, mean: of all its values; NaN where it has none.
      zeros: share of the values that are 0.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    minimum: float
    maximum: float
    mean: float
    zeros: float

    @staticmethod
    def of(name: str, values: np.ndarray) -> Part:
        """Measured.

        >>> Part.of("label", np.array([0, 2], np.int32))
        Part(name='label', shape=(2,), dtype='int32', minimum=0.0, maximum=2.0, mean=1.0, zeros=0.5)
        """
        found = [values.min(), values.max(), values.mean(dtype=np.float64), (values == 0).mean()] if values.size else []
        minimum, maximum, mean, zeros = map(float, found or [np.nan] * 4)
        return Part(name, values.shape, values.dtype.name, minimum, maximum, mean, zeros)


@dataclass(frozen=True)
class Step:
    """What a batch is after a step: "gather", or an augmentation with its arguments."""

    name: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Preview:
    """The first batch of an epoch.

    Attributes:
      epoch: counted from 0.
      rows: of the train store, those that are shown.
      num_train: rows of the train store.
      columns: every feature, of the shown rows.
      steps: what the whole batch is after each.
      labels: of the shown rows, at the end.
      sample_weights: the same; None where rows have no weights.
    """

    epoch: int
    rows: tuple[int, ...]
    num_train: int
    columns: tuple[Column, ...]
    steps: tuple[Step, ...]
    labels: tuple[str, ...]
    sample_weights: tuple[float, ...] | None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def preview(
    feed: Feed,
    transforms: Transforms,
    kinds: Mapping[str, Kind],
    raw_rows: Callable[[np.ndarray], pa.Table],
    *,
    epoch: int = 0,
    shown: int = 3,
    row: int | None = None,
) -> Preview:
    """Walks the first batch of an epoch through every step.

    Args:
      feed: of the train rows.
      transforms: that encoded its store.
      kinds: of the features.
      raw_rows: rows of the store (int64, increasing) -> the same rows as they were stored raw.
      epoch: counted from 0.
      shown: so many rows of the batch are shown with their values.
      row: of the store, which is shown instead.
    """
    examples = feed.order.examples(epoch, 0, min(feed.batch_size, feed.num_rows))
    wanted = examples[:shown] if row is None else np.array([row])
    _, label, *weights = batches_of(feed, wanted, epoch)[-1][1]
    return Preview(
        epoch,
        tuple((wanted % feed.num_rows).tolist()),
        feed.num_rows,
        columns_of(feed, transforms, kinds, raw_rows, wanted % feed.num_rows),
        tuple(Step(name, _parts(batch)) for name, batch in batches_of(feed, examples, epoch)),
        tuple(label_text(transforms, value) for value in label),
        tuple(weights[0].tolist()) if weights else None,
    )


def batches_of(feed: Feed, examples: np.ndarray, epoch: int) -> list[tuple[str, tuple[Any, ...]]]:
    """The batch of these examples after gathering, and after each augmentation: (step, NumPy arrays).

    Args:
      feed: of the train rows.
      examples: int64 [n], rows, or what `feed.order` gives.
      epoch: counted from 0.
    """
    found = []
    for count in range(len(feed.augment) + 1):
        batch = replace(feed, augment=feed.augment[:count]).examples(examples, epoch)
        features = {name: tensor.numpy() for name, tensor in batch[0].items()}
        name = described(feed.augment[count - 1]) if count else "gather"
        found.append((name, (features, *(tensor.numpy() for tensor in batch[1:]))))
    return found


def columns_of(
    feed: Feed,
    transforms: Transforms,
    kinds: Mapping[str, Kind],
    raw_rows: Callable[[np.ndarray], pa.Table],
    rows: np.ndarray,
) -> tuple[Column, ...]:
    """Every feature of some rows of the store, raw and as it is stored there."""
    increasing, lines = np.unique(rows, return_inverse=True)
    table, encoded = raw_rows(increasing).take(pa.array(lines)), batches_of(replace(feed, augment=()), rows, 0)[0][1][0]
    found = []
    for name, places in places_of(transforms).items():
        fitted: Any = dict(transforms.features)[name]
        raw = tuple(raw_text(value) for value in table.column(name).to_pylist())
        stored = tuple(encoded_text(fitted.part, value) for value in encoded[fitted.part][..., places])
        found.append(Column(name, kinds[name], fitted.part, described(fitted), raw, stored))
    return tuple(found)


def _parts(batch: tuple[Any, ...]) -> tuple[Part, ...]:
    features, label, *weights = batch
    named = {**features, "label": label, **({"sample_weight": weights[0]} if weights else {})}
    return tuple(Part.of(name, values) for name, values in named.items())
