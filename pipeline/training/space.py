"""The search space: config keys and the values they may take, checked before any trial runs."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any, TypeGuard

import keras_tuner

from pipeline.errors import ConfigError
from pipeline.spec import Spec

# Data are prepared once for all trials, so only what comes after that can be tuned.
TUNABLE = ("model.", "train.")
_BOUNDS = ("min", "max", "log", "step")


def default_space(spec: Spec, model: Callable[..., Any] | None = None) -> dict[str, Any]:
    """Optimizer, learning rate, batch size and the model's hyperparameters, in ranges that suit the data.

    Args:
      spec: of the data.
      model: only its own hyperparameters are searched, of those that are known here; None: those of any.
    """
    image = spec.image_shape is not None
    text = bool(spec.bags) and not (image or spec.num_numeric or spec.vocabulary_sizes)
    batch = 32 if spec.num_train < 2_000 else 64 if image or spec.num_train < 10_000 else 128
    space: dict[str, Any] = {
        "train.optimizer": ["Adagrad", "Adam", "AdamW"] if text else ["AdamW", "Adam", "SGD", "Adagrad"],
        # Adagrad's steps only become shorter: it wants to begin with long ones.
        "train.learning_rate": {"min": 1e-3, "max": 3e-1, "log": True}
        if text
        else {"min": 3e-4, "max": 3e-2, "log": True},
        "train.batch_size": [batch, 2 * batch, 4 * batch],
        "model.l1": {"min": 1e-8, "max": 1e-5, "log": True},
        "model.l2": {"min": 1e-7, "max": 1e-3, "log": True},
        "model.dropout": {"min": 0.0, "max": 0.4, "step": 0.1},
        "model.width": [16, 32] if image else [64, 128, 256],
        "model.depth": [1, 2] if image else [1, 2, 3],
    }
    if spec.edges:
        space["model.numbers"] = ["plain", "piecewise", "periodic"]
    if model is None:
        return {key: values for key, values in space.items() if key != "model.numbers"}
    known = inspect.signature(model).parameters
    return {key: values for key, values in space.items() if not key.startswith("model.") or key[6:] in known}


def to_hyperparameters(space: dict[str, Any], start: dict[str, Any]) -> keras_tuner.HyperParameters:
    """KerasTuner's form of a space.

    Args:
      space: key -> list of choices, or {min, max, log, step}.
      start: key -> the config's own value, which becomes the default where the space admits it.

    Raises:
      ConfigError: a key cannot be tuned, a range is empty or contradicts itself.
    """
    if not space:
        raise ConfigError(
            '"tune.space" is empty.', expected="at least one key", fix="Or switch tuning off: tune.trials = 0."
        )
    found = keras_tuner.HyperParameters()
    for key, values in space.items():
        if not key.startswith(TUNABLE):
            raise ConfigError(f'"tune.space": "{key}" cannot be tuned.', expected="a key below model or train")
        if isinstance(values, list):
            _add_choice(found, key, values, start.get(key))
        elif isinstance(values, dict):
            _add_range(found, key, values, start.get(key))
        else:
            raise _bad(key, values)
    return found


def overrides(hyperparameters: keras_tuner.HyperParameters) -> dict[str, Any]:
    """Config key -> value, the inverse of how choices are encoded."""
    return {
        key: json.loads(value) if isinstance(value, str) else value for key, value in hyperparameters.values.items()
    }


def _add_choice(found: keras_tuner.HyperParameters, key: str, values: list[Any], start: Any) -> None:
    if not values:
        raise ConfigError(f'"tune.space.{key}" lists no choice.', expected="at least one value")
    # KerasTuner takes choices of one plain type only; text, tables and mixtures travel as JSON.
    kinds = {type(value) for value in values}
    plain = len(kinds) == 1 and kinds <= {int, float, bool}
    choices = values if plain else [json.dumps(value) for value in values]
    wanted = next((value for value in values if _same(value, start)), None)
    default = None if wanted is None else wanted if plain else json.dumps(wanted)
    found.Choice(key, choices, default=default)


def _add_range(found: keras_tuner.HyperParameters, key: str, values: dict[str, Any], start: Any) -> None:
    low, high = values.get("min"), values.get("max")
    unknown = sorted(set(values) - set(_BOUNDS))
    if unknown or not _is_number(low) or not _is_number(high):
        raise _bad(key, values)
    if low >= high:
        raise ConfigError(f'"tune.space.{key}": min is {low} and max is {high}.', expected="min below max")
    log = bool(values.get("log", False))
    if log and low <= 0:
        raise ConfigError(f'"tune.space.{key}": min is {low} on a logarithmic scale.', expected="min above 0")
    within = _is_number(start) and low <= start <= high
    step, whole = values.get("step"), isinstance(low, int) and isinstance(high, int)
    if step is not None and (
        not _is_number(step) or step <= (1 if log else 0) or (whole and not isinstance(step, int))
    ):
        expected = "a factor above 1" if log else "a number above 0"
        raise ConfigError(
            f'"tune.space.{key}": step is {step!r}.',
            expected=f"{expected}{', whole as min and max are' if whole else ''}",
        )
    form = {"sampling": "log" if log else "linear", "step": step}
    if isinstance(low, int) and isinstance(high, int):
        found.Int(key, low, high, default=start if within else None, **form)
    else:
        found.Float(
            key, float(low), float(high), default=float(start) if within and start is not None else None, **form
        )


def _same(value: Any, start: Any) -> bool:
    """Whether a choice is the config's own value; a component's name stands for the component."""
    name = start.get("name") if isinstance(start, dict) else None
    return bool(value == start or (name is not None and value in (name, {"name": name})))


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _bad(key: str, values: Any) -> ConfigError:
    return ConfigError(
        f'"tune.space.{key}" is {values!r}.',
        expected="a list of choices, or {min = ..., max = ..., log = true, step = ...}",
    )
