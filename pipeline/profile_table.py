"""A profile in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.profiling import Change, Profile
from pipeline.report.summary import number, percent, printable

_STEP = 60
# A log has no width; nothing in it is broken or left out.
_LOG_WIDTH = 1000

_Line = tuple[str, str, str]


def show_profile(profile: Profile, console: Console) -> None:
    """Verdict, rates, steps of the feed, limits of the machine, recommendations."""
    if not console.is_terminal:
        console = Console(file=console.file, width=_LOG_WIDTH, highlight=False, no_color=True)
    color = "yellow" if profile.starves else "green"
    console.print(f"[{color}]{escape(profile.verdict)}[/]")
    for titles, lines in (
        (("measured", "rows/s", "steps/s"), _rates(profile)),
        (("step of the feed", "µs a row", "share"), _steps(profile)),
        (("limit of this machine", "value", "the feed is at"), _limits(profile)),
    ):
        console.print()
        console.print(_table(titles, lines))
    console.print()
    if not profile.recommended:
        console.print("Nothing in the config would make this training faster by a fifth or more.")
    for one in profile.recommended:
        line = f"{one.key} = {_toml(one.value)}: about {one.gain:.2g} times as fast; {one.reason}"
        console.print(escape(line), soft_wrap=True)


def show_changes(path: Path, changes: Sequence[Change], console: Console) -> None:
    """What `--apply` wrote."""
    for change in changes:
        old = "not set" if change.old is None else _toml(change.old)
        console.print(escape(f"{path}: {change.key}: {old} -> {_toml(change.new)}"), soft_wrap=True)
    if not changes:
        console.print(f"{escape(str(path))}: nothing to change", soft_wrap=True)


def _rates(profile: Profile) -> list[_Line]:
    rates = (("feed alone", profile.feed), ("model alone", profile.model), ("both, as fit runs them", profile.both))
    return [(name, f"{rate:,.0f}", number(rate / profile.batch_size)) for name, rate in rates]


def _steps(profile: Profile) -> list[_Line]:
    return [(printable(step.step, _STEP), number(step.microseconds), percent(step.share)) for step in profile.steps]


def _limits(profile: Profile) -> list[_Line]:
    found, bytes_a_second = profile.limits, profile.feed * profile.row_bytes
    copied, gathered = percent(bytes_a_second / found.memory_copy_bytes), percent(profile.feed / found.gather_rows)
    lines: list[_Line] = [
        ("copy memory, one core", f"{found.memory_copy_bytes / 1e9:,.3g} GB/s", copied),
        ("gather random rows, one core", f"{found.gather_rows:,.0f} rows/s", gathered),
    ]
    for cores, rate in (("one core", found.decode_images), (f"{found.cores} cores", found.decode_images_all)):
        if rate is not None:
            share = percent(profile.feed / rate) if profile.decodes else "pixels are stored"
            lines.append((f"decode images, {cores}", f"{rate:,.0f} images/s", share))
    name = "read the store from disk"
    if found.disk_bytes is None:
        return [*lines, (name, "too small to tell", "")]
    return [*lines, (name, f"{found.disk_bytes / 1e6:,.0f} MB/s", percent(bytes_a_second / found.disk_bytes))]


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _table(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for place, title in enumerate(titles):
        table.add_column(title, justify="right" if place else "left", header_style="dim", overflow="fold")
    for line in lines:
        table.add_row(*map(escape, line))
    return table
