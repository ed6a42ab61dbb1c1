"""What chief and workers must have in common, for a worker's answers to be those of one process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from pipeline import __version__
from pipeline.context import Context
from pipeline.errors import ConfigError
from pipeline.resolve import code_hashes
from pipeline.training.search import Header

# What names a difference better than a fingerprint does. Of train not what a trial has from the section tune.
_SECTIONS, _NOT_OF_TRIALS = ("model", "train", "tune.patience", "tune.seeds", "tune.folds"), ("epochs", "patience")
_PACKAGES = ("keras", "tensorflow")


def agreement(context: Context, header: Header) -> dict[str, Any]:
    """What must be equal, as JSON; the most telling first.

    Args:
      context: of the stage.
      header: of the search's journal.
    """
    sections = {key: context.config.section(key) for key in _SECTIONS}
    sections["train"] = {key: value for key, value in sections["train"].items() if key not in _NOT_OF_TRIALS}
    found = {
        "version of pipeline": __version__,
        **{f"version of {package}": version(package) for package in _PACKAGES},
        "fingerprint of the prepared data": context.inputs["prepare"].name,
        "tune.algorithm": header.algorithm,
        "seed": header.seed,
        "tune.epochs": header.epochs,
        **sections,
        "content of": code_hashes(sections),
        "tune.space": header.space,
        "fingerprint of the search": header.fingerprint,
    }
    return json.loads(json.dumps(found, default=str))


def check_agreement(here: dict[str, Any], chief: dict[str, Any], address: str) -> None:
    """Refuses a worker that would train something else.

    Args:
      here, chief: see `agreement`.
      address: of the chief.

    Raises:
      ConfigError: it names what differs, here and there.

    Example:
      >>> check_agreement({"seed": 0}, {"seed": 1}, "10.0.0.5:8000")
      Traceback (most recent call last):
      pipeline.errors.ConfigError: This worker and the chief at 10.0.0.5:8000 differ: seed is 0 here and 1 there.
        expected: the same config, data and versions on both
        fix:      Give both the same CONFIG and --set options, and prepare the same data.
    """
    for name in [*chief, *(key for key in here if key not in chief)]:
        for path, mine, theirs in _differences(name, here.get(name), chief.get(name)):
            raise ConfigError(
                f"This worker and the chief at {address} differ: {path} is {mine} here and {theirs} there.",
                expected="the same config, data and versions on both",
                fix="Give both the same CONFIG and --set options, and prepare the same data.",
            )


def _differences(path: str, here: Any, chief: Any) -> Iterator[tuple[str, str, str]]:
    if isinstance(here, dict) and isinstance(chief, dict):
        for key in [*chief, *(key for key in here if key not in chief)]:
            yield from _differences(f"{path}.{key}", here.get(key), chief.get(key))
    elif here != chief:
        yield path, _short(here), _short(chief)


def _short(value: Any) -> str:
    return "not set" if value is None else json.dumps(value)
