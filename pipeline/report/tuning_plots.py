"""Pictures of a search, as SVG: parallel coordinates, learning curves, the score against each key."""

from __future__ import annotations

import base64
import io
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.report.tuning_axes import Axis, score_axis
from pipeline.report.tuning_effects import Effect
from pipeline.report.tuning_files import finite

WINNER, FAILED, _INK = "#d55e00", "#999999", "#333333"
# Off the axis, below and above: what has no place on it.
_NOT_SET, _FAILED_PLACE = -0.14, 1.14
_ROW_LETTERS, _WIDE_LETTERS = 15, 7
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "pipeline",  # equal trials make equal files
    "font.family": "sans-serif",
    "font.size": 8,
    "text.color": _INK,
    "axes.edgecolor": "#bbb",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.labelcolor": _INK,
    "text.parse_math": False,
}


@dataclass(frozen=True)
class Picture:
    """An image: a data URI, so that the ids inside cannot clash with those of another, and its width in inches."""

    uri: str
    inches: float


@dataclass
class TuningPainter:
    """Draws a search, all on one figure: making a figure takes longer than drawing on it.

    Args:
      trials: rows of trials.json, at least one.
      axes: of the keys.
      winner: number of the winner, or None.
    """

    trials: Sequence[Mapping[str, Any]]
    axes: Sequence[Axis]
    winner: int | None = None
    figure: Any = field(default_factory=lambda: _new_figure())

    def __post_init__(self) -> None:
        scores = [score for score in map(_score, self.trials) if score is not None]
        self._scores = score_axis(scores) if scores else None
        # The best are drawn last, above the others.
        self._order = sorted(self.trials, key=lambda trial: (_score(trial) is not None, -(_score(trial) or 0.0)))

    def parallel(self, axes: Sequence[Axis]) -> Picture:
        """A line a trial, through its value of every key to its score.

        Args:
          axes: of the keys, in the order to draw them.
        """
        inches = max(6.4, 1.08 * (len(axes) + 1))
        with _style():
            top = 0.36 + 0.14 * max((_wrapped(axis.name).count("\n") for axis in axes), default=0)
            height = 3.0 + top
            plot = self._clear(inches, height).add_axes((0.45 / inches, 0.03, 1 - 1.05 / inches, 2.9 / height))
            for at, axis in enumerate([*axes, self._scores]):
                _rule(plot, at, axis)
            self._lines(plot, axes)
            if any(axis.place_in(trial["overrides"]) is None for axis in axes for trial in self.trials):
                plot.text(-0.06, _NOT_SET, "not set", ha="right", va="center", fontsize=7, color="#777")
            plot.set_xlim(-0.3, len(axes) + 0.25)
            plot.set_ylim(_NOT_SET - 0.06, _FAILED_PLACE + 0.04)
            plot.set_axis_off()
            return self._picture(inches)

    def curves(self) -> Picture:
        """Validation loss by epoch, of all trials; a higher rung goes on where its parent stood."""
        inches = 8.0
        with _style():
            plot = self._clear(inches, 3.3).add_axes((0.075, 0.14, 0.91, 0.82))
            for trial in self._order:
                values = np.array([_or_nan(value) for value in trial.get("history", [])])
                first = max(int(trial.get("first_epoch") or 0) - 1, 0)
                if len(values) > first:
                    plot.plot(np.arange(first, len(values)) + 1, values[first:], **self._line(trial, len(values) == 1))
            self._limit(plot)
            plot.set_xlabel("epoch")
            plot.set_ylabel("validation loss")
            plot.xaxis.get_major_locator().set_params(integer=True)
            return self._picture(inches)

    def against(self, axis: Axis, effect: Effect | None = None) -> Picture:
        """The score of every trial against one key; the key's own effect as a line where it is more than chance."""
        inches = 2.9
        with _style():
            plot = self._clear(inches, 2.0).add_axes((0.17, 0.15, 0.77, 0.8))
            off = any(axis.place_in(trial["overrides"]) is None for trial in self.trials)
            self._points(plot, axis)
            if effect is not None and effect.beyond_noise and self._scores is not None:
                places, heights = zip(*effect.curve, strict=True)
                plot.plot(places, list(map(self._scores.place, heights)), color=_INK, lw=1.2, alpha=0.8, zorder=5)
            ticks = [*([(_NOT_SET - 0.04, "not set")] if off else []), *_thin(axis.ticks())]
            plot.set_xticks([place for place, _ in ticks], [text for _, text in ticks])
            if ticks and len(ticks[-1][1]) > _WIDE_LETTERS:
                plot.get_xticklabels()[-1].set_horizontalalignment("right")
            self._score_ticks(plot)
            plot.set_xlim((_NOT_SET - 0.12) if off else -0.08, 1.08)
            plot.set_ylim(-0.06, _FAILED_PLACE + 0.06)
            plot.tick_params(length=2)
            return self._picture(inches)

    def _lines(self, plot: Any, axes: Sequence[Axis]) -> None:
        for trial in self._order:
            found = [_spread(axis, trial) for axis in axes]
            heights = [_NOT_SET if place is None else place for place in found]
            plot.plot(range(len(heights) + 1), [*heights, self._height(trial)], clip_on=False, **self._line(trial))

    def _height(self, trial: Mapping[str, Any]) -> float:
        score = _score(trial)
        place = None if score is None or self._scores is None else self._scores.place(score)
        return _FAILED_PLACE if place is None else place

    def _points(self, plot: Any, axis: Axis) -> None:
        """All of a kind in one call: a call takes longer than its points."""
        kinds: list[tuple[list[Mapping[str, Any]], dict[str, Any]]] = [
            (
                [trial for trial in self._order if _score(trial) is None],
                {"color": FAILED, "marker": "x", "s": 14, "lw": 1},
            ),
            ([trial for trial in self._order if _score(trial) is not None], {"s": 13, "lw": 0, "alpha": 0.8}),
            ([trial for trial in self._order if trial["number"] == self.winner], {"color": WINNER, "s": 36, "lw": 0}),
        ]
        for trials, look in kinds:
            places = [_spread(axis, trial) for trial in trials]
            across = [_NOT_SET - 0.04 if place is None else place for place in places]
            colors = {} if "color" in look else {"color": [self._color(trial) for trial in trials]}
            if trials:
                plot.scatter(across, [self._height(trial) for trial in trials], **look, **colors, zorder=4)

    def _color(self, trial: Mapping[str, Any]) -> Any:
        import matplotlib

        # Not to the end of the map: that yellow is hardly seen on white.
        return matplotlib.colormaps["viridis"](0.9 * self._height(trial))

    def _line(self, trial: Mapping[str, Any], alone: bool = False) -> dict[str, Any]:
        marker = {"marker": ".", "markersize": 4} if alone else {}
        if _score(trial) is None:
            return {"color": FAILED, "lw": 0.9, "ls": (0, (4, 3)), "alpha": 0.9, **marker}
        if trial["number"] == self.winner:
            return {"color": WINNER, "lw": 2.4, "zorder": 5, **marker}
        return {"color": self._color(trial), "lw": 1.0, "alpha": 0.75 if len(self.trials) < 60 else 0.5, **marker}

    def _limit(self, plot: Any) -> None:
        """Epochs far above the scores are cut off: they would press all curves together."""
        if self._scores is None:
            return
        low, high = self._scores.low, self._scores.high
        starts = [value for trial in self.trials if (value := finite((trial.get("history") or [None])[0])) is not None]
        high = max(high, float(np.median(starts)) if starts else high)
        if low > 0 and high / low > 10:
            plot.set_yscale("log")
            for axis in (plot.yaxis.set_major_formatter, plot.yaxis.set_minor_formatter):
                axis("{x:g}")  # powers of ten come as formulas, which are not drawn as such here
            plot.set_ylim(low * 0.9, high * 1.15)
        elif high > low:
            plot.set_ylim(low - 0.05 * (high - low), high + 0.08 * (high - low))

    def _score_ticks(self, plot: Any) -> None:
        ticks = _score_ticks(self._scores, self.trials)
        plot.set_yticks([place for place, _ in ticks], [text for _, text in ticks])

    def _clear(self, width: float, height: float) -> Any:
        self.figure.clear()
        self.figure.set_size_inches(width, height)
        return self.figure

    def _picture(self, inches: float) -> Picture:
        written = io.StringIO()
        with warnings.catch_warnings():
            # The browser has the letters that matplotlib's own font lacks.
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
            self.figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        document = written.getvalue()
        encoded = base64.b64encode(document[document.index("<svg") :].encode()).decode()
        return Picture(f"data:image/svg+xml;base64,{encoded}", inches)


