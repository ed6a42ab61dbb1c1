"""One short function per row of `PLAN`: artifacts in, artifacts out. What each returns goes into its manifest.

A stage imports what it needs inside its function, so that the command line stays quick and the stages before
`prepare` never load TensorFlow for a table.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.components import augmentations_of, columns_of, model_of, optimizer_of, source_of, split_of, wanted_of
from pipeline.config import Config
from pipeline.errors import ConfigError, DataError
from pipeline.progress import Reporter
from pipeline.runs import read_json, write_json
from pipeline.spec import Spec
from pipeline.tensorflow_import import import_tensorflow


@dataclass(frozen=True)
class Context:
    """What a stage is given.

    Attributes:
      config: of the run.
      inputs: stage name -> directory of its artifact, for the stages it needs.
      out: the directory to write into.
      fingerprint: of what it makes.
      reporter: for progress.
      run_directory: of the run, above all artifacts.
      remembered: what the ledger of held-out rows said before this stage was first made; None: it was empty.
    """

    config: Config
    inputs: dict[str, Path]
    out: Path
    fingerprint: str
    reporter: Reporter
    run_directory: Path
    remembered: str | None = None


def act(reporter: Reporter, action: str, line: str, key: str) -> None:
    """Warns, or stops the run.

    Raises:
      DataError: the action is stop.
    """
    if action == "stop":
        raise DataError(line, fix=f'Mend the data; or {key} = "warn" in the config.')
    if action == "warn":
        reporter.warn(line)


def ingest(context: Context) -> dict[str, Any]:
    """Source -> schema.json, rows.arrow, quarantine.parquet, anomalies.json."""
    from dataclasses import asdict

    from pipeline.data.ingest import ingest as read
    from pipeline.data.quarantine import Budget

    config, reporter = context.config, context.reporter
    source = source_of(config)
    found = read(
        source,
        context.out,
        wanted_of(config, source),
        columns=columns_of(config),
        actions=config.checks.model_dump(),
        budget=Budget(**config.quarantine.model_dump()),
        refused=context.run_directory / "refused.parquet",
        image_size=config.prepare.image_size,
        reporter=reporter,
    )
    write_json(context.out / "schema.json", found.schema.to_json())
    write_json(context.out / "anomalies.json", [asdict(anomaly) for anomaly in found.anomalies])
    for name, reason in found.schema.ignored:
        reporter.note(f'column "{name}" is left out: {reason}')
    for anomaly in found.anomalies:
        reporter.warn(anomaly.line())
    if bad := found.quarantine["rows"]:
        reasons = ", ".join(f"{reason} ({count})" for reason, count in found.quarantine["reasons"].items())
        reporter.warn(f"{bad} bad rows are set aside in quarantine.parquet: {reasons}")
    if found.num_unlabelled:
        reporter.warn(
            f"{found.num_unlabelled} of {found.num_rows} rows have no label; they are on no side of the split"
        )
    kinds = [feature.kind for feature in found.schema.features]
    counted: dict[str, Any] = {kind: kinds.count(kind) for kind in sorted(set(kinds))}
    return {"rows": found.num_rows, "set aside": bad, "unlabelled": found.num_unlabelled, **counted}


def split(context: Context) -> dict[str, Any]:
    """rows.arrow -> sides.npy, manifest.arrow, split.json, twins.json."""
    import numpy as np

    from pipeline.data.divide import divide
    from pipeline.data.schema import Schema
    from pipeline.data.sides import NO_SIDE, SIDES
    from pipeline.held_out import HeldOut

    config, ingested = context.config, context.inputs["ingest"]
    schema = Schema.from_json(read_json(ingested / "schema.json"))
    splitter = split_of(config, schema.split)
    divided = divide(
        ingested / "rows.arrow",
        schema,
        splitter,
        held_out=HeldOut.of(context.run_directory).keys(context.remembered),
        near=config.twins.near,
        keep_together=config.twins.keep_together,
        seed=config.seed,
        reporter=context.reporter,
    )
    for line in divided.warnings:
        context.reporter.warn(line)
    for line in divided.notes:
        context.reporter.note(line)
    if divided.conflict is not None and config.checks.conflict != "ignore":
        act(context.reporter, config.checks.conflict, divided.conflict, "checks.conflict")
    np.save(context.out / "sides.npy", divided.sides)
    divided.write_manifest(context.out / "manifest.arrow")
    counts = {name: int((divided.sides == side).sum()) for side, name in enumerate(SIDES)}
    about = {"by": type(splitter).__name__, **counts, "on no side": int((divided.sides == NO_SIDE).sum())}
    write_json(context.out / "split.json", about)
    write_json(context.out / "twins.json", divided.report)
    return about


def prepare(context: Context) -> dict[str, Any]:
    """rows.arrow and sides.npy -> statistics.json, leaks.json, spec.json, transforms.json and a store a side."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    from pipeline.data import preparation as preparing
    from pipeline.data.learn import learn
    from pipeline.data.schema import Schema

    schema = Schema.from_json(read_json(context.inputs["ingest"] / "schema.json"))
    if schema.of_kind("image") or schema.of_kind("text"):
        import_tensorflow()
    rows, sides = context.inputs["ingest"] / "rows.arrow", np.load(context.inputs["split"] / "sides.npy")
    arguments = context.config.prepare.model_dump()
    with ThreadPoolExecutor(1) as pool:  # beside the rest, which leaves time between two batches
        leaks = pool.submit(_leaks, context.config, rows, sides, schema)
        learnt = learn(rows, schema, sides, context.reporter)
        spec, transforms = preparing.fit(learnt, schema, task=context.config.task, **arguments)
        del learnt
        statistics = preparing.encode(rows, schema, sides, transforms, spec, context.out, context.reporter)
        _act_on_leaks(context, leaks.result())
    write_json(context.out / "statistics.json", {side: found.to_json() for side, found in statistics.items()})
    _look_for_drift(context, statistics["train"])
    write_json(context.out / "spec.json", spec.to_json())
    write_json(context.out / "transforms.json", transforms.to_json())
    return {"task": spec.task, "classes": spec.num_classes, "features": len(transforms.features)}


