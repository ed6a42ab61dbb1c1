"""The closing table of a run, and the status page."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.progress import describe
from pipeline.runner import Result, State

_COLOURS = {"done": "green", "stale": "yellow", "missing": "red"}


def show_result(result: Result, *, error_stream: bool) -> None:
    """Stages, times, metrics beside the baseline, and where everything is."""
    console = Console(stderr=error_stream, highlight=False)
    stages = Table(title=f"run {escape(result.name)}", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column, justify in (("stage", "left"), ("time", "right"), ("what", "left")):
        stages.add_column(column, justify=justify, header_style="dim", overflow="fold")  # type: ignore[arg-type]
    for done in result.stages:
        summary = {
            key: value for key, value in done.summary.items() if key not in ("metrics", "baseline", "saved_model")
        }
        seconds = "done before" if done.skipped else f"{done.seconds:.1f} s"
        stages.add_row(done.stage, seconds, escape(describe(summary)))
    console.print()
    console.print(stages)
    found = result.to_json()
    if metrics := found["metrics"]["test"]:
        console.print()
        console.print(_metrics(metrics, found["baseline"]))
    if found["saved_model"]:
        console.print(f"\nSavedModel  {found['saved_model']}", soft_wrap=True)
    console.print(f"artifacts   {result.stages[-1].directory.parent.parent}", soft_wrap=True)


def show_status(states: list[State]) -> None:
    """A line a stage."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("stage", "state", "finished", "directory"):
        table.add_column(column, header_style="dim", overflow="fold")
    for state in states:
        coloured = f"[{_COLOURS[state.state]}]{state.state}[/]"
        table.add_row(state.stage, coloured, state.finished, escape(str(state.directory)))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 1000  # a path in a log must not be broken
    console.print(table)


def _metrics(metrics: dict[str, float], baseline: dict[str, float]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column, justify in (("test", "left"), ("model", "right"), ("baseline", "right")):
        table.add_column(column, justify=justify, header_style="dim")  # type: ignore[arg-type]
    for name, value in metrics.items():
        table.add_row(name, f"{value:.4f}", f"{baseline[name]:.4f}" if name in baseline else "")
    return table
