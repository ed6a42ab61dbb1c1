"""Histograms of the sides over each other, as SVG."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.data.statistics import Numbers
from pipeline.report.summary import date, moment, number

# Okabe and Ito's colors, told apart by color-blind people and in gray: train, validation, test, and any others.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
_NUM_BINS = 40
# Beyond, halves between whole numbers get lost.
_MAX_WHOLE = 1e12
# One far value would press all others into one bin: the axis ends here, unless the ends are near anyway.
_TAIL = 0.005
_INCHES = (3.8, 1.4)
_SHORT_LABEL = 8
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "pipeline",  # equal statistics make equal files
    "font.family": "sans-serif",
    "font.size": 8,
    "text.color": "#333",
    "axes.edgecolor": "#999",
    "xtick.color": "#333",
}


@dataclass
class HistogramPainter:
    """Draws histograms, all on one figure: making a figure takes longer than drawing on it."""

    figure: Any = field(default_factory=lambda: _new_figure())

    def svg(self, sides: Mapping[str, Numbers], *, dates: bool = False) -> str | None:
        """An SVG document, or None where there are not two different values to draw.

        Args:
          sides: the numbers of each side; the first is drawn filled, the others as lines. Each is normalized.
          dates: whether they are seconds since 1970.
        """
        import matplotlib

        there = {side: numbers for side, numbers in sides.items() if numbers.moments.count}
        edges = bin_edges(list(there.values()))
        if not edges:
            return None
        self.figure.clear()
        with matplotlib.rc_context(_STYLE):
            axes = self.figure.add_axes((0.015, 0.16, 0.97, 0.8))
            for place, side in enumerate(sides):
                if side in there:
                    _draw(axes, there[side].shares(edges), edges, COLORS[place % len(COLORS)], filled=place == 0)
            _label(axes, edges, dates)
            return _document(self.figure)


def bin_edges(sides: list[Numbers]) -> list[float]:
    """Increasing edges [bins + 1] that suit all sides; empty where all values are one.

    Bins of whole numbers hold equally many of them, and their edges are halfway between two.
    """
    if not sides:
        return []
    low, high = min(side.moments.minimum for side in sides), max(side.moments.maximum for side in sides)
    if low == high:
        return []
    whole = all(side.whole for side in sides)
    if whole and high - low <= _NUM_BINS:
        return (np.arange(low, high + 2) - 0.5).tolist()
    inner_low = min(side.quantiles([_TAIL])[0] for side in sides)
    inner_high = max(side.quantiles([1 - _TAIL])[0] for side in sides)
    # Halves, because the width of the widest columns overflows.
    half = inner_high / 2 - inner_low / 2
    if half > 0:
        low = low if inner_low / 2 - low / 2 <= half / 2 else inner_low
        high = high if high / 2 - inner_high / 2 <= half / 2 else inner_high
    if whole and high - low < _MAX_WHOLE:
        return (np.arange(low, high + (width := -(-(high - low + 1) // _NUM_BINS)), width) - 0.5).tolist()
    steps = np.linspace(0, 1, _NUM_BINS + 1)
    return np.unique(low * (1 - steps) + high * steps).tolist()


def share_outside(numbers: Numbers, edges: list[float]) -> float:
    """The fraction of values that lie beyond the axis."""
    return 1 - float(numbers.cumulative([edges[-1]])[0] - numbers.cumulative([math.nextafter(edges[0], -math.inf)])[0])


def _draw(axes: Any, shares: np.ndarray, edges: list[float], color: str, *, filled: bool) -> None:
    # Positions, not values, on the axis: matplotlib cannot place values near the ends of float64.
    places = np.arange(len(edges))
    if filled:
        axes.stairs(shares, places, fill=True, color=color, alpha=0.35)
    axes.stairs(shares, places, color=color, linewidth=1.2)


def _label(axes: Any, edges: list[float], dates: bool) -> None:
    last = len(edges) - 1
    axes.set_xlim(0, last)
    axes.set_ylim(bottom=0)
    axes.set_yticks([])
    axes.spines[["left", "right", "top"]].set_visible(False)
    # One whole number a bin: it stands below the bin's middle.
    halfway = edges[0] % 1 == 0.5 and edges[-1] - edges[0] == last
    places, labels = _ticks(edges, last, halfway, dates, 5)
    if max(map(len, labels)) > _SHORT_LABEL:
        places, labels = _ticks(edges, last, halfway, dates, 3)
    axes.set_xticks(places + (0.5 if halfway else 0), labels, parse_math=False)
    axes.tick_params(length=2)
    for label, side in zip((axes.get_xticklabels()[0], axes.get_xticklabels()[-1]), ("left", "right"), strict=True):
        # Inside the picture, too, where the label is long.
        label.set_horizontalalignment("center" if halfway and last > 1 else side)


def _ticks(edges: list[float], last: int, halfway: bool, dates: bool, num_ticks: int) -> tuple[np.ndarray, list[str]]:
    """Where labels stand, evenly, and what they say."""
    places = np.unique(np.linspace(0, last - halfway, min(num_ticks, last + 1 - halfway)).astype(int))
    values = [edges[place] + (0.5 if edges[0] % 1 == 0.5 else 0) for place in places]
    shown = number if not dates else date if values[-1] - values[0] > 10 * 86_400 else moment
    return places, [shown(value) for value in values]


def _document(figure: Any) -> str:
    written = io.StringIO()
    figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    document = written.getvalue()
    return document[document.index("<svg") :]


def _new_figure() -> Any:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=_INCHES)
    FigureCanvasSVG(figure)
    return figure
