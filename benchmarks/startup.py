"""What a person waits for when nothing is computed: `pipeline --help`, and `pipeline run` when all is done."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report import Result, report, timed

_CONFIG = """
source = "rows.csv"
label = "kind"
[model]
name = "mlp"
width = 4
[train]
epochs = 1
[tune]
trials = 0
"""


def median_seconds(command: Sequence[str | Path], cwd: Path, times: int) -> float:
    """Once to warm the disk cache, then the median of so many."""
    timed(command, cwd)
    return statistics.median(timed(command, cwd)[0] for _ in range(times))


def write_experiment(folder: Path) -> Path:
    """A small table and a tiny config."""
    rows = "".join(f"{row},{row * 7 % 11},{'even' if row % 2 == 0 else 'odd'}\n" for row in range(300))
    (folder / "rows.csv").write_text("a,b,kind\n" + rows, encoding="utf-8")
    config = folder / "tiny.toml"
    config.write_text(_CONFIG, encoding="utf-8")
    return config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="three repetitions instead of nine")
    times = 3 if parser.parse_args().short else 9
    pipeline = [sys.executable, "-m", "pipeline"]
    with tempfile.TemporaryDirectory() as folder:
        config = write_experiment(Path(folder))
        usage = median_seconds([*pipeline, "--help"], Path(folder), times)
        timed([*pipeline, "run", config, "--quiet"], Path(folder))
        idle = median_seconds([*pipeline, "run", config], Path(folder), times)
    report(
        "startup",
        [
            Result("pipeline --help", usage, "s", "<= 0.5"),
            Result("pipeline run, nothing to do", idle, "s", "<= 1.5"),
        ],
    )


if __name__ == "__main__":
    main()
