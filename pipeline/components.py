"""The named parts of a config as objects, checked before anything runs."""

from __future__ import annotations

import inspect
import itertools
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.config import Config
from pipeline.config_sections import Component
from pipeline.data.infer import Wanted
from pipeline.data.kinds import Kind
from pipeline.data.schema_file import Column, load_schema_file
from pipeline.data.sources.source import Source
from pipeline.data.split import Given, Time
from pipeline.data.transforms.choose import default_choices
from pipeline.data.transforms.transform import Transform
from pipeline.errors import ConfigError
from pipeline.recipes import recipe
from pipeline.resolve import build, check_arguments, find
from pipeline.spec import Spec

_ENDINGS = {
    ".csv": "Csv",
    ".tsv": "Csv",
    ".txt": "Csv",
    ".data": "Csv",
    ".parquet": "Parquet",
    ".pq": "Parquet",
    ".arrow": "Arrow",
    ".feather": "Arrow",
    ".ipc": "Arrow",
    ".arrows": "Arrow",
    ".json": "JsonLines",
    ".jsonl": "JsonLines",
    ".ndjson": "JsonLines",
    ".npz": "Npz",
}
# What an augmentation of a part changes.
_HELD = {
    "image": "images",
    "numeric": "numbers",
    "categorical": "categories",
    "table": "numbers and categories",
    "bags": "texts and tags",
}
# Of what lies in a folder: these are rows, the others are whole examples in folders of their classes.
_IMAGES, _TEXTS = (".jpg", ".jpeg", ".png"), (".txt",)


def source_of(config: Config) -> Source:
    """The source that the config names, or that its path's ending tells.

    Raises:
      ConfigError: the kind cannot be told, or the arguments do not fit.
    """
    component: Component = config.source
    if component.name == "auto":
        component = component.model_copy(update={"name": kind_of_path(component.arguments.get("path"))})
    arguments = component.arguments
    if component.name.lower() == "tfds" and "path" in arguments:  # a folder of prepared data, beside the config
        arguments["dataset"] = arguments.pop("path")
        component = Component(name=component.name, **arguments)
    if component.name == "Tfds" and "path" in component.arguments:  # a folder of prepared data
        arguments = {"dataset" if key == "path" else key: value for key, value in component.arguments.items()}
        component = Component(name="Tfds", **arguments)
    source: Source = build(component, "pipeline.data.sources", "source", label=config.label)
    return source


def split_of(config: Config, recognized: str | None) -> Any:
    """The split that the config names; by default the recognized split column, else a stratified one."""
    component: Component = config.split
    if component.name.lower() == "auto":
        # Shares that a person wrote down are meant, whatever column there is.
        given = (recognized is not None or "column" in component.arguments) and not {"train", "test"} & set(
            component.arguments
        )
        component = component.model_copy(update={"name": "Given" if given else "Stratified"})
    return build(component, "pipeline.data.split", "split")


def split_of_fold(config: Config, fold: int, recognized: str | None) -> Any:
    """The config's split with `tune.folds` folds, of which this one is validation.

    Raises:
      ConfigError: it is one fold of several already, or knows no folds.

    Example:
      >>> from pipeline.config import parse
      >>> given = {"name": "a", "source": "a.csv", "split": {"folds": 5}, "tune": {"folds": 3}}
      >>> config = parse(given, origin="here")
      >>> split_of_fold(config, 0, None)
      Traceback (most recent call last):
      pipeline.errors.ConfigError: "tune.folds" is 3, and the split is fold 0 of 5 already.
        expected: one of them
        fix:      Remove split.folds: the search divides what is not test by the same principle.
    """
    given = config.split.arguments
    if given.get("folds") is not None:
        raise ConfigError(
            f'"tune.folds" is {config.tune.folds}, and the split is fold {given.get("fold", 0)} of {given["folds"]} '
            "already.",
            expected="one of them",
            fix="Remove split.folds: the search divides what is not test by the same principle.",
        )
    return split_of(config.override({"split.folds": config.tune.folds, "split.fold": fold}), recognized)


