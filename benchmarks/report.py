"""What the benchmarks share: a command timed, a table for people, and one line of JSON for machines."""

from __future__ import annotations

import importlib.metadata
import json
import operator
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

_COMPARISONS = {">=": operator.ge, "<=": operator.le}


@dataclass(frozen=True)
class Result:
    """One number.

    Attributes:
      name: what was measured.
      value: the median, where it was measured several times.
      unit: of the value.
      goal: ">= 1.0" or "<= 0.5"; None for a number that only informs.
    """

    name: str
    value: float
    unit: str
    goal: str | None = None

    @property
    def holds(self) -> bool | None:
        """Whether the goal is met; None without one."""
        if self.goal is None:
            return None
        sign, bound = self.goal.split()
        return bool(_COMPARISONS[sign](self.value, float(bound)))

    def to_json(self) -> dict[str, Any]:
        """The object in the JSON line."""
        return {"name": self.name, "value": self.value, "unit": self.unit, "goal": self.goal, "holds": self.holds}


def report(benchmark: str, results: Sequence[Result]) -> None:
    """Prints the table and, last, the line of JSON."""
    about = machine()
    table = Table(
        "measured", "value", "unit", "goal", "holds", title=benchmark, caption=", ".join(map(str, about.values()))
    )
    for result in results:
        holds = {None: "", True: "yes", False: "NO"}[result.holds]
        table.add_row(result.name, f"{result.value:.4g}", result.unit, result.goal or "", holds)
    Console(width=None if sys.stdout.isatty() else 110).print(table)
    print(json.dumps({"benchmark": benchmark, "machine": about, "results": [result.to_json() for result in results]}))


def machine() -> dict[str, Any]:
    """Where it was measured; TensorFlow's version is read without importing it."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "python": platform.python_version(),
        "tensorflow": importlib.metadata.version("tensorflow"),
    }


def timed(command: Sequence[str | Path], cwd: Path) -> tuple[float, float, str]:
    """Runs a command as a process of its own.

    Returns:
      Seconds from start to end, seconds of CPU that it and its children used, and its standard output.

    Raises:
      RuntimeError: it failed; with what it wrote.
    """
    env = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1]), "TF_CPP_MIN_LOG_LEVEL": "3"}
    started, cpu_started = time.perf_counter(), _cpu_seconds_of_children()
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=env, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(f"{command} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return seconds, _cpu_seconds_of_children() - cpu_started, done.stdout


def peak_bytes() -> int:
    """The most memory that this process ever held.

    Linux counts into `ru_maxrss` what the process that started this one held then; `VmHWM` is this one's own.
    """
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="utf-8").splitlines() if status.exists() else []
    found = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
    return 1024 * (found[0] if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def note(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


def _cpu_seconds_of_children() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
