"""The stage `tune` beside a plain KerasTuner script: as many trials in less time, and more trials in the same time."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from rich.console import Console
from rich.table import Table

from benchmarks import tuning_memory
from benchmarks.report import Result, machine, note
from benchmarks.tuning_cases import CASES, OPTIMIZERS, Case
from benchmarks.tuning_run import run
from benchmarks.tuning_table import COLUMNS, Row

_MEMORY = "memory"
# Where the rows of these lie, below --data.
_FOLDERS = {"adult": "adult/adult.csv", "california": "california-housing/california.csv"}


def show(rows: list[Row], memory: list[Result]) -> None:
    """For a terminal."""
    table = Table(*COLUMNS, title="tuning", caption=_where())
    for row in rows:
        table.add_row(*row.cells())
    console = Console(width=None if sys.stdout.isatty() else 150)
    if rows:
        console.print(table)
    for line in _about_memory(memory):
        console.print(line, highlight=False)


def markdown(rows: list[Row], memory: list[Result]) -> str:
    """As it stands in the README."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(row.cells()) + " |" for row in rows]
    measured = f"Measured on {time.strftime('%Y-%m-%d', time.gmtime())}: {_where()}. Command: `{_command()}`."
    return "\n".join([*(lines if rows else []), "", *_about_memory(memory), "", measured])


def _about_memory(memory: list[Result]) -> list[str]:
    holds = {None: "", True: " holds", False: " MISSED"}
    return [f"- {one.name}: {one.value:.1f} {one.unit} {one.goal or ''}{holds[one.holds]}".rstrip() for one in memory]


def _where() -> str:
    about = machine()
    gibibytes = about["memory_bytes"] / 2**30
    return f"{about['cpu']}, {about['cores']} cores, {gibibytes:.0f} GiB, TensorFlow {about['tensorflow']}"


def _command() -> str:
    """As it was called; where the folder lies is nobody's business."""
    words = ["python", "-m", "benchmarks.tuning", *sys.argv[1:]]
    return shlex.join("DATA" if words[place - 1] == "--data" else word for place, word in enumerate(words))


def main() -> None:
    arguments = _arguments()
    rows: list[Row] = []
    for case in arguments.cases:
        with tempfile.TemporaryDirectory() as folder:
            found = run(case, arguments.data, Path(folder), arguments.rounds)
        rows.append(Row(case, found.ours, found.script))
        rows += [Row(case, found.in_equal_time, found.script, equal_time=True)] if found.in_equal_time else []
    memory = tuning_memory.results(arguments.short) if _MEMORY in arguments.only else []
    if arguments.markdown:
        print(markdown(rows, memory))
    else:
        show(rows, memory)
    results = [result.to_json() for result in [*(one for row in rows for one in row.results()), *memory]]
    print(json.dumps({"benchmark": "tuning", "machine": machine(), "results": results}))


def _arguments() -> argparse.Namespace:
    names = [*(case.name for case in CASES), _MEMORY]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", nargs="+", choices=names, metavar="NAME", help=f"{', '.join(names)}")
    parser.add_argument("--rounds", type=int, default=3, help="of each case, each with a seed of its own; default: 3")
    parser.add_argument("--short", action="store_true", help="one round of two trials of two epochs; says nothing")
    parser.add_argument(
        "--data", type=Path, help="a folder with adult/ and california-housing/; default: without these"
    )
    parser.add_argument(
        "--optimizers", nargs="+", default=OPTIMIZERS, metavar="NAME", choices=["AdamW", "Adam", "SGD", "Adagrad"],
        help="in the space; default: AdamW SGD",
    )  # fmt: skip
    parser.add_argument("--no-equal-time", action="store_true", help="only as many trials as the script's")
    parser.add_argument("--markdown", action="store_true", help="print the table as the README has it")
    arguments = parser.parse_args()
    arguments.only = [name for part in arguments.only or [names] for name in part]
    arguments.rounds = 1 if arguments.short else arguments.rounds
    if arguments.rounds < 1:
        parser.error("--rounds is at least 1")
    there = [case for case in CASES if case.name in arguments.only and _is_there(case, arguments.data)]
    arguments.cases = [_of(case, arguments) for case in there]
    arguments.data = arguments.data or Path()
    return arguments


def _is_there(case: Case, data: Path | None) -> bool:
    file = _FOLDERS.get(case.name)
    found = file is None or (data is not None and (data / file).exists())
    if not found:
        note(f"{case.name} is left out: there is no {file} below --data")
    return found


def _of(case: Case, arguments: argparse.Namespace) -> Case:
    in_equal_time = case.in_equal_time and not arguments.no_equal_time
    case = replace(case, optimizers=tuple(arguments.optimizers), in_equal_time=in_equal_time)
    return replace(case, trials=2, epochs=2) if arguments.short else case


if __name__ == "__main__":
    main()