def wanted_of(config: Config, source: Source) -> Wanted:
    """What is known of the columns: by the config, the schema file and the source, in this order.

    Raises:
      ConfigError: the split's arguments do not fit, or the schema file cannot be used.
    """
    splitter = split_of(config, recognized=None)
    others: dict[str, Kind | None] = {}
    split = config.split.arguments.get("column")
    if not isinstance(splitter, Given) and splitter.needs is not None:
        split = None
        # A group or a key would tell the model which examples belong together; a time may well be a feature.
        if not isinstance(splitter, Time):
            others = {splitter.needs: "categorical"}
        elif splitter.needs in config.features.drop:
            others = {splitter.needs: None}
    columns = columns_of(config)
    kinds = {**source.kinds, **{name: column.kind for name, column in columns.items()}, **config.features.kinds}
    return Wanted(
        label=source.label,
        split=split,
        others=others,
        drop=config.features.drop,
        kinds={name: kind for name, kind in kinds.items() if name not in others},
        known=set(columns) if columns else None,
        weight=config.features.weight,
    )


def columns_of(config: Config) -> dict[str, Column]:
    """What the schema file expects of the columns; nothing without one."""
    return dict(load_schema_file(Path(config.schema_file)).columns) if config.schema_file else {}


def chosen_transforms(config: Config) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """The transforms that the config names: by column, and by kind; several are the steps of a chain.

    Raises:
      ConfigError: there is no such transform, or its arguments do not fit.
    """

    def built(key: str, chosen: Mapping[Any, tuple[Component, ...]]) -> dict[str, list[Any]]:
        return {
            name: [build(component, "pipeline.data.transforms", f"{key}.{name}") for component in components]
            for name, components in chosen.items()
        }

    prepare = config.prepare
    return built("prepare.transforms", prepare.transforms), built("prepare.defaults", prepare.defaults)


def defaults_of(config: Config) -> dict[Kind, Transform]:
    """The transform of each kind, where the config names none."""
    prepare = config.prepare
    return default_choices(
        vocabulary_size=prepare.vocabulary_size, min_count=prepare.min_count, image_size=prepare.image_size
    )


def optimizer_of(config: Config) -> Any:
    """The optimizer, with learning rate and schedule from the section `train`.

    Raises:
      ConfigError: there is none of this name, or its arguments do not fit.
    """
    component: Component = config.train.optimizer
    if component.name.lower() == "auto":  # whichever it will be, its arguments are checked here
        component = component.model_copy(update={"name": "AdamW"})
    given: dict[str, Any] = {"schedule": config.train.schedule}
    if config.train.learning_rate is not None:
        given["learning_rate"] = config.train.learning_rate
    return build(component, "pipeline.training.optimizers", "train.optimizer", **given)


def augmentations_of(config: Config) -> list[Any]:
    """The augmentations, in their order.

    Raises:
      ConfigError: there is no such augmentation, its arguments do not fit, or a thing of one's own is none.
    """
    found = []
    for component in config.train.augment:
        operation = build(component, "pipeline.data.augment", "train.augment")
        lacking = [name for name in ("part", "mixes") if not hasattr(operation, name)]
        if lacking or not callable(operation):
            raise ConfigError(
                f'"train.augment": {component.name} is no augmentation: it has no {(lacking or ["call"])[0]}.',
                expected="a frozen dataclass with part, mixes and a call (examples, keys) -> examples",
            )
        found.append(operation)
    return found


