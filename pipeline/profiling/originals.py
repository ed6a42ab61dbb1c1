"""The images of a run as they came, before they were prepared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.data.rows import IMAGE_ABOUT, stored_batches, stored_schema


@dataclass(frozen=True)
class Originals:
    """Of all image columns of a run.

    Attributes:
      columns: how many there are.
      encoded: some images, JPEG or PNG.
      median_size: (height, width) in pixels, each the median of the first column; None where there are no images.
    """

    columns: int
    encoded: tuple[bytes, ...]
    median_size: tuple[int, int] | None


def originals(rows: Path, most: int = 32) -> Originals:
    """Looks at what `ingest` wrote.

    Args:
      rows: `rows.arrow`.
      most: encoded images that are taken.
    """
    stored = stored_schema(rows).names
    names = [name for name in stored if f"{name}.{IMAGE_ABOUT[0]}" in stored]
    if not names:
        return Originals(0, (), None)
    return Originals(len(names), tuple(_encoded(rows, names, most)), _median_size(rows, names[0]))


def _encoded(rows: Path, names: Sequence[str], most: int) -> list[bytes]:
    """Paths are read; those that are gone are left out."""
    found: list[bytes] = []
    for batch in stored_batches(rows, names):
        for image in (image for column in batch.columns for image in column.slice(0, most).to_pylist() if image):
            if isinstance(image, bytes):
                found.append(image)
            elif Path(image).is_file():
                found.append(Path(image).read_bytes())
        if len(found) >= most:
            break
    return found[:most]


def _median_size(rows: Path, name: str) -> tuple[int, int] | None:
    columns = [f"{name}.{side}" for side in IMAGE_ABOUT[:2]]
    found = [[batch.column(side).drop_null().to_numpy() for side in columns] for batch in stored_batches(rows, columns)]
    heights, widths = (np.concatenate(sizes) for sizes in zip(*found, strict=True))
    return (int(np.median(heights)), int(np.median(widths))) if len(heights) else None
