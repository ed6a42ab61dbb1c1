"""`kill -9` in ingest, split and prepare, at random instants: what is resumed ends as if nothing had happened."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from tests.helpers import cli, last_json, ok, sets, write_csv

# The process kills itself before the n-th time that it opens, makes, renames or removes something in the run: between
# these moments files only grow.
SUICIDE = """
import os, signal, sys
left = int(sys.argv[1])
def watch(event, arguments):
    global left
    if event in ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir") and "/runs" in str(arguments[0]):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
sys.argv = ["pipeline", "run", "c.toml", "--until", "prepare", "--quiet", *sys.argv[2:]]
from pipeline.cli import main
main()
print(-left)
"""
COMMAND = ("run", "c.toml", "--until", "prepare")
ROUNDS = 5


def table(folder: Path) -> Path:
    rows = np.random.default_rng(0)
    colours = ["red", "green", "blue"]
    write_csv(
        folder / "rows.csv",
        [
            {
                "x": "old" if row == 7 else f"{rows.normal():.3f}",
                "colour": colours[row % 3],
                "n": str(row % 9),
                "y": "ab"[row % 2],
            }
            for row in range(300)
        ],
    )
    ok(cli(folder, "init", "rows.csv", "--label", "y", "--output", "c.toml"))
    return folder


def run_until_killed(folder: Path, instant: int, *overrides: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SUICIDE, str(instant), *sets(*overrides)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def left_behind(folder: Path) -> dict[str, bytes]:
    """Every file of the run and its content, without times and without the folder's name."""
    found = {}
    for path in (
        path for path in (folder / "runs").rglob("*") if path.is_file() and path.name not in (".hashes.json", ".lock")
    ):
        content = path.read_bytes()
        if path.name == "manifest.json":
            manifest = {
                key: value for key, value in json.loads(content).items() if key not in ("seconds", "finished", "files")
            }
            content = json.dumps(manifest, sort_keys=True).replace(str(folder), "").encode()
        elif path.suffix == ".parquet":
            content = str(pq.read_table(path).to_pylist()).replace(str(folder), "").encode()
        found[str(path.relative_to(folder))] = content
    return found


def test_kills_between_any_two_writes_change_nothing(tmp_path: Path) -> None:
    whole, killed = table(tmp_path / "aaaaaa"), table(tmp_path / "bbbbbb")
    ok(cli(whole, *COMMAND))
    # Another split of the same rows: the ledger of test rows is read and grows, too.
    overrides = ("seed=5",)
    ok(cli(whole, *COMMAND, *sets(*overrides)))

    instants = random.Random(20261123)
    deaths = 0
    for given in ((), overrides):
        for _ in range(ROUNDS):
            done = run_until_killed(killed, instants.randint(1, 60), *given)
            deaths += done.returncode == -signal.SIGKILL
            assert "Traceback" not in done.stderr, done.stderr
        last_json(cli(killed, *COMMAND, "--json", *sets(*given)))
    assert deaths >= ROUNDS, "the runs were over before they could be killed"
    assert not list(killed.rglob(".tmp-*"))
    assert not list((killed / "runs").rglob("*.tmp"))
    expected, found = left_behind(whole), left_behind(killed)
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []
