"""What is published, looked up without TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.errors import ExportError
from pipeline.runs import read_json

_EXTRA = Path("assets.extra")
ABOUT = _EXTRA / "pipeline.json"
# The statistics of the train rows, for drift.
STATISTICS = _EXTRA / "statistics.json"


def versions(directory: Path) -> list[int]:
    """The versions that exist in `saved_models/<name>`."""
    names = [path.name for path in directory.iterdir()] if directory.is_dir() else []
    return [int(name) for name in names if name.isdigit()]


def latest_statistics(directory: Path) -> dict[str, Any] | None:
    """The statistics of the highest version, as JSON; None where there is none, or it has none.

    Raises:
      ExportError: they cannot be read.
    """
    existing = versions(directory)
    path = directory / str(max(existing, default=0)) / STATISTICS
    if not path.exists():
        return None
    try:
        found: dict[str, Any] = read_json(path)
    except (OSError, ValueError) as error:
        raise ExportError(
            f"{path} cannot be read: {error}",
            expected="the statistics of the published model's train rows",
            fix='Publish it again; or checks.drift = "ignore".',
        ) from error
    return found
