"""The search space as it is written in the config, read and checked: one `Dimension` a key."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeGuard

from pipeline.errors import ConfigError

# How long a trial trains, in epochs; where the space has it, in place of `tune.epochs`.
EPOCHS = "train.epochs"
TUNABLE = ("prepare.", "model.", "train.")
_OTHER_ROWS = "it decides on the rows that trials are scored on, and their scores could not be compared"
_READ_ONCE = "rows are read once for all trials, by the stage ingest"
_SAME_SCORE = "it changes no score"
# By its beginning, why a key is not tunable; the first that fits.
_WHY_NOT = {
    "seed": "a seed that wins is a lucky one. tune.seeds scores each trial on several",
    "train.patience": "a trial has tune.patience",
    "train.budget": "trials are limited by tune.epochs, and the whole search by tune.budget",
    "prepare.image_size": _READ_ONCE,
    "prepare.cache": _SAME_SCORE,
    **dict.fromkeys(("source", "label", "task", "split", "twins", "schema_file", "checks", "quarantine"), _OTHER_ROWS),
    "features": _READ_ONCE,
    "drift": _SAME_SCORE,
    **dict.fromkeys(("name", "runs", "feed", "resume", "export"), _SAME_SCORE),
    "tune": "it is about the search itself",
}
_BOUNDS = ("min", "max", "log", "step")
# A range of more values than this is no list any more: nobody tries them all.
_MANY = 10_000


@dataclass(frozen=True)
class Dimension:
    """One key of a space.

    Attributes:
      key: of the config.
      values: all it can take, in the order of the config; None: every number from `low` to `high`.
      low, high, step, log: of a range; low is None where the values were listed.
      when: key of the space -> values; it exists only where each of these keys has one of its values.
    """

    key: str
    values: Sequence[Any] | None
    low: float | None = None
    high: float | None = None
    step: float | None = None
    log: bool = False
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    @property
    def is_endless(self) -> bool:
        """Whether there are more values than a search could try."""
        return self.values is None or len(self.values) > _MANY

    @property
    def ends(self) -> Sequence[Any]:
        """Every value that was listed; of a range its ends."""
        if self.low is None:
            return self.values or ()
        return (self.values[0], self.values[-1]) if self.values else (self.low, self.high)

    def exists(self, chosen: Mapping[str, Any], same: Callable[[Any, Any], bool] | None = None) -> bool:
        """Whether a configuration has this key, by the values of those it depends on.

        Args:
          chosen: key -> value.
          same: how (one of `values`, the value chosen) are compared; None: `is_same`.
        """
        same = same or is_same
        return all(
            key in chosen and any(same(value, chosen[key]) for value in values) for key, values in self.when.items()
        )


def why_not_tuned(key: str) -> str | None:
    """Why a key of the config cannot be in a space; None: nothing is known against it.

    >>> why_not_tuned("train.patience")
    'a trial has tune.patience'
    """
    return next((why for start, why in _WHY_NOT.items() if f"{key}.".startswith(f"{start}.")), None)


def read_dimension(key: str, form: Any) -> Dimension:
    """One key of the config's `tune.space`.

    Args:
      key: of the config.
      form: list of choices, {choices, when} or {min, max, log, step, when}.

    Raises:
      ConfigError: the key cannot be tuned, there is no choice, a range is empty or contradicts itself.

    Example:
      >>> read_dimension("model.dropout", {"min": 0, "max": 0.3, "step": 0.1}).values
      (0.0, 0.1, 0.2, 0.3)
    """
    why = why_not_tuned(key)
    if why is not None or not key.startswith(TUNABLE):
        raise ConfigError(
            f'"tune.space": "{key}" cannot be tuned{f": {why}" if why else ""}.',
            expected="a key below prepare, model or train",
        )
    if not isinstance(form, dict):
        return _listed(key, form, {})
    rest = {name: value for name, value in form.items() if name != "when"}
    when = _conditions(key, form.get("when", {}))
    if "choices" not in rest:
        return _range(key, form, rest, when)
    if len(rest) > 1:
        raise _bad(key, form)
    return _listed(key, rest["choices"], when)


def is_same(value: Any, other: Any) -> bool:
    """Whether two values of a config are one: 1 and 1.0 are, 1 and true are not.

    >>> is_same(1, 1.0), is_same(1, True), is_same({"name": "SGD"}, {"name": "SGD"})
    (True, False, True)
    """
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)


def is_number(value: Any) -> TypeGuard[int | float]:
    """Whether it is a finite number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _conditions(key: str, when: Any) -> dict[str, tuple[Any, ...]]:
    where = f'"tune.space.{key}": when'
    if not isinstance(when, dict):
        raise ConfigError(f"{where} is {when!r}.", expected='a table: {"key of the space" = value or list of values}')
    found = {parent: tuple(wanted) if isinstance(wanted, list) else (wanted,) for parent, wanted in when.items()}
    for parent, wanted in found.items():
        if not wanted:
            raise ConfigError(f'{where} lists no value of "{parent}".', expected="at least one value")
    return found


