"""A hyperparameter as an axis: where a value lies on it, and how it is written."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.report.summary import number, printable
from pipeline.report.tuning_files import fence, finite

_NUM_TICKS = 6
_MAX_CHOICES_SHOWN = 9
# Beyond this ratio a linear axis hides the differences of the small ones.
_LOG_RATIO = 30.0


@dataclass(frozen=True)
class Axis:
    """The values of one key, from 0 to 1.

    Attributes:
      key: of the config.
      name: a short one.
      choices: identities of the values, evenly spaced, and `texts`, how they are written; empty: numbers.
      low, high: ends of an axis of numbers; log: whether it is logarithmic.

    Example:
      >>> axis = axis_of("train.learning_rate", {"min": 0.001, "max": 0.1, "log": True}, [])
      >>> axis.place(0.01), axis.place("none"), [text for _, text in axis.ticks()]
      (0.5, None, ['0.001', '0.01', '0.1'])
    """

    key: str
    name: str
    choices: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 1.0
    log: bool = False

    @property
    def is_ordered(self) -> bool:
        """Whether more and less mean something."""
        return all(finite(json.loads(choice)) is not None for choice in self.choices)

    def place(self, value: Any) -> float | None:
        """From 0 to 1; None: the axis does not have the value."""
        if self.choices:
            identity = _identity(value)
            return self.choices.index(identity) / max(len(self.choices) - 1, 1) if identity in self.choices else None
        found = finite(value)
        if found is None or self.low == self.high:
            return None if found is None else 0.5
        ends = self.low, self.high
        low, high, at = (math.log(one) for one in (*ends, max(found, self.low))) if self.log else (*ends, found)
        return round(min(max((at - low) / (high - low), 0.0), 1.0), 12)

    def place_in(self, overrides: Mapping[str, Any]) -> float | None:
        """Of a trial; None, too, where the key does not exist in it."""
        return self.place(overrides[self.key]) if self.key in overrides else None

    def value(self, place: float) -> str:
        """The inverse of `place`, written."""
        if self.choices:
            return self.texts[round(place * max(len(self.choices) - 1, 1))]
        if self.log:
            return f"{math.exp(math.log(self.low) * (1 - place) + math.log(self.high) * place):.2g}"
        return f"{self.low * (1 - place) + self.high * place:.2g}"

    def ticks(self) -> list[tuple[float, str]]:
        """Places and what stands there."""
        if self.choices:
            step = -(-len(self.choices) // _MAX_CHOICES_SHOWN)
            return [(at / max(len(self.choices) - 1, 1), self.texts[at]) for at in range(0, len(self.choices), step)]
        if self.low == self.high:
            return [(0.5, number(self.low))]
        places = ((self.place(value), number(value)) for value in self._round_values())
        return [(place, text) for place, text in places if place is not None]

    def _round_values(self) -> list[float]:
        if self.log and (decades := _decades(self.low, self.high)):
            return decades
        from matplotlib.ticker import MaxNLocator

        values = MaxNLocator(_NUM_TICKS - 1).tick_values(self.low, self.high)
        return [float(value) for value in values if self.low <= value <= self.high]


def axes_of(space: Mapping[str, Any], trials: Sequence[Mapping[str, Any]]) -> list[Axis]:
    """One for every key of the space, then for keys that only trials have.

    Values that trials have beyond the space, as the config's own may be, widen the axis.
    """
    keys = list(dict.fromkeys([*space, *(key for trial in trials for key in trial["overrides"])]))
    names = short_names(keys)
    return [
        axis_of(key, space.get(key), [t["overrides"][key] for t in trials if key in t["overrides"]], names[key])
        for key in keys
    ]


def axis_of(key: str, searched: Any, seen: Sequence[Any], name: str | None = None) -> Axis:
    """One axis.

    Args:
      key: of the config.
      searched: as in the config: choices, {min, max, log} or {choices}; None: unknown.
      seen: values that trials had.
      name: a short one; None: the key.
    """
    name = printable(name or key, 40)
    if isinstance(searched, Mapping) and "min" in searched and "max" in searched:
        numbers = [float(searched["min"]), float(searched["max"])]
        numbers += [value for value in map(finite, seen) if value is not None]
        low, high = min(numbers), max(numbers)
        return Axis(key, name, low=low, high=high, log=bool(searched.get("log")) and low > 0)
    listed = searched.get("choices") if isinstance(searched, Mapping) else searched
    values = {_identity(value): value for value in [*(listed if isinstance(listed, list) else []), *seen]}
    if all(finite(value) is not None for value in values.values()):
        values = dict(sorted(values.items(), key=lambda item: item[1]))
    # An axis needs a choice: a key of which nothing is known has an empty one.
    return Axis(key, name, tuple(values) or ("null",), tuple(map(show, values.values())) or ("",))


def score_axis(scores: Sequence[float]) -> Axis:
    """For scores, up to the `fence`; logarithmic where they differ by much.

    Raises:
      ValueError: there is no score.
    """
    if not scores:
        raise ValueError("no score")
    low, high = min(scores), fence(scores)
    return Axis("score", "validation loss", low=low, high=high, log=low > 0 and high / low > _LOG_RATIO)


def show(value: Any, limit: int = 24) -> str:
    """A value as a short text.

    Example:
      >>> show(0.00125), show("AdamW"), show(True), show([64, 64]), show({"name": "SGD", "momentum": 0.9})
      ('0.00125', 'AdamW', 'true', '[64, 64]', 'SGD(momentum=0.9)')
    """
    return printable(_written(value), limit)


def _written(value: Any) -> str:
    found = finite(value)
    if found is not None:
        return number(found)
    if isinstance(value, Mapping) and isinstance(value.get("name"), str):
        arguments = ", ".join(f"{key}={_written(one)}" for key, one in value.items() if key != "name")
        return f"{value['name']}({arguments})"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def short_names(keys: Iterable[str]) -> dict[str, str]:
    """The shortest ends of dotted keys that tell them apart, and do not start with a place in a list.

    Example:
      >>> short_names(["train.learning_rate", "train.augment.0.alpha", "train.augment.1.alpha", "model.alpha"])
      {'train.learning_rate': 'learning_rate', 'train.augment.0.alpha': 'augment.0.alpha', \
'train.augment.1.alpha': 'augment.1.alpha', 'model.alpha': 'model.alpha'}
    """
    known = list(keys)
    return {key: next(end for end in _ends(key) if end == key or _is_alone(end, known)) for key in known}


def _ends(key: str) -> list[str]:
    parts = key.split(".")
    ends = [".".join(parts[start:]) for start in range(len(parts) - 1, -1, -1) if not parts[start].isdigit()]
    return [*ends, key]


def _is_alone(end: str, keys: Sequence[str]) -> bool:
    return sum(key == end or key.endswith(f".{end}") for key in keys) == 1


def _decades(low: float, high: float) -> list[float]:
    """Powers of ten, not more than fit; empty where there are fewer than two."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    step = -(-(last - first + 1) // _NUM_TICKS)
    # `low` and `high` themselves, where they are a power of ten but for rounding.
    return [min(max(10.0**power, low), high) for power in range(first, last + 1, step)] if last > first else []


def _identity(value: Any) -> str:
    """Equal for 1 and 1.0, not for true: JSON does not keep them apart, a config does."""
    found = finite(value)
    return json.dumps(value if found is None else found, sort_keys=True)
