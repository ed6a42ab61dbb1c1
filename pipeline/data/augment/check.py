"""Arguments that make no sense are refused before anything runs."""

from __future__ import annotations

from typing import Any

from pipeline.errors import ConfigError


def check_range(operation: Any, name: str, low: float, high: float) -> None:
    """Refuses an argument of an augmentation outside its range.

    Raises:
      ConfigError: it is below `low`, above `high` or not a number.
    """
    value = getattr(operation, name)
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise ConfigError(
            f"{type(operation).__name__}: {name} is {value!r}.", expected=f"a number from {low:g} to {high:g}"
        )
