"""The named parts of a config as objects, checked before anything runs."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from pipeline.config import Component, Config
from pipeline.data.sources.source import Source
from pipeline.errors import ConfigError
from pipeline.resolve import build, check_arguments, find

_ENDINGS = {".csv": "Csv", ".tsv": "Csv", ".txt": "Csv", ".parquet": "Parquet", ".pq": "Parquet"}


def source_of(config: Config) -> Source:
    """The source that the config names, or that its path's ending tells.

    Raises:
      ConfigError: the kind cannot be told, or the arguments do not fit.
    """
    component: Component = config.source
    if component.name == "auto":
        component = component.model_copy(update={"name": _kind(component.arguments.get("path"))})
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


def optimizer_of(config: Config) -> Any:
    """The optimizer, with learning rate and schedule from the section `train`."""
    given = {"learning_rate": config.train.learning_rate, "schedule": config.train.schedule}
    return build(config.train.optimizer, "pipeline.training.optimizers", "train.optimizer", **given)


def augmentations_of(config: Config) -> list[Any]:
    """The augmentations, in their order."""
    return [build(component, "pipeline.data.augment", "train.augment") for component in config.train.augment]


def model_of(config: Config, has_images: bool) -> tuple[Any, dict[str, Any]]:
    """The function that builds the model, and its checked hyperparameters."""
    component: Component = config.model
    if component.name == "auto":
        component = component.model_copy(update={"name": "convnet" if has_images else "mlp"})
    function = find(component, "pipeline.models", "model")
    return function, check_arguments(function, component.arguments, "model")


def check_training(config: Config, has_images: bool) -> None:
    """Refuses a model, optimizer, augmentation or search space that cannot work, before any data is touched.

    Raises:
      ConfigError: see `pipeline.resolve`.
    """
    function, _ = model_of(config, has_images)
    optimizer_of(config)
    if augmentations_of(config) and not has_images:
        raise ConfigError('"train.augment" changes images, but the source has none.', fix="Remove train.augment.")
    if config.tune.trials and config.tune.space is not None:
        from pipeline.training.space import to_hyperparameters

        _check_space(config.tune.space, function)
        to_hyperparameters(config.tune.space, {})
        for key, values in config.tune.space.items():
            tried = values if isinstance(values, list) else [values["min"], values["max"]]
            for value in tried:
                changed = config.override({key: value})
                model_of(changed, has_images)
                optimizer_of(changed)


def _check_space(space: dict[str, Any], function: Any) -> None:
    from pipeline.config import Train
    from pipeline.errors import did_you_mean

    known = [f"model.{name}" for name in inspect.signature(function).parameters if name != "spec"]
    known += [f"train.{name}" for name in Train.model_fields]
    open_ended = any(
        parameter.kind is parameter.VAR_KEYWORD for parameter in inspect.signature(function).parameters.values()
    )
    for key in space:
        parent = ".".join(key.split(".")[:2])
        if parent not in known and not (open_ended and parent.startswith("model.")):
            raise ConfigError(
                f'"tune.space": there is no key "{key}".',
                expected=f"one of {', '.join(known)}",
                fix=did_you_mean(key, known).strip() or None,
            )


def _kind(path: Any) -> str:
    if not isinstance(path, str):
        raise ConfigError(
            '"source" has neither a path nor a name.',
            expected='source = "rows.csv" or source = {name = "ScikitLearn", ...}',
        )
    ending = Path(path).suffix.lower()
    if Path(path).is_dir():
        return "ImageFolder"
    if ending in _ENDINGS:
        return _ENDINGS[ending]
    if not Path(path).exists():
        raise ConfigError(f'"source": {path} does not exist.', expected="a file or a folder of images")
    raise ConfigError(
        f'"source": the kind of {path} cannot be told from its ending.',
        expected=f"one of {', '.join(_ENDINGS)}, or a folder",
        fix='Name it: source = {name = "Csv", path = "..."}.',
    )
