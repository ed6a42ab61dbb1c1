"""What an epoch did to one row: its features and its label before and after each operation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.data.in_short import encoded_text, label_text
from pipeline.data.layout import places_of
from pipeline.data.preview import batches_of
from pipeline.data.transforms import Transforms
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.data.feed import Feed

_Batch = tuple[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Line:
    """One feature, or the label or the sample weight, in every step.

    Attributes:
      name, part: of the feature.
      values: after each step, in short.
      changed: share of its values that a step changed; 0 for the first step. It counts those, too, that `values` leaves
        out.
    """

    name: str
    part: str
    values: tuple[str, ...]
    changed: tuple[float, ...]


@dataclass(frozen=True)
class Trace:
    """One row in one epoch.

    Attributes:
      row: of the train store.
      epoch: counted from 0.
      steps: "gather", then the augmentations.
      lines: a feature each; last the label, and the sample weight if there is one.
    """

    row: int
    epoch: int
    steps: tuple[str, ...]
    lines: tuple[Line, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def trace(feed: Feed, transforms: Transforms, row: int, epoch: int) -> Trace:
    """What this epoch did to this row, or will do: it depends on nothing else.

    Raises:
      ConfigError: there is no such row.
    """
    if not 0 <= row < feed.num_rows:
        raise ConfigError(f"--row is {row}, but train has {feed.num_rows} rows.", expected=f"0 to {feed.num_rows - 1}")
    batches = batches_of(feed, np.array([row]), epoch)
    lines = [*_features(transforms, batches), *_label(transforms, batches)]
    return Trace(row, epoch, tuple(name for name, _ in batches), tuple(lines))


def _features(transforms: Transforms, batches: list[_Batch]) -> Iterator[Line]:
    places = places_of(transforms)
    for name, fitted in transforms.features:
        values = [batch[0][fitted.part][0][..., places[name]] for _, batch in batches]
        yield Line(name, fitted.part, tuple(encoded_text(fitted.part, value) for value in values), _changes(values))


def _label(transforms: Transforms, batches: list[_Batch]) -> Iterator[Line]:
    texts = [label_text(transforms, batch[1][0]) for _, batch in batches]
    yield Line(transforms.label, "label", tuple(texts), _changes([np.array([text]) for text in texts]))
    if len(batches[0][1]) == 3:
        weights = [batch[2] for _, batch in batches]
        yield Line("sample_weight", "", tuple(f"{weight[0]:.4g}" for weight in weights), _changes(weights))


def _changes(values: list[np.ndarray]) -> tuple[float, ...]:
    pairs = zip(values[:1] + values[:-1], values, strict=True)
    return tuple(float(np.mean(before != after)) if after.size else 0.0 for before, after in pairs)
