"""All tests in two processes: `python -m tests`; whatever stands behind it is handed on to pytest.

One process keeps hardly more than one core busy. The output of one is shown as it comes, that of the other thereafter.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.beside import Report

SIDES = ("front", "back")
# For pytest to take its fixtures down after an interrupt.
_SECONDS_TO_END = 30


def main(arguments: Sequence[str]) -> int:
    """The exit code: 0 only if both processes came to their end, every test was run once and none failed."""
    started = time.monotonic()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the first is ignored where a shell began it with &
        signal.signal(number, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as folder:
        shared = Path(folder) / "modules"
        shared.mkdir()
        interrupted = _run(shared, arguments)
        reports = {side: _report(shared, side) for side in SIDES}
    print(f"\n{_summary(list(reports.values()))} in {time.monotonic() - started:.0f} s by two processes")
    errors = _errors(reports)
    for error in errors:
        print(f"error: {error}", file=sys.stderr)
    return 130 if interrupted else max([int(bool(errors)), *(report.code for report in reports.values() if report)])


def _run(shared: Path, arguments: Sequence[str]) -> bool:
    """Whether the processes were interrupted; both are over then."""
    log = Path(f"{shared}-back.txt")
    with log.open("w") as writing, log.open() as reading:
        processes = [_start(shared, side, arguments, out) for side, out in zip(SIDES, (None, writing), strict=True)]
        try:
            processes[0].wait()
            print("\nthe other process:", flush=True)
            _show(reading, processes[1])
        except KeyboardInterrupt:
            _end(processes)
            print(reading.read(), flush=True)
            return True
    return False


def _start(shared: Path, side: str, arguments: Sequence[str], out: Any) -> subprocess.Popen[bytes]:
    """In a process group of its own: Ctrl-C reaches it once, from here, with all that it has started."""
    command = [sys.executable, "-m", "tests.beside", str(shared), side, *arguments]
    error = None if out is None else subprocess.STDOUT
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=error, process_group=0)


def _show(log: Any, process: subprocess.Popen[bytes]) -> None:
    """What it has written, and what it writes until its end."""
    is_over = False
    while not is_over:
        is_over = process.poll() is not None
        print(log.read(), end="", flush=True)
        time.sleep(0.0 if is_over else 0.2)


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Interrupts them; kills what does not end, and at another Ctrl-C at once."""
    try:
        _signal(processes, signal.SIGINT)
        for process in processes:
            process.wait(_SECONDS_TO_END)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        _signal(processes, signal.SIGKILL)
    for process in processes:
        process.wait()


def _signal(processes: Sequence[subprocess.Popen[bytes]], number: signal.Signals) -> None:
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, number)


def _report(shared: Path, side: str) -> Report | None:
    """None where it died before it could write one."""
    path = Path(f"{shared}-{side}.json")
    return Report(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def _summary(reports: Sequence[Report | None]) -> str:
    outcomes = Counter[str]()
    for report in reports:
        outcomes.update(report.outcomes if report else {})
    return ", ".join(f"{count} {word}" for word, count in outcomes.items()) or "no test was run"


def _errors(reports: dict[str, Report | None]) -> list[str]:
    """What the exit codes do not say."""
    dead = [f"the process from the {side} died" for side, report in reports.items() if report is None]
    found = [report for report in reports.values() if report]
    ran, collected = sum(report.ran for report in found), {report.collected for report in found}
    # A process that was told to stop at a failure has said so.
    if dead or any(report.code for report in found) or collected == {ran}:
        return dead
    return [f"{ran} tests were run, and {' and '.join(map(str, sorted(collected)))} collected"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