def _leaks(config: Config, rows: Path, sides: Any, schema: Any) -> list[Any]:
    """On train rows only: what is found may make a person drop a column, and then it is learnt."""
    from pipeline.data.leaks import find_leaks
    from pipeline.data.preparation import task_of
    from pipeline.data.rows import labels_of, sample_rows
    from pipeline.data.sides import TRAIN

    kinds = {column.name: column.kind for column in (*schema.features, schema.label)}
    sample = sample_rows(rows, sides, TRAIN, LEAK_ROWS, [name for name, kind in kinds.items() if kind != "image"])
    kinds = {name: kind for name, kind in kinds.items() if kind != "image"}
    known_after = config.features.known_after
    if not sample.num_rows:
        return []
    task = task_of(config.task, labels_of(sample[schema.label.name].combine_chunks()), schema)
    return find_leaks(sample, schema.label.name, kinds, task=task, known_after=known_after, seed=config.seed)


def _act_on_leaks(context: Context, leaks: list[Any]) -> None:
    from dataclasses import asdict

    write_json(context.out / "leaks.json", [asdict(leak) for leak in leaks])
    if leaks and context.config.checks.leak == "stop":
        raise DataError(
            "\n".join(leak.line() for leak in leaks),
            expected="features that are known before the label, and do not contain it",
            fix='Drop them: features.drop = [...]; or checks.leak = "warn".',
        )
    for leak in leaks:
        act(context.reporter, context.config.checks.leak, leak.line(), "checks.leak")


