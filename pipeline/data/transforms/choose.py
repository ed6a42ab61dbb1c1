"""Which transform a column gets: by its name, else by its kind."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pipeline.data.kinds import Kind
from pipeline.data.schema import Schema
from pipeline.data.transforms.chain import Chain
from pipeline.data.transforms.date_time_parts import DateTimeParts
from pipeline.data.transforms.hashed_text import HashedText
from pipeline.data.transforms.resize_image import ResizeImage
from pipeline.data.transforms.standardize import Standardize
from pipeline.data.transforms.step import is_step
from pipeline.data.transforms.tags import Tags
from pipeline.data.transforms.transform import Transform
from pipeline.data.transforms.vocabulary import Vocabulary
from pipeline.errors import ConfigError, did_you_mean

# A transform; or a step for numbers, or several of them, which make a chain.
Choice = Any


def default_choices(
    *, vocabulary_size: int = 10_000, min_count: int = 2, image_size: tuple[int, int] | None = None
) -> dict[Kind, Transform]:
    """The transform of each kind of column where nothing else is chosen.

    Args:
      vocabulary_size, min_count: of categories and tags, see `Vocabulary`.
      image_size: (height, width); None: by the train images.
    """
    height, width = image_size or (None, None)
    return {
        "numeric": Standardize(),
        "categorical": Vocabulary(vocabulary_size, min_count),
        "datetime": DateTimeParts(),
        "tags": Tags(max_size=vocabulary_size, min_count=min_count),
        "text": HashedText(),
        "image": ResizeImage(height, width),
    }


def choices_of(
    schema: Schema,
    per_column: Mapping[str, Choice] | None = None,
    per_kind: Mapping[Any, Choice] | None = None,
    defaults: Mapping[Kind, Transform] | None = None,
) -> dict[str, Transform]:
    """A transform for every feature.

    Args:
      schema: of the stored rows.
      per_column: column -> a transform, or for a column of numbers a step (`Log()`) or several.
      per_kind: kind -> the same, for every column of that kind that is not named.
      defaults: for the kinds that are not named, see `default_choices`.

    Raises:
      ConfigError: there is no such column or kind; or a transform does not take the kind of its column.

    Example:
      >>> from pipeline.data.schema import Feature
      >>> from pipeline.data.transforms import OneHot
      >>> schema = Schema((Feature("town", "categorical"), Feature("age", "numeric")), Feature("y", "categorical"))
      >>> choices_of(schema, {"town": OneHot(max_size=50)})
      {'town': OneHot(max_size=50, min_count=2), 'age': Standardize()}
    """
    per_column, per_kind, defaults = per_column or {}, per_kind or {}, {**default_choices(), **(defaults or {})}
    _check_names(schema, per_column, per_kind)
    chosen: dict[str, Transform] = {}
    for feature in schema.features:
        name, kind = feature.name, feature.kind
        if name in per_column:
            chosen[name] = _checked(per_column[name], kind, f'"prepare.transforms", column "{name}"', name)
        elif kind in per_kind:
            chosen[name] = _checked(per_kind[kind], kind, f'"prepare.defaults.{kind}"')
        else:
            chosen[name] = defaults[kind]
    return chosen


def _check_names(schema: Schema, per_column: Mapping[str, Any], per_kind: Mapping[str, Any]) -> None:
    known = [feature.name for feature in schema.features]
    ignored = dict(schema.ignored)
    for name in per_column:
        if name == schema.label.name:
            raise ConfigError(f'"prepare.transforms": "{name}" is the label.', fix="Remove it: the task decides.")
        if name in ignored:
            raise ConfigError(f'"prepare.transforms": the column "{name}" is left out: {ignored[name]}.')
        if name not in known:
            raise ConfigError(
                f'"prepare.transforms": there is no feature "{name}".',
                expected=f"one of {', '.join(known)}",
                fix=did_you_mean(name, known).strip() or None,
            )
    for kind in per_kind:
        if kind not in get_args(Kind):
            raise ConfigError(
                f'"prepare.defaults": there is no kind "{kind}".',
                expected=f"one of {', '.join(get_args(Kind))}",
                fix=did_you_mean(kind, get_args(Kind)).strip() or None,
            )


def _checked(choice: Choice, kind: Kind, key: str, column: str = "COLUMN") -> Transform:
    """As one transform, which takes the kind."""
    steps = list(choice) if isinstance(choice, Sequence) and not isinstance(choice, str) else [choice]
    for step in steps:
        if not hasattr(step, "kinds") or not (is_step(step) or hasattr(step, "learner")):
            raise ConfigError(
                f"{key}: {step!r} is no transform.",
                expected="an object with kinds, learner() and fit(learner); or, for numbers, fit_values(values)",
            )
        if kind not in step.kinds:
            raise ConfigError(
                f"{key}: {type(step).__name__} does not take {_counted(kind)}.",
                expected=f"one of {', '.join(_that_take(kind))}",
                fix=f'Or declare the column: features.{step.kinds[0]} = ["{column}"].',
            )
    if len(steps) == 1 and not is_step(steps[0]):
        transform: Transform = steps[0]
        return transform
    return Chain.of(steps, key)


def _that_take(kind: Kind) -> list[str]:
    """The public transforms for a kind of column."""
    room = importlib.import_module("pipeline.data.transforms")
    return sorted(name for name in room.__all__ if kind in getattr(getattr(room, name), "kinds", ()))


def _counted(kind: Kind) -> str:
    return {"numeric": "numbers", "categorical": "categories", "datetime": "times", "text": "text", "tags": "tags"}.get(
        kind, "images"
    )
