"""The search space in KerasTuner's form, and its values as the config has them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pipeline.errors import ConfigError
from pipeline.training.search.conditions import read_space, requirements
from pipeline.training.search.dimensions import Dimension, is_number, is_same

if TYPE_CHECKING:
    import keras_tuner


def to_hyperparameters(space: dict[str, Any], start: dict[str, Any]) -> keras_tuner.HyperParameters:
    """KerasTuner's form of a space.

    Args:
      space: key -> list of choices, {choices, when} or {min, max, log, step, when}.
      start: key -> the config's own value, which becomes the default where the space admits it.

    Raises:
      ConfigError: see `read_space`.

    Example:
      >>> space = {"model.depth": [1, 2], "model.l2": {"min": 0.0, "max": 1.0}}
      >>> overrides(to_hyperparameters(space, {"model.depth": 2}))
      {'model.depth': 2, 'model.l2': 0.0}
    """
    import keras_tuner
    from keras_tuner.src.engine.conditions import Parent  # nowhere else: its own scopes admit one condition a key

    found = keras_tuner.HyperParameters()
    dimensions = {dimension.key: dimension for dimension in read_space(space)}
    for dimension in dimensions.values():
        conditions = [
            Parent(key, [encode(dimensions[key], value) for value in values]) for key, values in dimension.when.items()
        ]
        found.merge([_hyperparameter(dimension, start.get(dimension.key), conditions)])
    return found


def check_space(space: dict[str, Any], values_fit: Callable[[dict[str, Any]], None]) -> None:
    """Tries every choice and both ends of every range, each with what it needs to exist, before anything runs.

    Args:
      space: see `to_hyperparameters`.
      values_fit: takes {key: value}, and raises ConfigError where the config or the model does not take that.

    Raises:
      ConfigError: the space's own faults (see `read_space`); a value that does not fit: it names the key and the value.
    """
    dimensions = {dimension.key: dimension for dimension in read_space(space)}
    for key, dimension in dimensions.items():
        needed = requirements(dimensions, key)
        around = {parent: needed[parent][0] for parent in dimensions if parent in needed}
        for value in dimension.ends:
            try:
                values_fit({**around, key: value})
            except ConfigError as error:
                raise ConfigError(
                    f'"tune.space.{key}": {value!r} does not fit. {error.message}',
                    expected=error.expected,
                    fix=error.fix,
                ) from error


def overrides(hyperparameters: keras_tuner.HyperParameters) -> dict[str, Any]:
    """Config key -> value, the inverse of how choices are encoded."""
    return decode(hyperparameters.values)


def decode(values: Mapping[str, Any]) -> dict[str, Any]:
    """KerasTuner's values as the config has them; its own keys (`tuner/...`) are left out."""
    return {
        key: json.loads(value) if isinstance(value, str) else float(value) if isinstance(value, float) else value
        for key, value in values.items()
        if not key.startswith("tuner/")
    }


def encode(dimension: Dimension, value: Any) -> Any:
    """A value as KerasTuner has it: it takes choices of one plain type only; all else travels as JSON.

    True and false are not plain: KerasTuner would make 1 and 0 of them.
    """
    kinds = {type(value) for value in dimension.values or ()} if dimension.low is None else set()
    return value if dimension.low is not None or kinds in ({int}, {float}) else json.dumps(value)


def first_configuration(dimensions: Iterable[Dimension], start: Mapping[str, Any]) -> dict[str, Any]:
    """The config's own values of those keys of the space that exist with them.

    >>> momentum = {"choices": [0.0, 0.9], "when": {"train.optimizer": "SGD"}}
    >>> space = read_space({"train.optimizer": ["Adam", "SGD"], "train.optimizer.momentum": momentum})
    >>> first_configuration(space, {"train.optimizer": {"name": "Adam"}, "train.optimizer.momentum": 0.5})
    {'train.optimizer': {'name': 'Adam'}}
    """
    chosen: dict[str, Any] = {}
    stands_for: dict[str, Any] = {}
    for dimension in dimensions:
        if dimension.key in start and dimension.exists(stands_for):
            own = chosen[dimension.key] = start[dimension.key]
            stands_for[dimension.key] = next(_own_choices(dimension, own), own)
    return chosen


def is_own(value: Any, start: Any) -> bool:
    """Whether a choice is the config's own value; a component's name stands for the component."""
    name = start.get("name") if isinstance(start, dict) else None
    return is_same(value, start) or (name is not None and value in (name, {"name": name}))


def _own_choices(dimension: Dimension, start: Any) -> Iterator[Any]:
    """Those that are the config's own value: first the very same, as a name may be listed beside a table of it."""
    values = dimension.values or ()
    yield from (value for value in values if is_same(value, start))
    yield from (value for value in values if is_own(value, start))


def _hyperparameter(dimension: Dimension, start: Any, conditions: list[Any]) -> Any:
    from keras_tuner.engine import hyperparameters

    key, values, low, high = dimension.key, dimension.values, dimension.low, dimension.high
    if values is not None and not isinstance(values, range):
        wanted = next((encode(dimension, value) for value in _own_choices(dimension, start)), None)
        choices = [encode(dimension, value) for value in values]
        return hyperparameters.Choice(key, choices, default=wanted, conditions=conditions)
    form = {"sampling": "log" if dimension.log else "linear", "step": dimension.step, "conditions": conditions}
    if isinstance(values, range):
        default = int(start) if is_number(start) and start in values else None
        return hyperparameters.Int(key, low, high, default=default, **form)
    within = is_number(start) and low is not None and high is not None and low <= start <= high
    return hyperparameters.Float(key, low, high, default=float(start) if within else None, **form)
