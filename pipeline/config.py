"""One experiment as a TOML file: frozen models, strict, with errors that say how to mend the file.

The shortest config is a source and a label; everything else has a default:

    source = "adult.csv"
    label = "income"

A part that is chosen by name (source, split, model, optimizer, augmentation) is a `Component`: its name and
its arguments. `"Adam"` is short for `{name = "Adam"}`. Names are looked up by `pipeline.resolve`.
"""

from __future__ import annotations

import glob
import hashlib
import json
import math
import os
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from pipeline.config_errors import explain
from pipeline.errors import ConfigError, did_you_mean
from pipeline.hashing import FileHashes

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
# Of weights that configs name: each is read once by a process, unless it changes.
_hashes = FileHashes()


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

    threads: int | None = Field(
        None, ge=1, description="That make train batches; None: as many as tf.data thinks best."
    )
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
