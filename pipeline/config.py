"""One experiment as a TOML file: frozen models, strict, with errors that say how to mend the file.

The shortest config is a source and a label; everything else has a default:

    source = "adult.csv"
    label = "income"

Its sections are in `pipeline.config_sections`.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    Field,
    ValidationError,
)

from pipeline.config_errors import explain
from pipeline.config_sections import (
    Checks,
    Drift,
    Export,
    Features,
    Feed,
    Model,
    Prepare,
    Quarantine,
    Resume,
    Section,
    Source,
    Split,
    Train,
    Tune,
    Twins,
)
from pipeline.errors import ConfigError, did_you_mean
from pipeline.hashing import FileHashes

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
# Of weights that configs name: each is read once by a process, unless it changes.
_hashes = FileHashes()


class Config(Section):
    """One experiment."""

    name: str = Field(pattern=NAME_PATTERN, description="Of the run and of the SavedModel; default: the file's name.")
    source: Source
    label: str | None = Field(None, description="The column to predict; None where the source knows it.")
    task: Literal["auto", "binary", "multiclass", "regression"] = "auto"
    seed: int = Field(0, ge=0, lt=2**31)
    runs: str = Field("runs", description="Directory of the runs, below the current folder, or absolute.")
    schema_file: str | None = Field(
        None, description="The reviewed schema that pipeline init wrote, beside the config; None: nothing is expected."
    )
    features: Features = Features()
    checks: Checks = Checks()
    quarantine: Quarantine = Quarantine()
    twins: Twins = Twins()
    drift: Drift = Drift()
    split: Split = Split(name="auto")
    prepare: Prepare = Prepare()
    model: Model = Model(name="auto")
    train: Train = Train()
    feed: Feed = Feed()
    tune: Tune = Tune()
    resume: Resume = Resume()
    export: Export = Export()

    def section(self, name: str) -> Any:
        """The JSON form of a key (`"train"`, `"split.column"`) for fingerprints: a file by its content."""
        name, _, key = name.partition(".")
        value = self.model_dump(mode="json", include={name})[name]
        if key:
            return value.get(key)
        if name == "source":
            value = {key: item for key, item in value.items() if key != "path"}
        if name == "schema_file" and value is not None:  # what it says counts, not where it lies
            return _content_hash(Path(value))
        if name == "model" and "weights" in value:  # of a backbone, likewise
            return {**value, "weights": _content_of(value["weights"])}
        return value

    def override(self, overrides: dict[str, Any]) -> Config:
        """A copy with dotted keys set, e.g. `{"train.epochs": 5}`.

        Raises:
          ConfigError: a key does not exist or a value does not fit.
        """
        tree = self.model_dump(mode="json")
        for key, value in overrides.items():
            _set(tree, key, value)
        return parse(tree, origin="override")


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Reads a TOML file.

    Args:
      path: the file. A relative `source.path` in it is looked for beside the file, then below the
        current folder.
      overrides: `"key.path=value"`, the value in TOML; a bare word is a string.

    Raises:
      ConfigError: the file is missing or no TOML, a key is unknown, a value does not fit.
    """
    path = Path(path)
    text = _read(path)
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}", fix="See https://toml.io for the syntax.") from None
    tree.setdefault("name", re.sub(r"[^A-Za-z0-9_.-]", "_", path.stem))
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise ConfigError(f'--set "{override}" has no "=".', expected="key.path=value, e.g. train.epochs=5")
        _set(tree, key.strip(), _toml_value(value.strip()))
    config = parse(tree, origin=str(path), text=text)
    return _with_absolute_paths(config, path.parent)


def parse(tree: dict[str, Any], *, origin: str, text: str = "") -> Config:
    """Validates a tree of plain values; `origin` and `text` let an error name the file and the line."""
    try:
        # Through JSON, because there an array is a tuple's strict form; Python's strict form is only a tuple.
        return Config.model_validate_json(json.dumps(tree, default=str))
    except ValidationError as error:
        raise explain(error, Config, origin=origin, text=text) from None


