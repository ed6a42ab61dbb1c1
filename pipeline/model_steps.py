"""What the stages from `tune` to `export` share: a model built, trained once, loaded again, described and compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.components import augmentations_of, model_of, optimizer_of
from pipeline.config import Config
from pipeline.context import Context
from pipeline.errors import ConfigError
from pipeline.runs import read_json
from pipeline.spec import Spec

# Rows that the SavedModel is asked before it is published.
COMPARED_ROWS = 256


def spec_of(context: Context) -> Spec:
    """What `prepare` found a model must know."""
    return Spec.from_json(read_json(context.inputs["prepare"] / "spec.json"))


def transforms_of(context: Context) -> Any:
    """What `prepare` learnt from train."""
    from pipeline.data.transforms import Transforms

    return Transforms.from_json(read_json(context.inputs["prepare"] / "transforms.json"))


def space_of(config: Config, spec: Spec) -> dict[str, Any]:
    """The search space: the config's, or the default one as far as the model has its hyperparameters."""
    from pipeline.training import default_space

    if config.tune.space is not None:
        return config.tune.space
    function, _ = model_of(config, spec.image_shape is not None)
    import inspect

    known = inspect.signature(function).parameters
    space = default_space(spec)
    # A model of one's own may not have every hyperparameter of ours.
    return {key: values for key, values in space.items() if not key.startswith("model.") or key[6:] in known}


def train_once(context: Context, config: Config, spec: Spec, on_epoch: Any = None) -> tuple[Any, Any]:
    """One training of a config: the same for a trial and for the final model."""
    import keras

    from pipeline.data.input_pipeline import make_eval, make_train
    from pipeline.data.store import Store
    from pipeline.training import fit

    keras.backend.clear_session()
    keras.utils.set_random_seed(config.seed)
    prepared = context.inputs["prepare"]
    batches = make_train(
        Store(prepared / "train"),
        batch_size=config.train.batch_size,
        seed=config.seed,
        epochs=config.train.epochs,
        augment=augmentations_of(config),
    )
    model = build_model(config, spec)
    history = fit(
        model,
        batches,
        make_eval(Store(prepared / "validation")),
        spec=spec,
        optimizer=optimizer_of(config),
        epochs=config.train.epochs,
        patience=config.train.patience,
        on_epoch=on_epoch,
    )
    return model, history


def build_model(config: Config, spec: Spec) -> Any:
    """The model that the config names.

    Raises:
      ConfigError: it refuses its hyperparameters.
    """
    function, hyperparameters = model_of(config, spec.image_shape is not None)
    try:
        return function(spec, **hyperparameters)
    except (TypeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f'"model": {function.__name__} refuses {hyperparameters}: {reason}') from error


def trained_model(context: Context, spec: Spec) -> Any:
    """Built again from the config that trained it, with its weights."""
    trained = context.inputs["train"]
    written = read_json(trained / "config.json")
    config = context.config.override({"model": written["model"]})
    model = build_model(config, spec)
    model.load_weights(trained / "model.weights.h5")
    return model


def about(context: Context, spec: Spec, transforms: Any) -> dict[str, Any]:
    """What travels with the SavedModel: for `pipeline predict`, and for whoever finds it later."""
    import keras
    import tensorflow as tf

    from pipeline import __version__
    from pipeline.data.schema import Schema
    from pipeline.data.transforms.target import FittedClassIndex

    schema = Schema.from_json(read_json(context.inputs["ingest"] / "schema.json"))
    target = transforms.target
    return {
        "name": context.config.name,
        "task": spec.task,
        "label": transforms.label,
        "classes": list(target.names) if isinstance(target, FittedClassIndex) else [],
        "kinds": {feature.name: feature.kind for feature in schema.features},
        "evaluation": read_json(context.inputs["evaluate"] / "evaluation.json"),
        "split": read_json(context.inputs["split"] / "split.json"),
        "training": read_json(context.inputs["train"] / "config.json") | {"source": None},
        "versions": {"pipeline": __version__, "tensorflow": tf.__version__, "keras": keras.__version__},
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
