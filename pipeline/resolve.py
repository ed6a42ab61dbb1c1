"""A name in the config -> an object: a public name of its room, or `their.module:thing`.

There is no registry: the room's `__all__` is what exists. Arguments are checked against the signature of
what is named, types included, before anything runs.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from pipeline.config_sections import Component
from pipeline.errors import ConfigError, PipelineError, did_you_mean


def find(component: Component, room: str, key: str) -> Callable[..., Any]:
    """The object that a component names.

    Args:
      component: its name is a public name of the room (in any case of letters) or `module:thing`.
      room: a module, e.g. "pipeline.models".
      key: the component's place in the config, for errors.

    Raises:
      ConfigError: there is no such name; the nearest one is given.
    """
    if ":" in component.name:
        return import_thing(component.name, key)
    module = importlib.import_module(room)
    names = {name.lower(): name for name in module.__all__}
    name = names.get(component.name.lower())
    if name is None:
        raise ConfigError(
            f'"{key}": there is no "{component.name}" in {room}.',
            expected=f'one of {", ".join(sorted(names.values()))}, or "their.module:thing"',
            fix=did_you_mean(component.name, names.values()).strip() or None,
        )
    found: Callable[..., Any] = getattr(module, name)
    return found


def check_arguments(target: Callable[..., Any], arguments: dict[str, Any], key: str) -> dict[str, Any]:
    """Checks arguments against the keyword parameters of `target` and brings them to their types.

    Raises:
      ConfigError: an argument is unknown, missing or of the wrong type; the real signature is given.
    """
    try:
        signature = inspect.signature(target)
    except ValueError:  # something built in, which does not tell its parameters
        return arguments
    model = _arguments_model(target, signature)
    if model is None:
        return arguments
    try:
        checked = model.model_validate(arguments)
    except ValidationError as error:
        raise _explain(error, target, signature, key) from None
    return {name: getattr(checked, name) for name in arguments}


def build(component: Component, room: str, key: str, **given: Any) -> Any:
    """Finds what a component names, checks its arguments and calls it with them and with `given`.

    Raises:
      ConfigError: see `find` and `check_arguments`; or the thing itself refuses its arguments.
    """
    target = find(component, room, key)
    arguments = check_arguments(target, {**component.arguments, **given}, key)
    try:
        return target(**arguments)
    except PipelineError:
        raise
    except (TypeError, ValueError) as error:
        raise ConfigError(f'"{key}": {component.name} refuses its arguments: {error}') from error


def code_hashes(value: Any) -> dict[str, str]:
    """A hash of the source of every `module:thing` that is named anywhere in a JSON value, without importing it.

    So that a stage is done again when a user's own code has changed.
    """
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return {name: content for item in value for name, content in code_hashes(item).items()}
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", value):
        return {}
    _look_in_current_folder()
    try:
        specification = importlib.util.find_spec(value.partition(":")[0])
        if specification is None or specification.origin is None:
            return {}
        content = Path(specification.origin).read_bytes()
    except (ImportError, OSError, ValueError):
        return {}  # it is refused, with its reason, when it is looked up
    return {value: hashlib.blake2b(content, digest_size=8).hexdigest()}


def _look_in_current_folder() -> None:
    """Last, so that a file there can hide no installed module."""
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)


def import_thing(name: str, key: str) -> Callable[..., Any]:
    """What stands at `module:thing`.

    Args:
      name: the module may lie in the current folder.
      key: where the name stands, for errors.

    Raises:
      ConfigError: it cannot be imported.

    >>> import_thing("math:sqrt", "model")(9)
    3.0
    """
    module_name, _, attribute = name.partition(":")
    _look_in_current_folder()
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError, TypeError) as error:  # the last two: an empty or a relative name
        raise ConfigError(
            f'"{key}": "{name}" cannot be imported: {error}',
            expected="module:thing, with the module in the current folder or on the Python path",
        ) from error
    return found


def _arguments_model(target: Callable[..., Any], signature: inspect.Signature) -> type[BaseModel] | None:
    """A pydantic model of the keyword parameters; None for a target that takes any keyword."""
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.parameters.values()):
        return None
    hinted = target.__init__ if inspect.isclass(target) else target
    hints = typing.get_type_hints(hinted)
    fields: dict[str, Any] = {}
    for name, parameter in signature.parameters.items():
        if name in _FIRST_ARGUMENTS:
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[name] = (hints.get(name, Any), default)
    return create_model("Arguments", __config__=_LENIENT, **fields)


# What a room's things are called with by us, never from the config.
_FIRST_ARGUMENTS = ("spec",)
_LENIENT = ConfigDict(extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False, protected_namespaces=())


def _shown(parameter: inspect.Parameter) -> str:
    """`width: int = 256`; annotations are text here, and would be shown in quotes."""
    annotation = parameter.annotation if isinstance(parameter.annotation, str) else parameter.annotation.__name__
    default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
    return f"{parameter.name}: {annotation}{default}"


def _explain(error: ValidationError, target: Any, signature: inspect.Signature, key: str) -> ConfigError:
    found = error.errors(include_url=False)
    # A misspelt argument also makes the right one missing: the former is what the person can see.
    first = next((item for item in found if item["type"] == "extra_forbidden"), found[0])
    argument = ".".join(str(part) for part in first["loc"])
    known = [name for name in signature.parameters if name not in _FIRST_ARGUMENTS]
    shown = f"{target.__name__}({', '.join(_shown(signature.parameters[name]) for name in known)})"
    if first["type"] == "extra_forbidden":
        fix = f"{did_you_mean(argument, known)}Rename or remove the key."
        return ConfigError(f'"{key}": {target.__name__} has no argument "{argument}".', expected=shown, fix=fix)
    if first["type"] == "missing":
        return ConfigError(f'"{key}": {target.__name__} needs the argument "{argument}".', expected=shown)
    message = first["msg"].removeprefix("Input should be ")
    return ConfigError(f'"{key}.{argument}" is {first["input"]!r}.', expected=f"{message}; {shown}")
