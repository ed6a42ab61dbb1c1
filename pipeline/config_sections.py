"""The sections of a config: what can be said in each, and what is assumed where nothing is.

A part that is chosen by name (source, split, model, optimizer, augmentation) is a `Component`: its name and
its arguments. `"Adam"` is short for `{name = "Adam"}`. Names are looked up by `pipeline.resolve`.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, WithJsonSchema, model_validator


class Section(BaseModel):
    """A part of the config: frozen, strict, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Component(Section):
    """Something chosen by name, with its arguments as further keys."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, allow_inf_nan=False)

    name: str = Field(description='A public name of the room, or "their.module:thing".')

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @property
    def arguments(self) -> dict[str, Any]:
        """Every key but the name."""
        return dict(self.__pydantic_extra__ or {})


class Source(Component):
    """Where the rows come from. A plain string is a path, whose ending tells the kind."""

    name: str = Field(
        "auto",
        description="auto, Arrow, Csv, Idx, ImageFolder, JsonLines, Npz, Parquet, ScikitLearn, TextFolder, Tfds or "
        "their.module:thing",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value


class Split(Component):
    """Which rows are train, validation and test."""

    name: str = Field(
        "auto",
        description="auto (a split column if there is one, else Stratified), Stratified, Random, Given, Group, "
        "StratifiedGroup, Time, Key or their.module:thing",
    )


class Model(Component):
    """The network; further keys are its hyperparameters (width, depth, dropout, l1, l2, ...)."""

    name: str = Field(
        "auto",
        description="auto (tabm for tables, convnet for images, text_bag for text alone), mlp, residual_mlp, tabm, "
        "convnet, backbone, text_bag, text_conv or their.module:thing",
    )


class Optimizer(Component):
    """The optimizer, with its arguments (momentum, weight_decay, clip_norm, ...)."""

    name: str = Field(
        "auto",
        description="auto (Adagrad for text_bag, else AdamW), SGD, Adam, AdamW, Adagrad or their.module:thing",
    )


class Features(Section):
    """What a person knows better than the inference from the values."""

    drop: tuple[str, ...] = Field((), description="Columns to leave out.")
    numeric: tuple[str, ...] = Field((), description="Columns that are numbers.")
    categorical: tuple[str, ...] = Field(
        (), description="Columns that are categories, though they may look like numbers."
    )
    text: tuple[str, ...] = Field((), description="Columns of sentences.")
    datetime: tuple[str, ...] = Field((), description="Columns of dates or times, in ISO 8601.")
    tags: tuple[str, ...] = Field((), description="Columns with several values in each row, separated by |.")
    image: tuple[str, ...] = Field((), description="Columns of images: paths of files, or their bytes.")
    known_after: tuple[str, ...] = Field(
        (), description="Columns that are not known yet when a prediction is asked for: a leak if they are used."
    )
    weight: str | None = Field(
        None, description="A column of numbers of 0 or more that say how much each row counts; no feature."
    )

    @property
    def kinds(self) -> dict[str, Any]:
        """Column -> the kind that a person declared."""
        kinds = ("numeric", "categorical", "text", "datetime", "tags", "image")
        return {name: kind for kind in kinds for name in getattr(self, kind)}

    @model_validator(mode="after")
    def _once(self) -> Features:
        kinds = ("numeric", "categorical", "text", "datetime", "tags", "image")
        named = [name for kind in kinds for name in getattr(self, kind)]
        twice = sorted({name for name in named if named.count(name) > 1})
        if twice:
            raise ValueError(f'"{twice[0]}" in one list only, not in two')
        declared = self.kinds.get(self.weight or "", "numeric")
        if self.weight is not None and (self.weight in self.drop or declared != "numeric"):
            raise ValueError(f'"{self.weight}" either as the weight, which is a number, or in a list, not both')
        return self


Action = Literal["ignore", "warn", "stop"]
RowAction = Literal["ignore", "warn", "quarantine", "stop"]


class Checks(Section):
    """What to do about what is found in the data: ignore, warn or stop; for single rows also quarantine."""

    out_of_range: RowAction = Field("warn", description="A number or a time beyond the schema file's min and max.")
    not_whole: RowAction = Field("warn", description="A fraction in a column of whole numbers.")
    new_category: RowAction = Field("warn", description="A category that the schema file does not list.")
    missing: Action = Field("warn", description="More missing values than the schema file allows.")
    not_unique: Action = Field("warn", description="A value twice where the schema file says unique.")
    new_column: Action = Field("warn", description="A column that the schema file does not know; it is left out.")
    leak: Action = Field("warn", description="A feature that gives the label away.")
    conflict: Action = Field("warn", description="Rows with equal features and different labels.")
    drift: Action = Field("warn", description="Train rows unlike those of the last published model.")


class Quarantine(Section):
    """How many bad rows may be set aside before the run stops."""

    max_rows: int | None = Field(None, ge=0, description="Rows; None: any number.")
    max_fraction: float = Field(0.05, ge=0, le=1, description="Share of all rows.")
    max_class_fraction: float = Field(
        0.2, ge=0, le=1, description="Share of the rows of any one class (of at least 20 rows)."
    )


class Twins(Section):
    """Duplicates: rows that are equal, or nearly."""

    keep_together: bool | Literal["auto"] = Field(
        "auto", description="Whether twins go to one side. auto: unless chance explains most of them."
    )
    near: bool = Field(True, description="Whether near twins (images, texts, rows of numbers) are searched, too.")


class Drift(Section):
    """How far train may be from that of the last published model, as effect sizes."""

    thresholds: dict[str, float] = Field({}, description="Measure -> threshold; those not given keep their defaults.")
    features: dict[str, dict[str, float]] = Field({}, description="Column -> measure -> threshold, for it alone.")


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


# One component, or several that are steps of a chain.
Chosen = Annotated[tuple[Component, ...], Field(min_length=1), BeforeValidator(_as_tuple)]
KindName = Literal["numeric", "categorical", "text", "datetime", "tags", "image"]


class Prepare(Section):
    """How features become numbers."""

    image_size: tuple[int, int] | None = Field(
        None, description="Height and width in pixels; None: by the train images."
    )
    vocabulary_size: int = Field(
        10_000, ge=1, description="At most so many categories per column; the rest is unknown."
    )
    min_count: int = Field(2, ge=1, description="A category seen less often in train is unknown.")
    num_bins: int = Field(
        256, ge=2, le=1024, description="Bins per numeric column at most, for the model's embeddings."
    )
    transforms: dict[str, Chosen] = Field(
        {}, description="Column -> its transform; for numbers also a list of steps, such as Clip, Log, RobustScale."
    )
    defaults: dict[KindName, Chosen] = Field(
        {}, description="Kind of column -> the same, for the columns that prepare.transforms does not name."
    )
    cache: Literal["pixels", "encoded"] = Field(
        "pixels", description="Of images: decoded once; or kept as they came, and decoded at every read (less disk)."
    )


def _by_class(value: Any) -> str | dict[str, float]:
    if isinstance(value, str) and value in ("none", "balanced"):
        return value
    if isinstance(value, dict) and all(type(number) in (int, float) for number in value.values()):
        numbers = {str(name): float(number) for name, number in value.items()}
        if all(0 <= number < math.inf for number in numbers.values()):
            return numbers
    raise ValueError("none, balanced, or a table of class = number of 0 or more, e.g. { rare = 5.0 }")


# A word, or a number for each class by its name; classes that are not named are left as they are.
ByClass = Annotated[
    str | dict[str, float],
    PlainValidator(_by_class),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["none", "balanced"]},
                {"type": "object", "additionalProperties": {"type": "number", "minimum": 0}},
            ]
        }
    ),
]


# Of a training that nothing else ends.
DEFAULT_EPOCHS = 100
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def seconds_of(duration: str) -> float:
    """Seconds of a duration such as 90s, 5m or 1h.

    Raises:
      ValueError: it is none, or 0.

    Example:
      >>> seconds_of("90s"), seconds_of("1.5m")
      (90.0, 90.0)
    """
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smh])", duration)
    if found is None or not 0 < float(found[1]) < math.inf:
        raise ValueError('a duration above 0: a number and s, m or h, e.g. "90s", "5m" or "1h"')
    return float(found[1]) * _UNITS[found[2]]


def _duration(value: Any) -> Any:
    seconds_of(str(value))  # or it is none
    return value


class Train(Section):
    """One training."""

    optimizer: Optimizer = Optimizer(name="auto")
    learning_rate: float | None = Field(None, gt=0, description="At the schedule's top; None: what suits the model.")
    schedule: Literal["constant", "warm_up", "cosine", "one_cycle", "reduce_on_plateau"] = Field(
        "cosine", description="Of the learning rate, over all epochs or the whole budget."
    )
    batch_size: int | None = Field(None, ge=1, description="Rows of a step; None: what suits the model and the rows.")
    epochs: int | None = Field(None, ge=1, description="At most; None: what suits the model.")
    budget: Annotated[str, BeforeValidator(_duration)] | None = Field(
        None, description='Time for training at most, e.g. "90s", "5m" or "1h": sizes, epochs and schedule follow it.'
    )
    patience: int = Field(16, ge=1, description="Stop after so many epochs without a better validation loss.")
    label_smoothing: float | None = Field(
        None, ge=0, lt=1, description="Part of every label that all classes share; None: what suits the model."
    )
    ema: float | None = Field(
        None, gt=0, lt=1, description="Decay of a moving average of the weights, which then is the model, e.g. 0.999."
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="Of training steps; bfloat16 is quicker for images where the processor has it."
    )
    augment: tuple[Component, ...] = Field((), description="Random changes of train batches, in this order.")
    class_weight: ByClass = Field(
        "none", description="Weight of a row in the loss: none, balanced, or class name -> weight."
    )
    resample: ByClass = Field("none", description="Share of an epoch: none, balanced, or class name -> share.")

    @property
    def budget_seconds(self) -> float | None:
        """The budget in seconds; None where there is none."""
        return None if self.budget is None else seconds_of(self.budget)

    @property
    def max_epochs(self) -> int | None:
        """What `epochs` means: None where the budget alone ends the training."""
        return DEFAULT_EPOCHS if self.epochs is None and self.budget is None else self.epochs


class Feed(Section):
    """How batches are made and taken: matters of time alone, which change no result and make no stage stale."""

    threads: int | None = Field(None, ge=1, description="That make train batches; None: as many as there are cores.")
    steps_per_call: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto", description="Train steps that are one call into the graph; auto: about half a second of them."
    )


class Tune(Section):
    """The search for hyperparameters. Zero trials: none."""

    algorithm: Literal["random", "grid", "bayesian", "hyperband"] = "random"
    trials: int = Field(10, ge=0, description="At most; a small space may hold fewer.")
    budget: Annotated[str, BeforeValidator(_duration)] | None = Field(
        None, description='Time for all trials at most, e.g. "10m"; None: as long as they take.'
    )
    epochs: int = Field(20, ge=1, description="Per trial, at most.")
    patience: int = Field(5, ge=1, description="A trial ends after so many epochs without a better validation loss.")
    seeds: int = Field(1, ge=1, description="Trainings of each configuration; its score is their mean.")
    folds: int | None = Field(
        None, ge=2, description="Score each configuration on so many folds of what is not test; None: on validation."
    )
    finalists: int | None = Field(
        None, ge=0, description="Best trials that are scored again; None: one for every five trials, three at most."
    )
    finalist_seeds: int = Field(2, ge=1, description="Fresh seeds for each of them.")
    population: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto", description="Trials that are trained at once at most; 1: one after another."
    )
    workers: int = Field(1, ge=1, description="Processes of this machine that train trials.")
    space: dict[str, Any] | None = Field(
        None, description="Config key -> list of choices, or {min, max, log, step}. None: the default space."
    )

    @property
    def budget_seconds(self) -> float | None:
        """The budget in seconds; None where there is none."""
        return None if self.budget is None else seconds_of(self.budget)


class Resume(Section):
    """How a training that was killed goes on. Changes no result, so no stage's fingerprint."""

    checkpoint_seconds: float = Field(30.0, ge=0, description="Between two checkpoints of a training; 0: none.")


class Export(Section):
    """Where the SavedModel goes, and how exactly it must agree with the trained model."""

    directory: str = Field("saved_models", description="Below the current folder, or absolute.")
    tolerance: float = Field(1e-4, gt=0, description="Largest allowed difference, relative and absolute.")
