"""What the stages from `tune` to `export` share: a model built, trained once, loaded again, described and compared."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.components import augmentations_of, check_augmentations, model_of, optimizer_of, resolved
from pipeline.config import Config
from pipeline.context import Context
from pipeline.errors import ConfigError
from pipeline.runs import Run, read_json
from pipeline.spec import Spec

# Of a store that does not know its spec.
_BATCH_SIZE = 256
# Rows that the SavedModel is asked before it is published.
COMPARED_ROWS = 256
# In a file of weights, beside its numbers: measured, 3 to 4 kB.
_BYTES_OF_LAYER = 1 << 13


def spec_of(context: Context) -> Spec:
    """What `prepare` found a model must know."""
    return Spec.from_json(read_json(context.inputs["prepare"] / "spec.json"))


def transforms_of(context: Context) -> Any:
    """What `prepare` learnt from train."""
    from pipeline.data.transforms import Transforms

    return Transforms.from_json(read_json(context.inputs["prepare"] / "transforms.json"))


def space_of(config: Config, spec: Spec) -> dict[str, Any]:
    """The search space: the config's, or the default one as far as the model has its hyperparameters."""
    from pipeline.training.search import default_space

    if config.tune.space is not None:
        return config.tune.space
    space = default_space(spec, model_of(resolved(config, spec), spec.image_shape is not None)[0])
    if "units" in config.model.arguments:  # a person's own sizes, in place of width and depth
        space = {key: values for key, values in space.items() if key not in ("model.width", "model.depth")}
    return space


def check_classes(context: Context, space: dict[str, Any]) -> None:
    """Refuses classes that train does not have, in the config and in the search space, before the first trial.

    Raises:
      ConfigError: see `LabelInfo.by_index`.
    """
    from pipeline.data.label_info import LabelInfo
    from pipeline.data.store import Store

    label = LabelInfo.of(Store(context.inputs["prepare"] / "train"))
    for key in ("train.class_weight", "train.resample"):
        tried = space.get(key, [])
        for value in [context.config.section(key), *(tried.get("choices", []) if isinstance(tried, dict) else tried)]:
            label.by_index(value, key)


def train_once(
    context: Context,
    config: Config,
    spec: Spec,
    on_epoch: Any = None,
    checkpoint: Any = None,
    budget: float | None = None,
    started: float | None = None,
) -> tuple[Any, Any]:
    """One training of a config: the same for a trial and for the final model, which alone has checkpoints and a budget.

    Args:
      context: of the stage.
      config, spec: what is trained.
      on_epoch, checkpoint: see `pipeline.training.fit`.
      budget: seconds; None: only epochs and patience end it. The model is sized by the config's budget all the same.
      started: when the budget began, by `time.perf_counter`; None: with the first step.
    """
    import keras

    from pipeline.data.input_pipeline import make_eval
    from pipeline.data.store import Store
    from pipeline.training import fit

    keras.backend.clear_session()
    keras.utils.set_random_seed(config.seed)
    config = resolved(config, spec)
    prepared = context.inputs["prepare"]
    batches = train_batches(config, prepared)
    model = build_model(config, spec)
    history = fit(
        model,
        batches,
        make_eval(Store(prepared / "validation")),
        spec=spec,
        optimizer=optimizer_of(config),
        epochs=config.train.max_epochs,
        budget=budget,
        spent=0.0 if started is None else time.perf_counter() - started,
        patience=config.train.patience,
        label_smoothing=config.train.label_smoothing or 0.0,
        ema=config.train.ema,
        precision=config.train.precision,
        on_epoch=on_epoch,
        checkpoint=checkpoint,
        steps_per_call=None if config.feed.steps_per_call == "auto" else config.feed.steps_per_call,
    )
    return model, history


def train_batches(config: Config, prepared: Path) -> Any:
    """The train batches of all epochs (with a budget alone: of one), as `pipeline.data.make_train` gives them.

    Args:
      config: of the run.
      prepared: the artifact of `prepare`.
    """
    from pipeline.data.input_pipeline import make_train
    from pipeline.data.label_info import LabelInfo
    from pipeline.data.store import Store

    store = Store(prepared / "train")
    label = LabelInfo.of(store)
    augmentations = augmentations_of(config)
    if store.spec is not None:
        config = resolved(config, store.spec)
        check_augmentations(augmentations, store.spec)
    return make_train(
        store,
        batch_size=config.train.batch_size or _BATCH_SIZE,
        seed=config.seed,
        epochs=config.train.max_epochs or 1,  # of a feed that holds one, `fit` takes as many as it needs
        augment=augmentations,
        resample=label.by_index(config.train.resample, "train.resample"),
        class_weight=label.by_index(config.train.class_weight, "train.class_weight"),
        threads=config.feed.threads,
    )


