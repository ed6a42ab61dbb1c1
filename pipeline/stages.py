"""One short function per row of `PLAN`: artifacts in, artifacts out. What each returns goes into its manifest.

A stage imports what it needs inside its function, so that the command line stays quick and the stages before
`prepare` never load TensorFlow for a table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.components import (
    chosen_transforms,
    columns_of,
    defaults_of,
    resolved,
    source_of,
    split_of,
    wanted_of,
)
from pipeline.context import Context, act
from pipeline.findings import act_on_leaks, leaks_of, look_for_drift
from pipeline.model_steps import (
    about,
    checkpoints_of,
    compare_with_saved,
    save_weights,
    spec_of,
    train_once,
    trained_model,
    transforms_of,
)
from pipeline.runs import read_json, write_json
from pipeline.tensorflow_import import import_tensorflow


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
        keep_pixels=config.prepare.cache == "pixels",
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
    summary = {"by": type(splitter).__name__, **counts, "on no side": int((divided.sides == NO_SIDE).sum())}
    write_json(context.out / "split.json", summary)
    write_json(context.out / "twins.json", divided.report)
    return summary


def prepare(context: Context) -> dict[str, Any]:
    """rows.arrow and sides.npy -> statistics.json, leaks.json, spec.json, transforms.json and a store a side."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    from pipeline.data.preparation import learn_and_encode
    from pipeline.data.schema import Schema
    from pipeline.data.transforms.choose import choices_of

    schema = Schema.from_json(read_json(context.inputs["ingest"] / "schema.json"))
    if schema.of_kind("image") or schema.of_kind("text") or any(chosen_transforms(context.config)):
        import_tensorflow()
    rows, sides = context.inputs["ingest"] / "rows.arrow", np.load(context.inputs["split"] / "sides.npy")
    config = context.config
    choices = choices_of(schema, *chosen_transforms(config), defaults_of(config))
    with ThreadPoolExecutor(1) as pool:  # beside the rest, which leaves time between two batches
        leaks = pool.submit(leaks_of, config, rows, sides, schema)
        spec, transforms, statistics = learn_and_encode(
            rows, schema, sides, choices, context.out, context.reporter,
            task=config.task, num_bins=config.prepare.num_bins, cache=config.prepare.cache,
        )  # fmt: skip
        act_on_leaks(context, leaks.result())
    write_json(context.out / "statistics.json", {side: found.to_json() for side, found in statistics.items()})
    look_for_drift(context, statistics["train"])
    write_json(context.out / "spec.json", spec.to_json())
    write_json(context.out / "transforms.json", transforms.to_json())
    return {"task": spec.task, "classes": spec.num_classes, "features": len(transforms.features)}


def tune(context: Context) -> dict[str, Any]:
    """Stores of train and validation -> best.json, trials.json, tuning.json and what it goes on from."""
    if context.config.tune.trials == 0:
        write_json(context.out / "best.json", {})
        write_json(context.out / "trials.json", [])
        return {"trials": 0}
    import_tensorflow()
    from pipeline.tuning.stage import search_and_choose

    return search_and_choose(context)


def train(context: Context) -> dict[str, Any]:
    """Stores of train and validation, best.json -> model.weights.h5, config.json, history.json."""
    import time
    from dataclasses import asdict

    started = time.perf_counter()
    import_tensorflow()
    spec = spec_of(context)
    config = resolved(context.config.override(read_json(context.inputs["tune"] / "best.json")), spec)
    budget, shown = config.train.budget_seconds, 0
    unit, total = ("epochs", config.train.max_epochs) if budget is None else ("seconds", round(budget))
    with context.reporter.bar(unit, total) as advance:

        def on_epoch(history: Any) -> None:
            nonlocal shown  # a training that goes on begins in the middle
            done = len(history.loss) if budget is None else round(history.seconds)
            advance(done - shown, f"loss {history.loss[-1]:.4f}  validation {history.val_loss[-1]:.4f}")
            shown = done

        model, history = train_once(context, config, spec, on_epoch, checkpoints_of(context, "train"), budget, started)
    save_weights(model, context.out / "model.weights.h5")
    used = {"epochs": history.epochs, "steps": history.steps, "seconds": round(history.seconds, 2)}
    write_json(
        context.out / "config.json",
        {**config.model_dump(mode="json", include={"name", "source", "model", "train", "seed"}), "used": used},
    )
    # Its seconds stand there: a training that was interrupted leaves the same history as one that was not.
    write_json(context.out / "history.json", {key: value for key, value in asdict(history).items() if key != "seconds"})
    return {
        "model": config.model.name,
        "epochs": len(history.loss),
        "best epoch": history.best_epoch + 1,
        "validation loss": history.best_val_loss,
        "weights": model.count_params(),
    }


def evaluate(context: Context) -> dict[str, Any]:
    """The test store, opened here and nowhere else -> evaluation.json."""
    import_tensorflow()
    from pipeline import evaluation
    from pipeline.data.input_pipeline import make_eval
    from pipeline.data.store import Store

    test = make_eval(Store(context.inputs["prepare"] / "test"))
    result = evaluation.evaluate(trained_model(context, spec_of(context)), test)
    if result.num_unknown:
        context.reporter.warn(
            f"{result.num_unknown} test rows have a class that train never showed; they count as wrong"
        )
    write_json(context.out / "evaluation.json", result.to_json())
    weighted = {} if result.weighted_by is None else {"weighted by": result.weighted_by}
    return {"metrics": result.metrics, "baseline": result.baseline, **weighted}


def export(context: Context) -> dict[str, Any]:
    """The trained model and the transforms -> saved_models/<name>/<version>, compared before it is published."""
    import_tensorflow()
    from pipeline.export.compare import FreshProcess
    from pipeline.export.publish import new_version, published
    from pipeline.export.published import STATISTICS, versions
    from pipeline.export.saved_model import write_saved_model

    config, spec, transforms = context.config, spec_of(context), transforms_of(context)
    directory = Path(config.export.directory).absolute() / config.name
    path, largest = published(directory, context.fingerprint), None
    if path is None:
        with FreshProcess() as process, new_version(directory, context.fingerprint) as temporary:
            model = trained_model(context, spec)
            write_saved_model(model, spec, transforms, temporary, about(context, spec, transforms))
            statistics = read_json(context.inputs["prepare"] / "statistics.json")["train"]
            write_json(temporary / STATISTICS, statistics)
            largest = compare_with_saved(context, spec, transforms, model, temporary, process)
        path = directory / str(max(versions(directory)))
    write_json(context.out / "export.json", {"saved_model": str(path), "largest_difference": largest})
    return {"saved_model": str(path), "largest difference": largest}