def _rule(plot: Any, at: int, axis: Axis | None) -> None:
    """One upright axis with its ticks, its name above."""
    plot.plot([at, at], [0, 1], color="#888", lw=0.8, zorder=3)
    name = axis.name if axis is not None else "validation loss"
    plot.text(at, 1.2, _wrapped(name), ha="center", va="bottom", fontsize=8, fontweight="bold")
    for place, text in _score_ticks(axis, ()) if axis is None or axis.key == "score" else axis.ticks():
        plot.plot([at - 0.025, at], [place, place], color="#888", lw=0.8, zorder=3)
        box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6}
        plot.text(at - 0.04, place, _short(text, 13), ha="right", va="center", fontsize=7, bbox=box, zorder=4)


def _score_ticks(axis: Axis | None, trials: Sequence[Mapping[str, Any]]) -> list[tuple[float, str]]:
    ticks = _thin(axis.ticks(), 5) if axis is not None else []
    fails = any(_score(trial) is None for trial in trials)
    return [*ticks, *([(_FAILED_PLACE, "failed")] if fails else [])]


def _thin(ticks: list[tuple[float, str]], most: int = 4) -> list[tuple[float, str]]:
    """So many that their texts, short on a small picture, do not run into each other."""
    kept = ticks[:: -(-len(ticks) // most)] if ticks else []
    return [(place, _short(text, 8 if len(kept) > 2 else 12)) for place, text in kept]


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _spread(axis: Axis, trial: Mapping[str, Any]) -> float | None:
    """A trial's place; those of equal choices beside each other, so that all can be seen."""
    place = axis.place_in(trial["overrides"])
    if place is None or not axis.choices:
        return place
    # The golden ratio spreads numbers that follow each other.
    return place + ((trial["number"] * 0.618) % 1 - 0.5) * min(0.08, 0.5 / len(axis.choices))


def _wrapped(name: str) -> str:
    """On rows: names are long, and break at dots and underscores only."""
    broken = textwrap.wrap(name.replace("_", "_ ").replace(".", ". "), _ROW_LETTERS)
    return "\n".join(row.replace("_ ", "_").replace(". ", ".") for row in broken)


def _score(trial: Mapping[str, Any]) -> float | None:
    return finite(trial["score"])


def _or_nan(value: Any) -> float:
    found = finite(value)
    return float("nan") if found is None else found


def _style() -> Any:
    import matplotlib

    return matplotlib.rc_context(_STYLE)


def _new_figure() -> Any:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure()
    FigureCanvasSVG(figure)
    return figure
