"""What people see while a stage works: bars for what takes longer than a moment, notes, warnings."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

Advance = Callable[..., None]


@dataclass
class Reporter:
    """Writes to a terminal, or nowhere when quiet. Warnings are kept, for the artifact's manifest.

    Attributes:
      console: where to write; standard error, so that standard output stays for results.
      quiet: no bars and no notes; warnings are shown all the same.
      warnings: every warning so far.
    """

    console: Console = field(default_factory=lambda: Console(stderr=True, highlight=False))
    quiet: bool = False
    warnings: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """One line for people."""
        if not self.quiet:
            self.console.print(f"  {escape(text)}")

    def warn(self, text: str) -> None:
        """One line that people must not miss."""
        self.warnings.append(text)
        self.console.print(f"  [yellow]warning:[/] {escape(text)}")

    def stage(self, name: str, about: str) -> None:
        """A stage begins."""
        if not self.quiet:
            self.console.print(f"[bold]{escape(name)}[/]  [dim]{escape(about)}[/]")

    def done(self, name: str, seconds: float, summary: dict[str, Any]) -> None:
        """A stage has ended."""
        self.note(f"{describe(summary)}  ({seconds:.1f} s)".lstrip())

    @contextlib.contextmanager
    def bar(self, description: str, total: int | None = None) -> Iterator[Advance]:
        """A progress bar; call what it gives with the steps done: `advance(3, "loss 0.31")`.

        Where the output is no terminal, a line is printed every ten seconds instead.
        """
        if self.quiet:
            yield lambda steps=1, info="": None
        elif self.console.is_terminal:
            columns = (SpinnerColumn(), TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn())
            with Progress(
                *columns, TimeRemainingColumn(), TextColumn("{task.fields[info]}"), console=self.console, transient=True
            ) as progress:
                task = progress.add_task(description, total=total, info="")
                yield lambda steps=1, info="": progress.update(task, advance=steps, info=info)
        else:
            yield _Lines(self, description, total)


@dataclass
class _Lines:
    """The bar of a log file: a line every ten seconds."""

    reporter: Reporter
    description: str
    total: int | None
    done: float = 0
    shown: float = field(default_factory=time.monotonic)

    def __call__(self, steps: float = 1, info: str = "") -> None:
        self.done += steps
        if time.monotonic() - self.shown >= 10:
            self.shown = time.monotonic()
            of_total = f"/{self.total}" if self.total else ""
            self.reporter.note(f"{self.description}: {int(self.done)}{of_total} {info}".rstrip())


def describe(summary: dict[str, Any]) -> str:
    """A stage's summary on one line: `rows 150, classes 3`."""
    parts = []
    for key, value in summary.items():
        if isinstance(value, dict):
            parts.append(f"{key}: {describe(value)}" if key != "metrics" else describe(value))
        elif isinstance(value, float):
            parts.append(f"{key} {value:.4g}")
        elif value is not None and value != 0:
            parts.append(f"{key} {value}")
    return ", ".join(parts)


def silent() -> Reporter:
    """A reporter for libraries and tests: shows warnings only."""
    return Reporter(quiet=True)