def drift_of(config: Config, train: Any) -> list[Any]:
    """What sets the statistics of train apart from those of the last published model; nothing without one."""
    from pipeline.data.drift import compare
    from pipeline.data.statistics import Statistics
    from pipeline.export.published import latest_statistics

    published = latest_statistics(Path(config.export.directory).absolute() / config.name)
    if published is None:
        return []
    drift = config.drift
    return compare(Statistics.from_json(published), train, thresholds=drift.thresholds, of_feature=drift.features)


def _look_for_drift(context: Context, train: Any) -> None:
    if context.config.checks.drift == "ignore":
        return
    lines = [f"drift: {one.line()}" for one in drift_of(context.config, train)]
    if lines and context.config.checks.drift == "stop":
        lines = ["\n".join(lines)]  # all that drifted, not the first of it
    for line in lines:
        act(context.reporter, context.config.checks.drift, line, "checks.drift")


def tune(context: Context) -> dict[str, Any]:
    """Stores of train and validation -> best.json, trials.json."""
    config, reporter = context.config, context.reporter
    if config.tune.trials == 0:
        write_json(context.out / "best.json", {})
        write_json(context.out / "trials.json", [])
        return {"trials": 0}

    import tempfile
    from dataclasses import asdict

    import_tensorflow()
    from pipeline import training

    spec = _spec(context)
    # The config's own values. Not epochs and patience: a trial has those of the section tune.
    start = {f"model.{key}": value for key, value in model_of(config, spec.image_shape is not None)[1].items()}
    start |= {f"train.{key}": config.section(f"train.{key}") for key in ("optimizer", "learning_rate", "batch_size")}
    space = training.to_hyperparameters(_space(config, spec), start)

    def objective(overrides: dict[str, Any]) -> float:
        short = {"train.epochs": config.tune.epochs, "train.patience": config.tune.patience}
        return _train(context, config.override({**short, **overrides}), spec)[1].best_val_loss

    found: list[training.Trial] = []
    with reporter.bar("trials", config.tune.trials) as advance, tempfile.TemporaryDirectory(dir=context.out) as folder:

        def on_trial(trial: training.Trial) -> None:
            found.append(trial)
            if trial.error:
                reporter.warn(f"trial {len(found)} failed: {trial.error.splitlines()[0]}")
            scores = [trial.score for trial in found if trial.score is not None]
            advance(1, f"best validation loss {min(scores):.4f}" if scores else "")

        trials = training.tune(
            objective,
            space,
            start=start,
            algorithm=config.tune.algorithm,
            trials=config.tune.trials,
            seed=config.seed,
            directory=Path(folder),
            on_trial=on_trial,
        )
    best = training.best(trials)
    write_json(context.out / "best.json", best.overrides)
    write_json(context.out / "trials.json", [asdict(trial) for trial in trials])
    failed = sum(trial.error is not None for trial in trials)
    return {"trials": len(trials), "failed": failed, "validation loss": best.score}


def train(context: Context) -> dict[str, Any]:
    """Stores of train and validation, best.json -> model.weights.h5, config.json, history.json."""
    from dataclasses import asdict

    import_tensorflow()
    config = context.config.override(read_json(context.inputs["tune"] / "best.json"))
    spec = _spec(context)
    with context.reporter.bar("epochs", config.train.epochs) as advance:
        model, history = _train(
            context,
            config,
            spec,
            lambda history: advance(1, f"loss {history.loss[-1]:.4f}  validation {history.val_loss[-1]:.4f}"),
        )
    model.save_weights(context.out / "model.weights.h5")
    write_json(
        context.out / "config.json",
        config.model_dump(mode="json", include={"name", "source", "model", "train", "seed"}),
    )
    write_json(context.out / "history.json", asdict(history))
    return {
        "epochs": len(history.loss),
        "best epoch": history.best_epoch + 1,
        "validation loss": history.best_val_loss,
        "weights": model.count_params(),
    }