def checkpoints_of(context: Context, stage: str) -> Any:
    """Where and how often the training of a stage is saved; None where the config wants no checkpoints."""
    return checkpoints_in(context, Run(context.run_directory).checkpoints(stage, context.fingerprint))


def checkpoints_in(context: Context, directory: Path, part: str = "") -> Any:
    """The same in a directory of one's own.

    Args:
      context: of the stage.
      directory: for this training alone.
      part: what the training is of those of its stage.
    """
    from pipeline.training import Checkpoints

    seconds, reporter = context.config.resume.checkpoint_seconds, context.reporter
    if seconds == 0:
        return None
    fingerprint = f"{context.fingerprint}{part and f'-{part}'}"
    return Checkpoints(
        directory, every_seconds=seconds, fingerprint=fingerprint, note=reporter.note, warn=reporter.warn
    )


def build_model(config: Config, spec: Spec) -> Any:
    """The model that the config names, sized by the data and by the budget.

    Raises:
      ConfigError: it refuses its hyperparameters.
    """
    function, hyperparameters = model_of(resolved(config, spec), spec.image_shape is not None)
    try:
        return function(replace(spec, budget_seconds=config.train.budget_seconds), **hyperparameters)
    except (TypeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f'"model": {function.__name__} refuses {hyperparameters}: {reason}') from error


def save_weights(model: Any, path: Path) -> None:
    """As Keras does, once it is known that there is room: HDF5 that finds none crashes the process, error or not.

    Args:
      model: whose weights.
      path: of the file, which ends in `.weights.h5`.

    Raises:
      OSError: the disk is full, or the file may not be that large.
    """
    layers = len(list(model._flatten_layers()))
    num_bytes = sum(4 * int(variable.shape.num_elements()) for variable in model.variables) + layers * _BYTES_OF_LAYER
    if hasattr(os, "posix_fallocate"):
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, num_bytes)
    model.save_weights(path)


def trained_model(context: Context, spec: Spec) -> Any:
    """Built again from the config that trained it, with its weights."""
    trained = context.inputs["train"]
    written = read_json(trained / "config.json")
    config = context.config.override({"model": written["model"], "train.budget": written["train"]["budget"]})
    model = build_model(config, spec)
    model.load_weights(trained / "model.weights.h5")
    return model


def about(context: Context, spec: Spec, transforms: Any) -> dict[str, Any]:
    """What travels with the SavedModel: for `pipeline predict`, and for whoever finds it later."""
    from pipeline.export.saved_model import about_model

    return {
        "name": context.config.name,
        **about_model(spec, transforms),
        "evaluation": read_json(context.inputs["evaluate"] / "evaluation.json"),
        "split": read_json(context.inputs["split"] / "split.json"),
        "training": read_json(context.inputs["train"] / "config.json") | {"source": None},
    }


def compare_with_saved(
    context: Context, spec: Spec, transforms: Any, model: Any, saved_model: Path, process: Any
) -> float:
    """Raw validation rows through the SavedModel, prepared ones through the model: test stays closed here."""
    import numpy as np

    from pipeline.data.preparation import rows_of
    from pipeline.data.sides import VALIDATION
    from pipeline.data.store import Store
    from pipeline.export.compare import largest_difference
    from pipeline.export.saved_model import argument_names, expected_outputs, raw_columns

    sides = np.load(context.inputs["split"] / "sides.npy")
    num_rows = min(COMPARED_ROWS, int((sides == VALIDATION).sum()))
    batch = next(rows_of(context.inputs["ingest"] / "rows.arrow", sides, VALIDATION, num_rows))
    raw = raw_columns(batch, transforms)
    arguments = argument_names(list(raw))
    prepared = Store(context.inputs["prepare"] / "validation")[np.arange(batch.num_rows)]
    with context.reporter.bar("SavedModel asked in a fresh process"):
        found = process.ask(saved_model, {arguments[name]: column for name, column in raw.items()})
    return largest_difference(
        found, expected_outputs(model, spec, transforms, prepared), context.config.export.tolerance
    )
