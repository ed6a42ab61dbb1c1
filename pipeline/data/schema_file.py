"""The schema as a file that a person reviews: written once by `pipeline init`, checked at every run."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from pipeline.config_errors import explain
from pipeline.config_sections import Section
from pipeline.data.kinds import Kind
from pipeline.errors import ConfigError


class Column(Section):
    """What is expected of one column; what is not said is not checked.

    Example:
      >>> Column(kind="numeric", min=0.0, whole=True).max is None
      True
    """

    kind: Kind
    whole: bool = Field(False, description="Whether every number is whole.")
    min: float | str | None = Field(None, description="The smallest number, or the earliest time in ISO 8601.")
    max: float | str | None = Field(None, description="The largest number, or the latest time in ISO 8601.")
    values: tuple[str, ...] | None = Field(None, description="Every category there is.")
    max_missing: float = Field(1.0, ge=0, le=1, description="The largest share of missing values.")
    unique: bool = Field(False, description="Whether no value stands there twice.")

    @model_validator(mode="after")
    def _fits_together(self) -> Column:
        for name, bound in (("min", self.min), ("max", self.max)):
            if bound is not None and not _is_bound(bound, self.kind):
                raise ValueError(f"{name} = {bound!r} does not fit a column of kind {self.kind}")
        if self.min is not None and self.max is not None and self.min > self.max:  # type: ignore[operator]
            raise ValueError(f"min {self.min} is above max {self.max}")
        if self.values is not None and self.kind not in ("categorical", "tags"):
            raise ValueError(f"values are for categories, not for a column of kind {self.kind}")
        return self


def _is_bound(bound: float | str, kind: Kind) -> bool:
    """Whether it is a number, or a time without a zone, where the kind wants one."""
    if not isinstance(bound, str):
        return kind == "numeric"
    try:
        return kind == "datetime" and datetime.fromisoformat(bound).tzinfo is None
    except ValueError:
        return False


class SchemaFile(Section):
    """All columns by name."""

    columns: dict[str, Column]


def load_schema_file(path: Path) -> SchemaFile:
    """Reads it.

    Raises:
      ConfigError: it is missing, no TOML, or holds a key or a value that does not fit.
    """
    try:
        text = path.read_text(encoding="utf-8")
        tree = tomllib.loads(text)
    except FileNotFoundError:
        raise ConfigError(
            f'"schema_file": {path} does not exist.', expected="the schema file that pipeline init wrote",
            fix="Write it again with pipeline init --force, or remove the key.",
        ) from None  # fmt: skip
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", expected="a TOML file in UTF-8") from None
    try:
        return SchemaFile.model_validate_json(json.dumps(tree, default=str))
    except ValidationError as error:
        raise explain(error, SchemaFile, origin=str(path), text=text) from None


def schema_text(columns: Mapping[str, Column], about: str) -> str:
    """The file's text.

    Args:
      columns: in the order they shall stand.
      about: comment lines for its head, without the signs.

    Example:
      >>> print(schema_text({"age": Column(kind="numeric", min=17.0)}, "Of adult.csv."))
      # Of adult.csv.
      <BLANKLINE>
      [columns.age]
      kind = "numeric"
      min = 17.0
      <BLANKLINE>
    """
    lines = [f"# {toml_comment(line)}" for line in about.splitlines()]
    for name, column in columns.items():
        lines += ["", f"[columns.{_key(name)}]"]
        written = column.model_dump(mode="json", exclude_defaults=True)
        lines += [f"{key} = {toml_value(value)}" for key, value in written.items()]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    bare = bool(name) and all(sign.isascii() and (sign.isalnum() or sign in "-_") for sign in name)
    return name if bare else toml_value(name)


def toml_comment(text: str) -> str:
    r"""A text that may stand behind a TOML comment's sign: on one line, without control characters.

    >>> toml_comment("a\nb")
    'a b'
    """
    return "".join(sign if sign.isprintable() else " " for sign in text)


def toml_value(value: Any) -> str:
    r"""A value as TOML writes it.

    >>> print(toml_value(["a \"b\"", 1.0, True, "\U0001f389"]))
    ["a \"b\"", 1.0, true, "🎉"]
    """
    if isinstance(value, list):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    if isinstance(value, dict):  # of keys that need no quotes
        return f"{{ {', '.join(f'{key} = {toml_value(item)}' for key, item in value.items())} }}"
    # JSON's text is TOML's, but for DEL, which TOML wants escaped, and for halves of surrogate pairs, which it forbids.
    return repr(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
