"""Refusals of arguments, so that all transforms refuse alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.errors import ConfigError


def check_range(transform: Any, name: str, least: int, most: int | None = None) -> None:
    """Refuses a whole number that is out of range; None is none.

    Args:
      transform: whose argument it is.
      name: of the argument.
      least, most: the range, ends included.

    Raises:
      ConfigError: it is out of range.
    """
    value = getattr(transform, name)
    if value is not None and (value < least or (most is not None and value > most)):
        expected = f"{least:,} or more" if most is None else f"a whole number from {least:,} to {most:,}"
        raise ConfigError(f"{type(transform).__name__}: {name} is {value}.", expected=expected)


def check_choice(transform: Any, name: str, choices: Sequence[Any]) -> None:
    """Refuses what is none of the choices.

    Raises:
      ConfigError: it is none.
    """
    value = getattr(transform, name)
    if value not in choices:
        shown = f'"{value}"' if isinstance(value, str) else value
        expected = f"one of {', '.join(str(choice) for choice in choices)}"
        raise ConfigError(f"{type(transform).__name__}: {name} is {shown}.", expected=expected)
