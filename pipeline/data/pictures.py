"""Train images as they are stored, and what epochs make of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.data.in_short import label_text
from pipeline.data.layout import places_of
from pipeline.data.transforms import Transforms
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.data.feed import Feed


@dataclass(frozen=True, eq=False)
class Picture:
    """An image with what is to be said of it.

    Attributes:
      title: its label, and where it comes from.
      pixels: uint8 [height, width, 1 or 3]; several image columns stand side by side.
    """

    title: str
    pixels: np.ndarray


def pictures(feed: Feed, transforms: Transforms, rows: Sequence[int], epochs: Sequence[int]) -> list[list[Picture]]:
    """For each row the stored picture, then what each epoch makes of it.

    Raises:
      ConfigError: there are no images.
    """
    parts = {fitted.part for _, fitted in transforms.features}
    if "image" not in parts:
        raise ConfigError(
            "--images: no column of this run holds images.",
            expected=f"a feature of the kind image; there are only: {', '.join(sorted(parts))}",
            fix='Leave --images out; or name the column: features.image = ["COLUMN"].',
        )
    chosen = np.asarray(rows)
    stored = replace(feed, augment=()).examples(chosen, 0)
    columns = [_titled(transforms, stored, "stored")]
    columns += [_titled(transforms, feed.examples(chosen, epoch), f"epoch {epoch}") for epoch in epochs]
    return [list(line) for line in zip(*columns, strict=True)]


def _titled(transforms: Transforms, batch: tuple[Any, ...], origin: str) -> list[Picture]:
    features, label, *_ = batch
    images = [name for name, fitted in transforms.features if fitted.part == "image"]
    places = places_of(transforms)
    sides = [features["image"].numpy()[..., places[name]] for name in images]
    channels = max(side.shape[-1] for side in sides)  # grey beside color: grey in color
    joined = np.concatenate([np.broadcast_to(side, (*side.shape[:-1], channels)) for side in sides], axis=2)
    titles = [f"{origin}: {label_text(transforms, value)}" for value in label.numpy()]
    return [Picture(title, pixels) for title, pixels in zip(titles, joined, strict=True)]
