"""A sheet of pictures as a PNG: a row an example, a column a state of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

_INCHES, _TITLE_INCHES, _DPI = 1.5, 0.35, 120
_TITLE_LETTERS = 24


def draw_sheet(lines: Sequence[Sequence[tuple[str, np.ndarray]]], path: Path) -> None:
    """Writes the sheet.

    Args:
      lines: rows of equally many (title, pixels uint8 [height, width, 1 or 3]).
      path: the PNG to write.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp()) / "sheet.png"
      >>> draw_sheet([[("stored: 7", np.zeros((8, 8, 1), np.uint8))]], path)
      >>> path.read_bytes()[1:4]
      b'PNG'
    """
    from matplotlib.figure import Figure

    height, width = lines[0][0][1].shape[:2]
    cell = _INCHES * max(width / height, 0.5), _INCHES * min(max(height / width, 0.5), 1) + _TITLE_INCHES
    figure = Figure((cell[0] * len(lines[0]), cell[1] * len(lines)), dpi=_DPI, layout="constrained")
    grid = figure.subplots(len(lines), len(lines[0]), squeeze=False)
    for axes, (title, pixels) in zip(grid.flat, (item for line in lines for item in line), strict=True):
        # Pixels as they are: neither smoothed nor stretched in brightness.
        shown = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
        axes.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_title(_plain(title), fontsize=7, parse_math=False)
        axes.set_axis_off()
    figure.savefig(path, format="png", metadata={"Software": None})


def _plain(title: str) -> str:
    """On one line, as wide as a picture."""
    clean = "".join(letter if letter.isprintable() else "\ufffd" for letter in title)
    return clean if len(clean) <= _TITLE_LETTERS else f"{clean[: _TITLE_LETTERS - 1]}…"