def fingerprint(value: Any) -> str:
    """A short stable hash of a JSON value: 16 hexadecimal digits.

    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    True
    """
    encoded = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode()
    return hashlib.blake2b(encoded, digest_size=8).hexdigest()


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the config file, in which `name` may be absent and short forms are allowed."""
    schema = Config.model_json_schema()
    schema["required"] = ["source"]
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    for component in ("Component", "Source", "Split", "Model", "Optimizer"):
        definition = schema["$defs"][component]
        description = definition.pop("description", "")
        schema["$defs"][component] = {"description": description, "anyOf": [{"type": "string"}, definition]}
    for key in ("transforms", "defaults"):  # one transform needs no list
        chosen = schema["$defs"]["Prepare"]["properties"][key]
        chosen["additionalProperties"] = {"anyOf": [{"$ref": "#/$defs/Component"}, chosen["additionalProperties"]]}
    return schema


def _content_hash(path: Path) -> str:
    try:
        return hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()
    except OSError:
        return "missing"  # whoever reads it says so


def _content_of(value: Any) -> Any:
    """A hash of the file that a value names; of a value that names none, the value itself."""
    try:
        return _hashes.of(Path(value)) if isinstance(value, str) else value
    except (OSError, ValueError):  # another meaning of the word, or whoever reads it says so
        return value


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        hint = did_you_mean(path.stem, [found.stem for found in path.parent.glob("*.toml")])
        raise ConfigError(f"{path} does not exist.", fix=f"{hint}Write one with: pipeline init PATH") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", expected="a TOML file in UTF-8") from None


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _set(tree: dict[str, Any], key: str, value: Any) -> None:
    """Sets a dotted key, opening short forms (`"Adam"` -> `{name = "Adam"}`) on the way.

    Of several components, as in `train.augment`, one is named: `train.augment.Shift.fraction`, or, where its name has a
    dot or comes twice, numbered from 0: `train.augment.1.fraction`.
    """
    *parents, last = key.split(".")
    node: Any = tree
    for parent in parents:
        node = _of_several(node, parent, key) if isinstance(node, list) else _opened(node, parent, key)
    if isinstance(node, list):
        raise ConfigError(f'"{key}" names no argument.', expected=f"{key}.ARGUMENT")
    opened = node.get(last)
    if isinstance(opened, dict) and isinstance(value, str) and value == opened.get("name"):
        return  # the same component: it keeps its arguments; another one begins without any
    node[last] = value


def _opened(node: dict[str, Any], parent: str, key: str) -> Any:
    """A copy of a section, of a component or of several, put in the place of the original."""
    child = node.get(parent)
    if isinstance(child, str):
        child = {"path": child} if parent == "source" else {"name": child}
    elif child is None:
        child = {}
    if not isinstance(child, dict | list):
        raise ConfigError(f'"{key}": "{parent}" is not a section.', fix="pipeline schema lists every key.")
    node[parent] = child.copy()
    return node[parent]


def _of_several(components: list[Any], name: str, key: str) -> dict[str, Any]:
    """A copy of the component of this name (in any case of letters) or number, put in its place."""
    names = [str(component.get("name") if isinstance(component, dict) else component) for component in components]
    places = [place for place, known in enumerate(names) if name.lower() in (known.lower(), str(place))]
    if len(places) > 1:
        numbers = " or ".join(map(str, places))
        raise ConfigError(f'"{key}": "{name}" comes {len(places)} times.', expected=f"its number: {numbers}")
    if not places:
        raise ConfigError(
            f'"{key}": there is no "{name}".',
            expected=f"one of {', '.join(names)}" if names else "a component of that name before its arguments",
            fix=did_you_mean(name, names).strip() or None,
        )
    place = places[0]
    found = components[place]
    components[place] = {"name": found} if isinstance(found, str) else dict(found)
    opened: dict[str, Any] = components[place]
    return opened


def _with_absolute_paths(config: Config, folder: Path) -> Config:
    written = config.source.arguments.get("path")
    if isinstance(written, str):
        source = config.source.model_copy(update={"path": _found_path(written, folder)})
        config = config.model_copy(update={"source": source})
    if config.schema_file is not None:
        config = config.model_copy(update={"schema_file": _found_path(config.schema_file, folder)})
    return config


def _found_path(written: str, folder: Path) -> str:
    """Beside the config, if anything is there, else below the current folder; a pattern likewise."""
    if "\0" in written:
        raise ConfigError(f"The path {written!r} holds a NUL character.", expected="the path of a file or a folder")
    try:
        path = Path(written).expanduser()
    except RuntimeError:
        raise ConfigError(f"{written}: there is no such user.", expected="a path, or ~ for your own folder") from None
    beside, below = folder / path, Path.cwd() / path
    found = beside if _is_there(beside) or not _is_there(below) else below
    return os.path.abspath(found)


def _is_there(path: Path) -> bool:
    if path.exists():
        return True
    is_pattern = any(sign in str(path) for sign in "*?[")
    return is_pattern and bool(glob.glob(str(path), recursive=True))  # noqa: PTH207
