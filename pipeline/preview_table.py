"""A preview in the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.data.preview import Part, Preview
from pipeline.data.row_trace import Trace
from pipeline.inspection import Seen
from pipeline.report.summary import number, percent, printable

_CELL, _LEARNT = 32, 80
# A log has no width; nothing in it is broken or left out.
_LOG_WIDTH = 1000


def show_preview(seen: Seen, console: Console) -> None:
    """Features from raw to encoded, the batch after each step, and what else was asked for."""
    if not console.is_terminal:
        console = Console(file=console.file, width=_LOG_WIDTH, highlight=False, no_color=True)
    preview = seen.preview
    console.print(f"train, {preview.num_train:,} rows, epoch {preview.epoch}\n")
    _show_features(preview, console)
    if seen.trace is not None:
        _show_trace(seen.trace, console)
    else:
        _show_steps(preview, console)
    if seen.sheet is not None:
        console.print(f"\nwrote {escape(str(seen.sheet))}", soft_wrap=True)


def _show_features(preview: Preview, console: Console) -> None:
    """A feature is a line with its transform, and a line for each shown row."""
    table = _table(("feature", "row", "raw", "encoded"), right=("row",))
    for column in preview.columns:
        learnt = printable(f"{column.kind}, {column.transform}", _LEARNT)
        table.add_row(escape(printable(column.name, _CELL)), "", f"[dim]{escape(learnt)}[/]", f"[dim]{column.part}[/]")
        for row, raw, encoded in zip(preview.rows, column.raw, column.encoded, strict=True):
            table.add_row("", str(row), escape(printable(raw, _LEARNT)), escape(encoded))
    table.add_row("label" if preview.sample_weights is None else "label, weight")
    for place, row in enumerate(preview.rows):
        weight = "" if preview.sample_weights is None else f", {preview.sample_weights[place]:.4g}"
        table.add_row("", str(row), "", escape(f"{printable(preview.labels[place], _CELL)}{weight}"))
    console.print(table)


def _show_steps(preview: Preview, console: Console) -> None:
    """The whole batch; of later steps what they left as it was is not repeated."""
    table = _table(
        ("after", "part", "shape", "dtype", "min", "max", "mean", "zeros"), right=("min", "max", "mean", "zeros")
    )
    before: Sequence[Part] = ()
    for step in preview.steps:
        changed = [part for part in step.parts if part not in before]
        for place, part in enumerate(changed):
            table.add_row(escape(printable(step.name, _LEARNT)) if place == 0 else "", *_cells(part))
        if not changed:
            table.add_row(escape(printable(step.name, _LEARNT)), "changed no part in size, range or mean")
        before = step.parts
    console.print(f"\nthe first batch of the epoch; augmentations: {len(preview.steps) - 1}")
    console.print(table)


def _show_trace(trace: Trace, console: Console) -> None:
    table = _table(("row " + str(trace.row), "after", "value", "changed"), right=("changed",))
    for line in trace.lines:
        told = [0, *(place for place, share in enumerate(line.changed) if share)]
        for place in told:
            share = percent(line.changed[place]) if line.changed[place] else ""
            name = escape(printable(line.name, _CELL)) if place == 0 else ""
            table.add_row(name, escape(printable(trace.steps[place], _LEARNT)), escape(line.values[place]), share)
    console.print(f"\nwhat epoch {trace.epoch} does to row {trace.row}: {_listed(trace.steps)}", soft_wrap=True)
    console.print(table)


def _listed(steps: Iterable[str]) -> str:
    return escape(", ".join(printable(step, _LEARNT) for step in steps))


def _cells(part: Part) -> tuple[str, ...]:
    shape = " x ".join(map(str, part.shape))
    return (
        part.name,
        shape,
        part.dtype,
        number(part.minimum),
        number(part.maximum),
        number(part.mean),
        percent(part.zeros),
    )


def _table(titles: Sequence[str], right: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for title in titles:
        justify = "right" if title in right else "left"
        table.add_column(title, justify=justify, header_style="dim", overflow="fold")  # type: ignore[arg-type]
    return table
