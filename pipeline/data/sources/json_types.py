"""The columns of JSON objects, told from the first of them, and single values made to fit a column."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

# The keys on the way to a value: ("age",), or ("address", "city") in an object within the object.
Keys = tuple[str, ...]
Scalar = bool | int | float | str
_INT64 = 2**63
TAGS = pa.list_(pa.string())


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
      path: the keys to its values.
      type: float64, int64, bool, string or list<string>.
      parsed: the type in which Arrow reads it, perhaps narrower (list<int64>); None: only Python can, as its values
        have several types or are objects within objects.
    """

    path: Keys
    type: pa.DataType
    parsed: pa.DataType | None

    @cached_property
    def name(self) -> str:
        """The keys joined by dots."""
        return ".".join(self.path)

    @cached_property
    def unchanged(self) -> type | None:
        """Python's type whose values all fit as they are."""
        return _UNCHANGED.get(self.type)


def parse_line(line: bytes) -> dict[str, Any]:
    """The object on a line.

    Raises:
      ValueError: with the reason that it is none.
    """
    try:
        text = line.decode()
        value = json.loads(text, object_pairs_hook=_unrepeated)
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1}, {line[error.start]:#04x}, is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON: {error.msg.lower()} at character {error.colno}") from None
    except RecursionError:
        raise ValueError("objects within objects, too many to read") from None
    if not isinstance(value, dict):
        raise ValueError(f"{_kind_name(value)} where an object should be")
    if "\\ud" in text.lower():
        _check_surrogates(value)
    return value


def items(value: dict[str, Any]) -> Iterator[tuple[Keys, Any]]:
    """The values of an object and of the objects directly in it."""
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from (((key, name), found) for name, found in inner.items())
        else:
            yield (key,), inner


def columns_of_objects(objects: Iterable[dict[str, Any]]) -> tuple[Column, ...]:
    """The columns of all objects, in the order in which their keys appear.

    >>> [(column.name, str(column.type)) for column in columns_of_objects([{"a": 1, "b": {"c": [True]}}, {"a": 0.5}])]
    [('a', 'double'), ('b.c', 'list<item: string>')]
    """
    seen: dict[Keys, set[str]] = {}
    parents: set[Keys] = set()
    for value in objects:
        parents.update((key,) for key, inner in value.items() if isinstance(inner, dict))
        for path, found in items(value):
            tags = seen.setdefault(path, set())
            tags.add(_tag(found))
            if type(found) is list:
                tags.update(f"in list: {_tag(element)}" for element in found)
    mixed = {path for path in parents if seen.get(path, set()) - {"null"}}
    # An object in one row and a number in another: both become text. Null beside objects is the lack of one.
    kept = {path: tags for path, tags in seen.items() if path not in parents and path[:1] not in mixed}
    kept |= {path: {"object"} for path in mixed}
    return tuple(Column(path, *_types(kept[path])) for path in dict.fromkeys((*seen, *mixed)) if path in kept)


def fitted(value: Any, column: Column) -> Any:
    """A value in the type of a column.

    Raises:
      ValueError: it does not fit, with the reason.
    """
    if value is None or type(value) is column.unchanged:
        return value
    if column.type == pa.string():
        return _text(value)
    if column.type == TAGS and type(value) is list and not any(isinstance(found, list | dict) for found in value):
        return [_text(found) for found in value if found is not None]
    number = None if column.type == TAGS or column.type == pa.bool_() else _number(value)
    if column.type == pa.float64() and number is not None:
        return _float(number)
    if number is not None and _is_int64(number):
        return int(number)
    raise ValueError(f'column "{column.name}": {_kind_name(value)} where the first lines have {_WORDS[column.type]}')


_WORDS = {
    pa.float64(): "numbers",
    pa.int64(): "whole numbers",
    pa.bool_(): "true and false",
    TAGS: "lists of numbers or text",
}
_TAGS_OF_TYPES = {type(None): "null", bool: "bool", float: "float", str: "text", list: "list", dict: "object"}
# Python's types of which every value is one of the column's.
_UNCHANGED = {pa.string(): str, pa.float64(): float, pa.bool_(): bool}


def _types(tags: set[str]) -> tuple[pa.DataType, pa.DataType | None]:
    """The type of a column, and that in which Arrow reads it."""
    within = {tag for tag in tags if tag.startswith("in list: ")}
    outer = tags - within - {"null"}
    if outer == {"list"} and not within & {"in list: list", "in list: object"}:
        whole = dict.fromkeys(("in list: int", "in list: long"), pa.int64())
        elements = {"in list: text": pa.string(), "in list: bool": pa.bool_(), **whole}
        kinds = [elements.get(tag) for tag in within] or [pa.string()]
        return TAGS, pa.list_(kinds[0]) if len(kinds) == 1 and kinds[0] is not None else None
    # Whole numbers that float64 holds are numbers, since 2.5 may come after 2; longer ones keep their digits.
    for kind, known in ((pa.string(), {"text"}), (pa.bool_(), {"bool"}), (pa.int64(), {"int", "long"})):
        if outer and outer <= known and outer != {"int"}:
            return kind, kind
    if not outer:
        return pa.string(), pa.null()
    return (pa.float64(), pa.float64()) if outer <= {"int", "long", "float"} else (pa.string(), None)


def _tag(value: Any) -> str:
    if type(value) is int:
        return "int" if abs(value) <= _FLOAT64_WHOLE else "long" if _is_int64(value) else "float"
    return _TAGS_OF_TYPES[type(value)]


_FLOAT64_WHOLE = 2**53


def _is_int64(number: float) -> bool:
    return (type(number) is int or number.is_integer()) and -_INT64 <= number < _INT64


def _kind_name(value: Any) -> str:
    if isinstance(value, list | dict) or value is None:
        return "null" if value is None else "a list" if isinstance(value, list) else "an object"
    shown = _text(value) if not isinstance(value, str) else f'"{value}"'
    return shown if len(shown) <= 40 else f"{shown[:40]}..."


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _number(value: Any) -> int | float | None:
    """Numbers, also those that stand in quotes; true and false are none."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _check_surrogates(value: dict[str, Any]) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("half of a surrogate pair (\\ud800 to \\udfff), which is no character") from None


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f'the key "{next(key for key in keys if keys.count(key) > 1)}" stands there twice')
    return value