def check_augmentations(augmentations: list[Any], spec: Spec) -> None:
    """Refuses an augmentation of what the data do not hold.

    Raises:
      ConfigError: see above.
    """
    held = {
        "image": spec.image_shape is not None,
        "numeric": bool(spec.edges),
        "categorical": bool(spec.vocabulary_sizes),
        "table": bool(spec.edges or spec.vocabulary_sizes),
        "bags": bool(spec.bags),
    }
    for operation in augmentations:
        if not held.get(operation.part, True):
            there = [_HELD[part] for part in ("image", "table", "bags") if held[part]]
            raise ConfigError(
                f'"train.augment": {type(operation).__name__} changes {_HELD[operation.part]}; the data hold none.',
                expected=f"augmentations of {' and '.join(there)}",
                fix="Remove it, or declare the columns in the section features.",
            )


def default_model(spec: Spec) -> str:
    """The name of the model that suits the data.

    >>> default_model(Spec("binary", 2, num_numeric=3))
    'tabm'
    """
    if spec.image_shape is not None:
        return "convnet"
    # A text may also be numbers (TF-IDF) or stand beside other columns: those are a table.
    return "text_bag" if spec.bags and not (spec.num_numeric or spec.vocabulary_sizes) else "tabm"


def resolved(config: Config, spec: Spec) -> Config:
    """The config with all that it leaves to the data: the model, and how it is trained (see `pipeline.recipes`).

    The recipe's learning rate goes with its optimizer; an optimizer that a person named has its own.
    """
    if config.model.name.lower() == "auto":
        config = config.override({"model": {**config.model.model_dump(), "name": default_model(spec)}})
    written, known = config.section("train"), recipe(config.model.name, spec)
    chosen = {key: known[key] for key in ("batch_size", "epochs", "label_smoothing") if written[key] is None}
    own = {key: value for key, value in written["optimizer"].items() if key != "name"}
    is_auto = written["optimizer"]["name"].lower() == "auto"
    if is_auto:
        chosen["optimizer"] = {**known["optimizer"], **own}
    if written["learning_rate"] is None:
        chosen["learning_rate"] = known["learning_rate"] if is_auto else optimizer_of(config).learning_rate
    return config.override({f"train.{key}": value for key, value in chosen.items()})


def model_of(config: Config, has_images: bool) -> tuple[Any, dict[str, Any]]:
    """The function that builds the model, and its checked hyperparameters."""
    component: Component = config.model
    if component.name.lower() == "auto":
        component = component.model_copy(update={"name": "convnet" if has_images else "tabm"})
    function = find(component, "pipeline.models", "model")
    return function, check_arguments(function, component.arguments, "model")


def check_training(config: Config, has_images: bool) -> None:
    """Refuses a model, optimizer, augmentation or search space that cannot work, before any data is touched.

    Raises:
      ConfigError: see `pipeline.resolve`.
    """
    function, _ = model_of(config, has_images)
    optimizer_of(config)
    _check_by_class(config)
    _check_augment(config, has_images)
    if config.tune.trials and config.tune.folds:
        split_of_fold(config, 0, None)
    if config.tune.trials and config.tune.space is not None:
        from pipeline.training.search import check_space

        _check_space(config, function)

        def values_fit(values: dict[str, Any]) -> None:
            changed = config.override(values)
            chosen_transforms(changed)
            model_of(changed, has_images)
            optimizer_of(changed)
            _check_augment(changed, has_images)
            _check_by_class(changed)

        check_space(config.tune.space, values_fit)


def _check_augment(config: Config, has_images: bool) -> None:
    for operation in augmentations_of(config):
        if operation.part == "image" and not has_images:
            raise ConfigError(
                f'"train.augment": {type(operation).__name__} changes images, but no column is known to hold any.',
                fix='Remove it from train.augment; or name the column: features.image = ["COLUMN"].',
            )


def _check_by_class(config: Config) -> None:
    for key in ("class_weight", "resample"):
        if config.task == "regression" and getattr(config.train, key) != "none":
            raise ConfigError(
                f'"train.{key}" is {getattr(config.train, key)!r}, but the task is regression, which has no classes.',
                expected=f'train.{key} = "none"',
                fix='For weights of single rows name their column: features.weight = "COLUMN".',
            )


