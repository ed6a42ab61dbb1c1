"""One HTML page that shows what the columns look like, side by side."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.data.drift import Drift
from pipeline.data.statistics import FeatureStatistics, Numbers, Statistics
from pipeline.report.histogram import COLORS, HistogramPainter, bin_edges, share_outside
from pipeline.report.page import save_page, template
from pipeline.report.summary import RANKS, Summary, percent, printable, summarize, top_shares

# A histogram takes some 40 ms and 8 kB; more columns than this nobody looks through.
MAX_HISTOGRAMS = 300
_TOP = 10


@dataclass(frozen=True)
class _Bar:
    """A frequent value: its name, and for each side its share as a text and as a width in percent."""

    name: str
    shares: list[tuple[str, str, float]]


@dataclass(frozen=True)
class _Section:
    """One column, as the template needs it."""

    anchor: str
    name: str
    kind: str
    lines: list[Summary]
    histogram: str | None
    note: str
    bars: list[_Bar]
    drift: list[Drift]


def write_page(sides: Mapping[str, Statistics], path: Path, *, title: str, drift: Sequence[Drift] = ()) -> None:
    """Writes one self-contained page: a row per column, the sides over each other.

    Args:
      sides: statistics by side, `train` first; columns come in the order of the first side.
      path: the HTML file to write; it is replaced whole.
      title: plain text, as all names are.
      drift: differences to point out.

    Raises:
      RunError: the file cannot be written.

    Example:
      >>> import tempfile
      >>> import pyarrow as pa
      >>> train = Statistics.of(pa.record_batch({"age": [30.0, 40.0]}), {"age": "numeric"})
      >>> path = Path(tempfile.mkdtemp()) / "statistics.html"
      >>> write_page({"train": train}, path, title="people")
      >>> "<h1>people</h1>" in path.read_text(encoding="utf-8")
      True
    """
    names = list(dict.fromkeys(name for statistics in sides.values() for name in statistics.features))
    painter = HistogramPainter()
    sections = [
        _section(place, name, sides, drift, painter if place < MAX_HISTOGRAMS else None)
        for place, name in enumerate(names)
    ]
    page = template("statistics.html.j2", printable=printable).render(
        title=printable(title, 200),
        sides=[(side, f"{found.num_rows:,}", color_of(sides, side)) for side, found in sides.items()],
        colors={side: color_of(sides, side) for side in sides},
        sections=sections,
        drift=drift,
        anchors={section.name: section.anchor for section in sections},
        ranks=list(RANKS),
        max_histograms=MAX_HISTOGRAMS if len(names) > MAX_HISTOGRAMS else None,
    )
    save_page(path, page)


def color_of(sides: Mapping[str, Any], side: str) -> str:
    """The color of a side, by its place."""
    return COLORS[list(sides).index(side) % len(COLORS)]


def _section(
    place: int, name: str, sides: Mapping[str, Statistics], drift: Sequence[Drift], painter: HistogramPainter | None
) -> _Section:
    found = {side: statistics.features[name] for side, statistics in sides.items() if name in statistics.features}
    histogram, note = _histogram(found, painter) if painter else (None, "")
    return _Section(
        f"feature-{place}",
        name,
        " / ".join(dict.fromkeys(feature.kind for feature in found.values())),
        [line for side, feature in found.items() for line in summarize(side, feature)],
        histogram,
        note,
        _bars(found),
        [one for one in drift if one.feature == name],
    )


def _histogram(found: Mapping[str, FeatureStatistics], painter: HistogramPainter) -> tuple[str | None, str]:
    """A data URI, and what the picture does not show; of the first of a column's numbers."""
    part = next((part for feature in found.values() for part in feature.numbers), "")
    numbers: dict[str, Numbers] = {
        side: feature.numbers[part] for side, feature in found.items() if part in feature.numbers
    }
    document = painter.svg(numbers, dates=part == "seconds") if numbers else None
    if document is None:
        return None, ""
    edges = bin_edges([one for one in numbers.values() if one.moments.count])
    outside = max(share_outside(one, edges) for one in numbers.values() if one.moments.count)
    notes = [f"of the {part}"] if part not in ("value", "seconds") else []
    notes += [f"{percent(outside)} beyond the axis"] if outside > 1e-9 else []
    # An image of its own, so that the ids inside cannot clash with those of another one.
    return f"data:image/svg+xml;base64,{base64.b64encode(document.encode()).decode()}", ", ".join(notes)


def _bars(found: Mapping[str, FeatureStatistics]) -> list[_Bar]:
    """The most frequent values of the first side that has any."""
    shares = {side: dict(top_shares(feature, 10 * _TOP)) for side, feature in found.items()}
    names = list(next((known for known in shares.values() if known), {}))[:_TOP]
    largest = max((known.get(name, 0.0) for known in shares.values() for name in names), default=1.0)
    return [
        _Bar(
            printable(name) or "(empty)",
            [
                (side, percent(known[name]) if name in known else "–", 100 * known.get(name, 0.0) / largest)
                for side, known in shares.items()
            ],
        )
        for name in names
    ]
