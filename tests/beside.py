"""One of two pytest processes that share the tests module by module; `python -m tests` starts them.

A module belongs to the process that makes its directory first. One process goes through the modules from the front, one
from the back, so they meet wherever they meet, however long each takes.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest


@dataclass
class Report:
    """What became of the tests of one process.

    Attributes:
      code: pytest's exit code.
      collected: tests that both processes know of.
      ran: tests of the modules that this one took.
      outcomes: pytest's word for them -> how many; a test that fails and whose fixture does, too, counts twice.
    """

    code: int = 0
    collected: int = 0
    ran: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)


class Beside:
    """The plug-in: collects every test, runs those of the modules that it is the first to take.

    Args:
      folder: that the processes share, empty at first.
      backwards: whether to begin with the last module.
    """

    def __init__(self, folder: Path, *, backwards: bool) -> None:
        self._folder, self._backwards, self._is_mine = folder, backwards, dict[str, bool]()
        self.report = Report()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """After all who select tests or order them."""
        modules: dict[str, list[pytest.Item]] = {}
        for item in items:
            modules.setdefault(_module(item), []).append(item)
        order = reversed(modules) if self._backwards else modules
        items[:] = [item for module in order for item in modules[module]]
        self.report.collected = len(items)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        """True says that the test is dealt with: nobody runs it here, and nothing is reported of it."""
        module = _module(item)
        if module not in self._is_mine:
            self._is_mine[module] = self._take(module)
        if not self._is_mine[module]:
            return True
        self.report.ran += 1
        return None

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        words = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")
        found = {word: len(terminalreporter.stats.get(word, ())) for word in words}
        self.report.outcomes = {word: count for word, count in found.items() if count}

    def _take(self, module: str) -> bool:
        try:
            (self._folder / module.replace("/", ".")).mkdir()
        except FileExistsError:
            return False
        return True


def _module(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


def main(folder: str, side: str, *arguments: str) -> int:
    """Runs pytest with the arguments, and leaves a `Report` beside the shared folder: without it, the process died."""
    beside = Beside(Path(folder), backwards=side == "back")
    # What failed last is one file, and each of the two would know only of its own.
    code = pytest.main(["-p", "no:cacheprovider", *arguments], plugins=[beside])
    beside.report.code = int(code)
    Path(f"{folder}-{side}.json").write_text(json.dumps(asdict(beside.report)), encoding="utf-8")
    return int(code)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
