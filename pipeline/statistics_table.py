"""Statistics in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.data.statistics import FeatureStatistics, Statistics
from pipeline.report.summary import RANKS, Summary, percent, printable, summarize, top_shares

_GAP = 2
_TOP = 3
_NAME_WIDTH = 32
# A log has no width; nothing in it is broken or left out.
_LOG_WIDTH = 1000


@dataclass(frozen=True)
class _Column:
    """A column of the table.

    Attributes:
      title: above it.
      cells: one a line.
      need: in a narrow terminal the columns with the smallest number stay.
      left: whether the cells are texts.
    """

    title: str
    cells: list[str]
    need: int
    left: bool = False

    @property
    def width(self) -> int:
        """In terminal cells, with the gap on its right."""
        return max(map(cell_len, (self.title, *self.cells))) + _GAP


def show_statistics(sides: Mapping[str, Statistics], console: Console) -> None:
    """A line for each column and side: what is missing, mean, quantiles, frequent values.

    In a narrow terminal the less needed columns of the table are left out, and named below it.

    Example:
      >>> import pyarrow as pa
      >>> train = Statistics.of(pa.record_batch({"age": [30.0, 40.0, 50.0, None]}), {"age": "numeric"})
      >>> show_statistics({"train": train}, Console(width=60, highlight=False, force_terminal=False))
      feature  kind     missing  distinct  mean    std  min  median  max
      age      numeric   25.0 %         3    40  8.165   30      40   50
    """
    if not console.is_terminal:
        console = Console(file=console.file, width=_LOG_WIDTH, highlight=False, no_color=True)
    columns = [column for column in _columns(sides) if any(column.cells)]
    shown = _fitting(columns, console.width)
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False)
    for column in shown:
        justify = "left" if column.left else "right"
        table.add_column(column.title, justify=justify, header_style="dim", no_wrap=True)  # type: ignore[arg-type]
    for cells in zip(*(column.cells for column in shown), strict=True):
        table.add_row(*map(escape, cells))
    console.print(table)
    if len(shown) < len(columns):
        left_out = ", ".join(column.title for column in columns if column not in shown)
        console.print(f"left out in so narrow a terminal: {left_out}", style="dim")


def _columns(sides: Mapping[str, Statistics]) -> list[_Column]:
    lines = list(_lines(sides))
    several = len(sides) > 1
    cells = [
        _Column("feature", [name for name, *_ in lines], 0, left=True),
        _Column("kind", [kind for _, kind, *_ in lines], 3, left=True),
        _Column("side", [line.side if several else "" for *_, line, _ in lines], 0, left=True),
        _Column("of", [line.of for *_, line, _ in lines], 1, left=True),
        _Column("missing", [line.missing for *_, line, _ in lines], 1),
        _Column("distinct", [line.distinct for *_, line, _ in lines], 4),
        _Column("mean", [line.mean for *_, line, _ in lines], 2),
        _Column("std", [line.deviation for *_, line, _ in lines], 6),
    ]
    for need, rank in ((5, "min"), (7, "median"), (5, "max")):
        place = list(RANKS).index(rank)
        cells.append(_Column(rank, [line.quantiles[place] for *_, line, _ in lines], need))
    return [*cells, _Column("top", [top for *_, top in lines], 8, left=True)]


def _lines(sides: Mapping[str, Statistics]) -> list[tuple[str, str, Summary, str]]:
    """(name, kind, line, frequent values); name and kind stand on a column's first line only."""
    found: list[tuple[str, str, Summary, str]] = []
    for name in dict.fromkeys(name for statistics in sides.values() for name in statistics.features):
        there = {side: statistics.features[name] for side, statistics in sides.items() if name in statistics.features}
        head: tuple[str, str] = (printable(name, _NAME_WIDTH), next(iter(there.values())).kind)
        for side, feature in there.items():
            for place, line in enumerate(summarize(side, feature)):
                found.append((*head, line, _top(feature) if place == 0 else ""))
                head = ("", "")
    return found


def _top(feature: FeatureStatistics) -> str:
    shares = top_shares(feature, _TOP)
    return ", ".join(f"{printable(name, 20) or '(empty)'} {percent(share)}" for name, share in shares)


def _fitting(columns: list[_Column], width: int) -> list[_Column]:
    """Those that fit, the most needed first, in their order; the first of all in any case."""
    chosen: set[int] = set()
    left = width + _GAP
    for place in sorted(range(len(columns)), key=lambda place: (columns[place].need, place)):
        if columns[place].width > left and chosen:
            break
        chosen.add(place)
        left -= columns[place].width
    return [columns[place] for place in sorted(chosen)]