def _listed(key: str, values: Any, when: Mapping[str, tuple[Any, ...]]) -> Dimension:
    if not isinstance(values, list):
        raise _bad(key, values)
    if not values:
        raise ConfigError(f'"tune.space.{key}" lists no choice.', expected="at least one value")
    for index, value in enumerate(values):
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):
            raise ConfigError(
                f'"tune.space.{key}": choice {value!r} cannot be tried.', expected="text, a finite number, a table"
            ) from None
        if any(is_same(value, earlier) for earlier in values[:index]):
            raise ConfigError(f'"tune.space.{key}" lists {value!r} twice.', expected="every choice once")
    return Dimension(key, tuple(values), when=when)


def _range(key: str, form: Any, bounds: dict[str, Any], when: Mapping[str, tuple[Any, ...]]) -> Dimension:
    low, high, log, step = (bounds.get(name) for name in _BOUNDS)
    if not bounds.keys() <= set(_BOUNDS) or not is_number(low) or not is_number(high):
        raise _bad(key, form)
    if low >= high:
        raise ConfigError(f'"tune.space.{key}": min is {low} and max is {high}.', expected="min below max")
    if not isinstance(log, bool | None):
        raise ConfigError(f'"tune.space.{key}": log is {log!r}.', expected="true or false")
    if log and low <= 0:
        raise ConfigError(f'"tune.space.{key}": min is {low} on a logarithmic scale.', expected="min above 0")
    whole = isinstance(low, int) and isinstance(high, int)
    _check_step(key, low, high, step, bool(log), whole)
    low, high = (low, high) if whole else (float(low), float(high))
    return Dimension(key, _steps(low, high, step, bool(log), whole), low, high, step, bool(log), when)


def _check_step(key: str, low: float, high: float, step: Any, log: bool, whole: bool) -> None:
    if step is None:
        return
    if not is_number(step) or step <= (1 if log else 0) or (whole and not isinstance(step, int)):
        like = ", whole as min and max are" if whole else ""
        raise ConfigError(
            f'"tune.space.{key}": step is {step!r}.',
            expected=f"a {'factor above 1' if log else 'number above 0'}{like}",
        )
    first, last = Decimal(str(low)), Decimal(str(high))  # as they are written: 0.3 - 0.2 is 0.1
    if Decimal(str(step)) > (last / first if log else last - first):
        raise ConfigError(
            f'"tune.space.{key}": step is {step} and leaves only min, {low}.', expected="a step from min to max or less"
        )


def _steps(low: Any, high: Any, step: Any, log: bool, whole: bool) -> Sequence[Any] | None:
    """Every value of a range; in decimals, so that a step of 0.1 meets 0.3 as it is written, and the end of the range.

    KerasTuner's own arithmetic gives 0.30000000000000004, and from 0 to 1 it never reaches 1.
    """
    if whole and (step is None or not log):
        return range(low, high + 1, step or 1)
    if step is None:
        return None
    first, last, by = Decimal(str(low)), Decimal(str(high)), Decimal(str(step))
    count = math.floor(math.log(high / low) / math.log(step) + 1e-9) if log else int((last - first) / by)
    if count >= _MANY:
        return None
    found = (first * by**index if log else first + by * index for index in range(count + 1))
    return tuple(int(value) if whole else float(value) for value in found)


def _bad(key: str, values: Any) -> ConfigError:
    return ConfigError(
        f'"tune.space.{key}" is {values!r}.',
        expected="a list of choices, {choices = [...], when = {...}}, or "
        "{min = ..., max = ..., log = true, step = ..., when = {...}}",
    )
