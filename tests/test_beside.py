"""The tests in two processes: each is run once, and whatever goes wrong in either is seen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import wait_until

ROOT = Path(__file__).resolve().parents[1]
# Each test leaves a line with its name and its process.
TEST = """
import os, pathlib, time
import pytest

@pytest.mark.parametrize("number", range({count}))
def test_one(number):
    with open({log!r}, "a") as log:
        log.write(f"{name} {{number}} {{os.getpid()}}\\n")
    time.sleep({seconds})
    {then}
"""


def write(folder: Path, name: str, then: str = "pass", count: int = 3, seconds: float = 0.01) -> None:
    values = {"name": name, "then": then, "count": count, "seconds": seconds, "log": str(folder / "log")}
    (folder / f"test_{name}.py").write_text(TEST.format(**values))


def command(folder: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "tests", *arguments, str(folder)]


def in_two(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(folder, *arguments), cwd=ROOT, capture_output=True, text=True, check=False)


def lines(folder: Path) -> list[list[str]]:
    return [line.split() for line in (folder / "log").read_text().splitlines()]


def test_every_test_is_run_once_and_a_module_by_one_process(tmp_path: Path) -> None:
    names = "abcdefgh"
    for name in names:
        write(tmp_path, name, seconds=0.1)
    done = in_two(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "24 passed in " in done.stdout.splitlines()[-1]
    found = lines(tmp_path)
    assert sorted(line[:2] for line in found) == [[name, str(number)] for name in names for number in range(3)]
    assert len({(name, process) for name, _, process in found}) == len(names)
    assert len({process for *_, process in found}) == 2


@pytest.mark.parametrize("where", "ac")
def test_a_failure_in_either_process_is_shown(where: str, tmp_path: Path) -> None:
    for name in "abc":
        write(tmp_path, name, "assert number != 1" if name == where else "pass")
    done = in_two(tmp_path)
    assert done.returncode == 1
    assert f"test_{where}.py::test_one[1]" in done.stdout
    assert "8 passed, 1 failed in " in done.stdout.splitlines()[-1]


@pytest.mark.parametrize("where", "ac")
def test_a_process_that_dies_is_an_error_whatever_its_exit_code(where: str, tmp_path: Path) -> None:
    for name in "abc":
        write(tmp_path, name, "os._exit(0)" if name == where else "pass", seconds=0.5 if name != "b" else 0.01)
    done = in_two(tmp_path)
    assert done.returncode == 1
    assert f"error: the process from the {'front' if where == 'a' else 'back'} died" in done.stderr


def test_arguments_are_handed_on(tmp_path: Path) -> None:
    for name in "ab":
        write(tmp_path, name)
    assert "2 passed in " in in_two(tmp_path, "-k", "one and 1").stdout.splitlines()[-1]
    assert in_two(tmp_path, "-k", "nothing").returncode == 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_both(number: signal.Signals, tmp_path: Path) -> None:
    for name in "ab":
        write(tmp_path, name, seconds=60)
    process = subprocess.Popen(command(tmp_path), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    wait_until(lambda: (tmp_path / "log").exists() and len(lines(tmp_path)) == 2)
    process.send_signal(number)
    out, _ = process.communicate(timeout=50)
    assert process.returncode == 130
    assert out.count("no tests ran in ") == 2
    for *_, started in lines(tmp_path):
        with pytest.raises(ProcessLookupError):
            os.kill(int(started), 0)
