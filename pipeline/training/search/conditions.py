"""Keys that exist only where others have certain values: checked, and put into an order that can be walked."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

from pipeline.errors import ConfigError, did_you_mean
from pipeline.training.search.dimensions import Dimension, is_same, read_dimension


def read_space(space: Mapping[str, Any]) -> list[Dimension]:
    """The config's `tune.space`, every key after those it depends on.

    Args:
      space: key -> list of choices, {choices, when} or {min, max, log, step, when}.

    Raises:
      ConfigError: the space is empty; a key cannot be tuned, a range contradicts itself; a condition names a key that
        is not there or a value it never takes, goes in a circle, or can never hold.

    Example:
      >>> space = {"train.optimizer.momentum": {"min": 0.0, "max": 0.9, "when": {"train.optimizer": "SGD"}},
      ...          "train.optimizer": ["Adam", "SGD"]}
      >>> [dimension.key for dimension in read_space(space)]
      ['train.optimizer', 'train.optimizer.momentum']
    """
    if not space:
        raise ConfigError(
            '"tune.space" is empty.', expected="at least one key", fix="Or switch tuning off: tune.trials = 0."
        )
    found = {key: read_dimension(key, form) for key, form in space.items()}
    for key, dimension in found.items():
        when = {parent: _known(found, key, parent, wanted) for parent, wanted in dimension.when.items()}
        found[key] = dataclasses.replace(dimension, when=when)
    ordered = _ordered(found)
    for dimension in ordered:
        requirements(found, dimension.key)
    return ordered


def requirements(dimensions: Mapping[str, Dimension], key: str) -> dict[str, tuple[Any, ...]]:
    """What a key needs to exist, and what that needs in its turn: key -> the values it may then have.

    Conditions are joined by "and" only, so one pass over them is the whole truth.

    Raises:
      ConfigError: they contradict one another.
    """
    needed: dict[str, tuple[Any, ...]] = {}
    open_keys = [key]
    while open_keys:
        for parent, wanted in dimensions[open_keys.pop()].when.items():
            before = needed.get(parent, wanted)
            needed[parent] = tuple(value for value in before if any(is_same(value, other) for other in wanted))
            open_keys.append(parent)
            if not needed[parent]:
                raise ConfigError(
                    f'"tune.space.{key}" can never exist: its conditions leave no value of "{parent}" (contradictory '
                    "space).",
                    expected="conditions that can hold together",
                )
    return needed


def _known(dimensions: Mapping[str, Dimension], key: str, parent: str, wanted: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values of a condition as its key has them, so that they compare by their types, too."""
    where = f'"tune.space.{key}": when'
    if parent not in dimensions:
        raise ConfigError(
            f'{where} names "{parent}", which is not in the space.',
            expected="a key of tune.space",
            fix=f"{did_you_mean(parent, dimensions)}In the space are: {', '.join(dimensions)}.",
        )
    values = dimensions[parent].values
    if values is None:
        raise ConfigError(
            f'{where} depends on "{parent}", which takes any number of a range.',
            expected="a key with choices, whole numbers or a step",
        )
    found = [next((value for value in values if is_same(value, one)), None) for one in wanted]
    for one, value in zip(wanted, found, strict=True):
        if value is None:
            few = ", ".join(repr(value) for value in values[:20])
            raise ConfigError(
                f'{where} wants "{parent}" to be {one!r}, which it never is.',
                expected=f"one of {few}{', ...' if len(values) > 20 else ''}",
                fix=did_you_mean(str(one), map(str, values[:20])).strip() or None,
            )
    return tuple(found)


def _ordered(dimensions: Mapping[str, Dimension]) -> list[Dimension]:
    """Those that depend on others after them, else in the order of the config."""
    ordered: dict[str, Dimension] = {}
    while left := [dimension for key, dimension in dimensions.items() if key not in ordered]:
        ready = next((dimension for dimension in left if dimension.when.keys() <= ordered.keys()), None)
        if ready is None:
            raise ConfigError(
                f'"tune.space" goes in a circle (contradictory space): {_circle(dimensions, left)}.',
                expected="conditions on keys that exist without this one",
            )
        ordered[ready.key] = ready
    return list(ordered.values())


def _circle(dimensions: Mapping[str, Dimension], left: list[Dimension]) -> str:
    """`"a" depends on "b", "b" depends on "a"`: followed from a key that waits until one comes again."""
    waiting, path = {dimension.key for dimension in left}, [left[0].key]
    while (parent := next(key for key in dimensions[path[-1]].when if key in waiting)) not in path:
        path.append(parent)
    circle = [*path[path.index(parent) :], parent]
    return ", ".join(f'"{key}" depends on "{other}"' for key, other in itertools.pairwise(circle))
