"""pydantic's findings as one `ConfigError` in the words of the config file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from pipeline.errors import ConfigError, did_you_mean


def explain(error: ValidationError, model: type[BaseModel], *, origin: str, text: str = "") -> ConfigError:
    """The first finding as the message, the others below it.

    Args:
      error: what pydantic raised.
      model: the model that was validated; its fields give the nearest match.
      origin: the file, or whatever the values came from.
      text: the file's text, to name lines; may be empty.
    """
    findings = [_describe(dict(item), model, origin, text) for item in error.errors(include_url=False)]
    message, expected, fix = findings[0]
    others = "".join(
        f"\nand {also} (expected: {wanted})" if wanted else f"\nand {also}" for also, wanted, _ in findings[1:]
    )
    return ConfigError(message + others, expected=expected, fix=fix)


def _describe(
    item: dict[str, Any], model: type[BaseModel], origin: str, text: str
) -> tuple[str, str | None, str | None]:
    location = [part for part in item["loc"] if not (isinstance(part, str) and part.startswith("function-"))]
    key = ".".join(str(part) for part in location) or "the config"
    where = f"{origin}{_line(location, text)}"
    kind, value = item["type"], item["input"]
    if kind == "extra_forbidden":
        allowed = sorted(_fields(model, location[:-1]))
        return (
            f'{where}: unknown key "{key}" (value {value!r}).',
            f"one of {', '.join(allowed)}",
            f"{did_you_mean(str(location[-1]), allowed)}Rename or remove the key.",
        )
    if kind == "missing":
        example = ', e.g. source = "rows.csv"' if key == "source" else ""
        return f'{where}: the key "{key}" is missing.', None, f"Add it{example}."
    expected: str = item["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    fix: str | None = None
    if kind == "literal_error" and isinstance(value, str):
        choices = re.findall(r"'([^']*)'", str(item.get("ctx", {}).get("expected", "")))
        fix = did_you_mean(value, choices).strip() or None
    return f'{where}: "{key}" is {_short(value)}.', expected, fix


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else shown[:77] + "..."


def _fields(model: type[BaseModel], location: Sequence[Any]) -> list[str]:
    """The keys that are known where `location` leads."""
    for part in location:
        field = model.model_fields.get(part) if isinstance(part, str) else None
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            continue
        model = field.annotation
    return list(model.model_fields)


def _line(location: Sequence[Any], text: str) -> str:
    """`":12"` for the line that sets the key, or "" where it is not in the text as it stands."""
    names = [part for part in location if isinstance(part, str)]
    section: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[\[?\s*([^\]]+?)\s*\]", line):
            section = [part.strip("\"' ") for part in header[1].split(".")]
            if section == names:
                return f":{number}"
        elif key := re.match(r"\s*([\w.\"'-]+)\s*=", line):
            path = section + [part.strip("\"' ") for part in key[1].split(".")]
            if path == names or (path == names[: len(path)] and len(path) > 0 and "{" in line):
                return f":{number}"
    return ""
