"""What every stage is given, and how it acts on what it finds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.config import Config
from pipeline.errors import DataError
from pipeline.progress import Reporter


@dataclass(frozen=True)
class Context:
    """What a stage is given.

    Attributes:
      config: of the run.
      inputs: stage name -> directory of its artifact, for the stages it needs.
      out: the directory to write into.
      fingerprint: of what it makes.
      reporter: for progress.
      run_directory: of the run, above all artifacts.
      remembered: what the ledger of held-out rows said before this stage was first made; None: it was empty.
    """

    config: Config
    inputs: dict[str, Path]
    out: Path
    fingerprint: str
    reporter: Reporter
    run_directory: Path
    remembered: str | None = None


def act(reporter: Reporter, action: str, line: str, key: str) -> None:
    """Warns, or stops the run.

    Raises:
      DataError: the action is stop.
    """
    if action == "stop":
        raise DataError(line, fix=f'Mend the data; or {key} = "warn" in the config.')
    if action == "warn":
        reporter.warn(line)
