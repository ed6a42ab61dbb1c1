"""Fitted transforms as plain values and back: by the place of their class, so that there is no list of classes."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from pipeline.resolve import import_thing

_CLASS, _STATE = "class", "state"


def to_plain(fitted: Any) -> list[Any]:
    """`["module:Class", {field: value}]`, also of dataclasses within it: what JSON can hold.

    Args:
      fitted: a dataclass of numbers, text, booleans, None, tuples, mappings from text, and such dataclasses.

    Example:
      >>> from pipeline.data.transforms.vocabulary import FittedVocabulary
      >>> to_plain(FittedVocabulary(("a", "b")))
      ['pipeline.data.transforms.vocabulary:FittedVocabulary', {'tokens': ['a', 'b']}]
    """
    kind = type(fitted)
    state = {field.name: _plain(getattr(fitted, field.name)) for field in fields(fitted)}
    return [f"{kind.__module__}:{kind.__qualname__}", state]


def from_plain(kind: str, state: dict[str, Any]) -> Any:
    """The inverse of `to_plain`.

    Raises:
      ConfigError: the class is not where it was when this was written.
    """
    target = import_thing(kind, "transforms")
    return target(**{name: _restored(value) for name, value in state.items()})


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        kind, state = to_plain(value)
        return {_CLASS: kind, _STATE: state}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value


def _restored(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_restored(item) for item in value)
    if isinstance(value, dict):
        if set(value) == {_CLASS, _STATE}:
            return from_plain(value[_CLASS], value[_STATE])
        return {name: _restored(item) for name, item in value.items()}
    return value
