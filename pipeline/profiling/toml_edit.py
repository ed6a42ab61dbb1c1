"""Single keys of a TOML file set, everything else in it left as it is, comments included."""

from __future__ import annotations

import os
import shutil
import tomllib
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import parse
from pipeline.errors import ConfigError
from pipeline.runs import translate_os_errors


@dataclass(frozen=True)
class Change:
    """A key that was set.

    Attributes:
      key: dotted.
      old: None where the file did not have it.
      new: the value now.
    """

    key: str
    old: Any
    new: Any


def apply(path: Path, wanted: Sequence[tuple[str, Any]]) -> list[Change]:
    r"""Sets keys in a config; it is whole at any time, and what would not load is not written.

    Args:
      path: the TOML file.
      wanted: (dotted key, value) each.

    Returns:
      What changed; a key that has its value already is left out.

    Raises:
      ConfigError: the file with these values would be no valid config.
      RunError: it cannot be written.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp()) / "rows.toml"
      >>> _ = path.write_text('source = "rows.csv" # the rows\n')
      >>> apply(path, [("feed.threads", 4)])
      [Change(key='feed.threads', old=None, new=4)]
      >>> print(path.read_text())
      source = "rows.csv" # the rows
      <BLANKLINE>
      [feed]
      threads = 4
      <BLANKLINE>
    """
    import tomlkit

    text = path.read_text(encoding="utf-8")
    document = tomlkit.parse(text)
    changes = [Change(key, _set(document, key.split("."), value), value) for key, value in wanted]
    changes = [change for change in changes if change.old != change.new]
    if changes:
        with translate_os_errors(path):
            _replace(path, _checked(tomlkit.dumps(document), path))
    return changes


def _set(node: MutableMapping[str, Any], key: Sequence[str], value: Any) -> Any:
    """What was there before; None if nothing was."""
    import tomlkit

    name, *rest = key
    if not rest:
        found: Any = node.get(name)
        old = found.unwrap() if hasattr(found, "unwrap") else found
        if old != value:
            node[name] = value
        return old
    if name not in node:
        node[name] = tomlkit.table()
    inside = node[name]
    if not isinstance(inside, MutableMapping):
        raise ConfigError(f'"{name}" is {inside!r}, and no section.', expected=f"[{name}]")
    return _set(inside, rest, value)


def _checked(text: str, path: Path) -> str:
    parse({"name": "any", **tomllib.loads(text)}, origin=str(path), text=text)
    return text


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        shutil.copymode(path, temporary)
        os.replace(temporary, path.resolve())
    finally:
        temporary.unlink(missing_ok=True)
