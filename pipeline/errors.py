"""What can go wrong, as people meet it: what came, what was expected, how to mend it.

Every error that a user can cause is a `PipelineError`; its `exit_code` is what the command line returns.
Anything else that escapes is a fault of ours and ends with exit code 1 and a traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PipelineError(Exception):
    """An error with a cause that a user can see and mend.

    Args:
      message: one sentence: where, and what came.
      expected: what would have been right, or None where the message says it.
      fix: how to go on, or None.

    Example:
      >>> print(PipelineError("rows.csv is empty.", expected="a header and rows", fix="Export it again."))
      rows.csv is empty.
        expected: a header and rows
        fix:      Export it again.
    """

    exit_code = 1

    def __init__(self, message: str, *, expected: str | None = None, fix: str | None = None) -> None:
        self.message = message
        self.expected = expected
        self.fix = fix
        super().__init__(message)

    def __reduce__(self) -> tuple[object, ...]:
        """Survive pickling, so that an error can cross a process with its parts."""
        return (_rebuild, (type(self), self.message, self.expected, self.fix))

    def __str__(self) -> str:
        lines = [self.message]
        if self.expected:
            lines.append(f"  expected: {self.expected}")
        if self.fix:
            lines.append(f"  fix:      {self.fix}")
        return "\n".join(lines)


class ConfigError(PipelineError):
    """The config, or the command line, asks for something that does not exist or does not fit."""

    exit_code = 2


class DataError(PipelineError):
    """The data cannot be read, or are not what the config and the schema say."""

    exit_code = 3


class TrainingError(PipelineError):
    """Training cannot go on: the loss is not finite, or the model does not fit the data."""

    exit_code = 4


class TuningError(PipelineError):
    """No trial of a search succeeded, or the search space is unusable."""

    exit_code = 5


class ExportError(PipelineError):
    """The SavedModel does not answer as the trained model does, or cannot be published or used."""

    exit_code = 6


class RunError(PipelineError):
    """The run directory is in use, cannot be written, or lacks what a stage needs."""

    exit_code = 7


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that a person most likely meant by `name`, or None.

    >>> nearest("lable", ["label", "seed"])
    'label'
    """
    by_lower = {known.lower(): known for known in names}
    match = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.6)
    return by_lower[match[0]] if match else None


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """`'Did you mean "label"? '` or an empty string: the start of a fix."""
    match = nearest(name, names)
    return f'Did you mean "{match}"? ' if match else ""


def _rebuild(kind: type[PipelineError], message: str, expected: str | None, fix: str | None) -> PipelineError:
    return kind(message, expected=expected, fix=fix)
