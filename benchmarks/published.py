"""What the default models reach on published splits, beside the figures that networks of their kind are known for.

Every number is that of `python -m pipeline run` of a recipe in `benchmarks/published/`, without tuning, in a process of
its own for each seed: the metric on test from `evaluation.json`, and the seconds that the training took.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.published_run import GOALS, MADE, TIMES_BOOSTED, Goal, Measured, limit_of, measure
from benchmarks.report import Result, machine, note

_COLUMNS = ("set", "metric", "test, mean ± sd", "seeds", "goal", "training", "limit", "holds")
_FOLDERS = ("--data", "--runs")


@dataclass(frozen=True)
class Row:
    """A set with what its seeds gave; nothing where a run failed."""

    goal: Goal
    found: list[Measured]

    def results(self) -> list[Result]:
        """For the line of JSON."""
        name, limit = self.goal.name, limit_of(self.goal, self.found)
        metrics = [one.metric for one in self.found]
        results = [
            Result(f"{name}: {self.goal.metric}", statistics.mean(metrics), self.goal.metric, self.goal.bound),
            Result(f"{name}: sd of {len(metrics)} seeds", _sd(metrics), self.goal.metric),
            Result(f"{name}: training", self._mean("seconds"), "s", None if limit is None else f"<= {limit:.4g}"),
            Result(f"{name}: stage train", self._mean("stage_seconds"), "s"),
            Result(f"{name}: epochs", self._mean("epochs"), "epochs"),
        ]
        if beside := [one.boosted for one in self.found if one.boosted]:
            results += [
                Result(f"{name}: training of gradient boosting", statistics.mean(one.seconds for one in beside), "s"),
                Result(f"{name}: auc of gradient boosting", statistics.mean(one.auc for one in beside), "auc"),
            ]
        return results

    def cells(self) -> tuple[str, ...]:
        """For people, in the order of `_COLUMNS`."""
        name, metric, bound = self.goal.name, self.goal.metric, self.goal.bound
        if not self.found:
            return (name, metric, "failed", "", bound, "", "", "NO")
        limit, results = limit_of(self.goal, self.found), self.results()
        value = f"{results[0].value:.4f}" + (f" ± {results[1].value:.4f}" if len(self.found) > 1 else "")
        holds = "yes" if all(result.holds is not False for result in results) else "NO"
        allowed = "" if limit is None else _seconds(limit)
        return (name, metric, value, str(len(self.found)), bound, _seconds(self._mean("seconds")), allowed, holds)

    def footnote(self) -> str | None:
        """What gradient boosting reached, where it was asked."""
        beside = [one.boosted for one in self.found if one.boosted]
        if not beside:
            return None
        auc, seconds = statistics.mean(one.auc for one in beside), statistics.mean(one.seconds for one in beside)
        return (
            f"{self.goal.name}: scikit-learn's HistGradientBoostingClassifier(early_stopping=True) reaches an auc of "
            f"{auc:.4f} in {_seconds(seconds)}, in the same turns; the limit is {TIMES_BOOSTED:g} times that. "
            f"Our whole stage train takes {_seconds(self._mean('stage_seconds'))}."
        )

    def _mean(self, name: str) -> float:
        return statistics.mean(getattr(one, name) for one in self.found)


def _seconds(value: float) -> str:
    return f"{value:.0f} s" if value >= 20 else f"{value:.1f} s"


def _sd(values: list[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


def show(rows: list[Row]) -> None:
    """The table for a terminal."""
    table = Table(*_COLUMNS, title="published", caption=_where())
    for row in rows:
        table.add_row(*row.cells())
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    for row in rows:
        if footnote := row.footnote():
            console.print(footnote, highlight=False)


def markdown(rows: list[Row], command: str) -> str:
    """The table as it stands in the README."""
    lines = ["| " + " | ".join(_COLUMNS) + " |", "|---|---|---|---|---|---|---|---|"]
    lines += ["| " + " | ".join(row.cells()) + " |" for row in rows]
    footnotes = [footnote for row in rows if (footnote := row.footnote())]
    measured = f"Measured on {time.strftime('%Y-%m-%d', time.gmtime())}: {_where()}. Command: `{command}`."
    return "\n".join([*lines, "", *footnotes, *([""] if footnotes else []), measured])


def _where() -> str:
    about = machine()
    gibibytes = about["memory_bytes"] / 2**30
    return f"{about['cpu']}, {about['cores']} cores, {gibibytes:.0f} GiB, TensorFlow {about['tensorflow']}"


def _command() -> str:
    """As it was called; where the folders lie is nobody's business."""
    words = ["python", "-m", "benchmarks.published", *sys.argv[1:]]
    places = {word: words[place - 1][2:].upper() for place, word in enumerate(words) if words[place - 1] in _FOLDERS}
    return shlex.join(places.get(word, word) for word in words)


def main() -> None:
    arguments = _arguments()
    wanted = [goal for goal in GOALS if not arguments.only or goal.name in arguments.only]
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.runs or Path(temporary)).absolute()
        for goal in wanted:
            try:
                found = measure(goal, arguments.data, folder, arguments.seeds, arguments.short)
            except RuntimeError as error:  # an hour of other sets is not lost
                note(f"{goal.name} failed: {error}")
                found = []
            rows.append(Row(goal, found))
    if arguments.markdown:
        print(markdown(rows, _command()))
    else:
        show(rows)
    results = [result.to_json() for row in rows if row.found for result in row.results()]
    print(json.dumps({"benchmark": "published", "machine": machine(), "results": results}))
    sys.exit(int(not all(row.found for row in rows)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(), help="the folder of the sets; default: the current one")
    parser.add_argument(
        "--only", action="append", nargs="+", choices=[goal.name for goal in GOALS], metavar="SET",
        help="these sets; may be given several times",
    )  # fmt: skip
    parser.add_argument("--seeds", type=int, default=3, help="of each set but images, which have one; default: 3")
    parser.add_argument("--short", action="store_true", help="one seed, and a budget of 5 s; the numbers say nothing")
    parser.add_argument("--runs", type=Path, help="keep the runs there; what is done there is not done again")
    parser.add_argument("--markdown", action="store_true", help="print the table as the README has it")
    arguments = parser.parse_args()
    arguments.only = [name for names in arguments.only or [] for name in names]
    arguments.seeds = 1 if arguments.short else arguments.seeds
    for goal in GOALS:
        wanted = not arguments.only or goal.name in arguments.only
        if wanted and goal.name != MADE and not goal.source(arguments.data).exists():
            parser.error(f"{goal.source(arguments.data)} does not exist: name the folder of the sets with --data")
    return arguments


if __name__ == "__main__":
    main()
