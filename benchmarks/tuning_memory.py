"""What 200 trials leave behind in the memory of one process: ours, and those of the script beside it.

    python -m benchmarks.tuning_memory ours --trials 200
    python -m benchmarks.tuning_memory script --trials 24

The last line printed is a JSON object: bytes held after the warm-up and at the end, and the trials in between.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.report import Result, timed
from benchmarks.tuning_cases import CASES, Case
from benchmarks.tuning_rows import Rows
from benchmarks.tuning_run import config_of
from pipeline import runner
from pipeline.progress import Advance, Reporter, silent

# Trained at once, and before it is first measured: graphs, threads and pools are made once.
_POPULATION = 16
_SCRIPT_WARM_UP = 4


@dataclass
class Watched(Reporter):
    """Remembers what the process held whenever trials had ended: (trials, bytes)."""

    seen: list[tuple[float, int]] = field(default_factory=list)

    @contextlib.contextmanager
    def bar(self, description: str, total: int | None = None) -> Iterator[Advance]:
        """Shows nothing."""

        def advance(steps: float = 1, info: str = "") -> None:
            done = self.seen[-1][0] if self.seen else 0
            self.seen.append((done + steps, held_bytes()))  # parts of trials are told, too

        yield advance


def results(short: bool) -> list[Result]:
    """Both sides, each in a process of its own."""
    found = {}
    for side, trials in (("ours", 40 if short else 200), ("script", 8 if short else 24)):
        command = [sys.executable, "-m", "benchmarks.tuning_memory", side, "--trials", str(trials)]
        _, _, said = timed(command, Path(__file__).parents[1])
        found[side] = json.loads(said.splitlines()[-1])
    growth = {side: (one["end"] - one["begin"]) / 2**20 for side, one in found.items()}
    trials, by_trial = found["ours"]["trials"], growth["script"] / found["script"]["trials"]
    return [
        Result(f"memory: growth of ours over {trials} trials", growth["ours"], "MiB", "<= 50"),
        Result("memory: growth of the script by a trial", by_trial, "MiB"),
        Result(f"memory: growth of the script, {trials} trials", by_trial * trials, "MiB"),
    ]


def held_bytes() -> int:
    """`VmRSS` of this process, as it is: who leaves garbage behind holds it."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def _ours(case: Case, folder: Path) -> list[tuple[float, int]]:
    config = config_of(case, case.source(folder, folder), folder, 0)
    config = config.override({"tune.population": _POPULATION})
    runner.run(config, silent(), until="prepare")
    watched = Watched(quiet=True)
    runner.run_stage(config, watched, "tune")
    seen = [one for one in watched.seen if one[0] >= _POPULATION]
    return [seen[0], seen[-1]]  # what the page needs for its plots is not of the trials


def _script(case: Case, folder: Path) -> list[tuple[float, int]]:
    from benchmarks import tuning_script as plain

    config = config_of(case, case.source(folder, folder), folder, 0)
    rows = Rows.of(runner.run(config, silent(), until="prepare").stages[-1].directory)
    seen: list[tuple[float, int]] = []

    class Watching(plain.Plain):
        def build(self, hp: Any) -> Any:
            seen.append((len(seen), held_bytes()))
            return super().build(hp)

    tuner = plain.tuner(Watching(rows.spec, case.model, case.space), case.trials, 0, str(folder))
    plain.search(tuner, rows, case.epochs, case.batch_size)
    return [seen[_SCRIPT_WARM_UP], (len(seen), held_bytes())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("side", choices=["ours", "script"])
    parser.add_argument("--trials", type=int, required=True)
    arguments = parser.parse_args()
    tiny = replace(
        next(case for case in CASES if case.name == "digits"),
        model={"name": "mlp", "width": 16, "depth": 2}, trials=arguments.trials, epochs=2,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        side = _ours if arguments.side == "ours" else _script
        (first, begin), (last, end) = side(tiny, Path(folder))
    print(json.dumps({"trials": round(last - first), "begin": begin, "end": end}))


if __name__ == "__main__":
    main()