def _check_space(config: Config, function: Any) -> None:
    """Refuses keys that are not there, with the nearest one; why others cannot be tuned, `check_space` says."""
    from pipeline.config_sections import Prepare, Train
    from pipeline.errors import did_you_mean
    from pipeline.training.search import EPOCHS, why_not_tuned

    space = config.tune.space or {}
    known = [f"model.{name}" for name in inspect.signature(function).parameters if name != "spec"]
    known += [f"train.{name}" for name in Train.model_fields]
    known += [f"prepare.{name}" for name in Prepare.model_fields]
    open_ended = any(
        parameter.kind is parameter.VAR_KEYWORD for parameter in inspect.signature(function).parameters.values()
    )
    for key in space:
        parent = ".".join(key.split(".")[:2])
        is_free = open_ended and parent.startswith("model.")
        if key.startswith(("model.", "train.", "prepare.")) and parent not in known and not is_free:
            raise ConfigError(
                f'"tune.space": there is no key "{key}".',
                expected=f"one of {', '.join(name for name in known if not why_not_tuned(name))}",
                fix=did_you_mean(key, known).strip() or None,
            )
    if config.tune.algorithm == "hyperband" and EPOCHS in space:
        raise ConfigError(
            f'"tune.space": "{EPOCHS}" cannot be tuned by hyperband, which says itself how long each trial trains.',
            expected="tune.epochs, for the longest ones",
            fix='Remove the key, or tune.algorithm = "random".',
        )


def kind_of_path(path: Any, default: str | None = None) -> str:
    """The source that fits what lies at a path.

    Args:
      path: of a file or a folder, or a pattern.
      default: for a file whose ending tells nothing.

    Raises:
      ConfigError: nothing is there, or its kind cannot be told.
    """
    if not isinstance(path, str):
        raise ConfigError(
            '"source" has neither a path nor a name.',
            expected='source = "rows.csv" or source = {name = "ScikitLearn", ...}',
        )
    here = Path(path)
    if here.is_dir():
        return _kind_of_folder(here)
    ending = here.with_suffix("").suffix.lower() if here.suffix.lower() == ".gz" else here.suffix.lower()
    if ending in _ENDINGS:
        return _ENDINGS[ending]
    if "-ubyte" in here.name:
        return "Idx"
    if not here.exists():
        raise ConfigError(f'"source": {path} does not exist.', expected="a file, a pattern or a folder")
    if default is not None:
        return default
    raise ConfigError(
        f'"source": the kind of {path} cannot be told from its ending.',
        expected=f"one of {', '.join(_ENDINGS)}, or a folder",
        fix='Name it: source = {name = "Csv", path = "..."}.',
    )


def _kind_of_folder(folder: Path) -> str:
    """By what lies in it: prepared TFDS data, IDX files, tables, or class folders of images or texts."""
    try:
        names = sorted(path.name for path in folder.iterdir() if path.is_file())
    except OSError as error:
        raise ConfigError(
            f'"source": {folder} cannot be read: {error.strerror}.', expected="a readable folder"
        ) from None
    if "dataset_info.json" in names:
        return "Tfds"
    if any("-ubyte" in name for name in names):
        return "Idx"
    inside = list(itertools.islice(_files_below(folder), 2000))
    endings = {path.suffix.lower() for path in inside}
    if endings & set(_IMAGES):
        return "ImageFolder"
    tables = Counter(
        _ENDINGS[ending] for name in names if (ending := _ending(name)) in _ENDINGS and ending not in _TEXTS
    )
    if tables:
        return tables.most_common(1)[0][0]
    return "TextFolder" if endings & set(_TEXTS) else "ImageFolder"


def _ending(name: str) -> str:
    return Path(name.lower().removesuffix(".gz")).suffix


def _files_below(folder: Path) -> Iterator[Path]:
    for below, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(below, name) for name in sorted(names))