def evaluate(context: Context) -> dict[str, Any]:
    """The test store, opened here and nowhere else -> evaluation.json."""
    import numpy as np

    import_tensorflow()
    from pipeline import evaluation
    from pipeline.data.input_pipeline import make_eval
    from pipeline.data.store import LABEL, Store
    from pipeline.data.transforms.target import FittedClassIndex
    from pipeline.models.outputs import predict

    prepared, spec, target = context.inputs["prepare"], _spec(context), _transforms(context).target
    found, labels = predict(_trained_model(context, spec), spec, make_eval(Store(prepared / "test")))
    train_labels = np.asarray(Store(prepared / "train").columns[LABEL])
    if isinstance(target, FittedClassIndex):
        result = evaluation.evaluate_classes(found, labels, train_labels, target.names)
    else:
        in_units = [target.inverse(values.astype(np.float64)) for values in (found, labels, train_labels)]
        result = evaluation.evaluate_values(*in_units)
    if result.num_unknown:
        context.reporter.warn(
            f"{result.num_unknown} test rows have a class that train never showed; they count as wrong"
        )
    write_json(context.out / "evaluation.json", result.to_json())
    return {"metrics": result.metrics, "baseline": result.baseline}


def export(context: Context) -> dict[str, Any]:
    """The trained model and the transforms -> saved_models/<name>/<version>, compared before it is published."""
    import_tensorflow()
    from pipeline.export.compare import FreshProcess
    from pipeline.export.publish import new_version, published
    from pipeline.export.published import STATISTICS, versions
    from pipeline.export.saved_model import write_saved_model

    config, spec, transforms = context.config, _spec(context), _transforms(context)
    directory = Path(config.export.directory).absolute() / config.name
    path, largest = published(directory, context.fingerprint), None
    if path is None:
        with FreshProcess() as process, new_version(directory, context.fingerprint) as temporary:
            model = _trained_model(context, spec)
            write_saved_model(model, spec, transforms, temporary, _about(context, spec, transforms))
            statistics = read_json(context.inputs["prepare"] / "statistics.json")["train"]
            write_json(temporary / STATISTICS, statistics)
            largest = _compare(context, spec, transforms, model, temporary, process)
        path = directory / str(max(versions(directory)))
    write_json(context.out / "export.json", {"saved_model": str(path), "largest_difference": largest})
    return {"saved_model": str(path), "largest difference": largest}


def _spec(context: Context) -> Spec:
    return Spec.from_json(read_json(context.inputs["prepare"] / "spec.json"))


def _transforms(context: Context) -> Any:
    from pipeline.data.transforms import Transforms

    return Transforms.from_json(read_json(context.inputs["prepare"] / "transforms.json"))


def _space(config: Config, spec: Spec) -> dict[str, Any]:
    from pipeline.training import default_space

    if config.tune.space is not None:
        return config.tune.space
    function, _ = model_of(config, spec.image_shape is not None)
    import inspect

    known = inspect.signature(function).parameters
    space = default_space(spec)
    # A model of one's own may not have every hyperparameter of ours.
    return {key: values for key, values in space.items() if not key.startswith("model.") or key[6:] in known}


def _train(context: Context, config: Config, spec: Spec, on_epoch: Any = None) -> tuple[Any, Any]:
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
    model = _build_model(config, spec)
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


def _build_model(config: Config, spec: Spec) -> Any:
    function, hyperparameters = model_of(config, spec.image_shape is not None)
    try:
        return function(spec, **hyperparameters)
    except (TypeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f'"model": {function.__name__} refuses {hyperparameters}: {reason}') from error


def _trained_model(context: Context, spec: Spec) -> Any:
    """Built again from the config that trained it, with its weights."""
    trained = context.inputs["train"]
    written = read_json(trained / "config.json")
    config = context.config.override({"model": written["model"]})
    model = _build_model(config, spec)
    model.load_weights(trained / "model.weights.h5")
    return model


def _about(context: Context, spec: Spec, transforms: Any) -> dict[str, Any]:
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


def _compare(context: Context, spec: Spec, transforms: Any, model: Any, saved_model: Path, process: Any) -> float:
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


COMPARED_ROWS = 256
LEAK_ROWS = 50_000
