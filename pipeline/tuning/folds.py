"""Folds of what is not test: every configuration is scored on each, and all that is learnt is learnt from its train."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.components import chosen_transforms, defaults_of, split_of_fold
from pipeline.context import Context
from pipeline.data.preparation import learn_and_encode
from pipeline.data.rows import stored_batches, values_of
from pipeline.data.schema import Schema
from pipeline.data.sides import NO_SIDE, TEST
from pipeline.data.transforms.choose import choices_of
from pipeline.errors import ConfigError
from pipeline.model_steps import spec_of
from pipeline.runs import Run, read_json, write_json
from pipeline.tuning import FOLDS


def folds_of(context: Context) -> list[Context]:
    """The stage's context for every fold, with that fold's prepared data; without `tune.folds` the context itself.

    The data are made where they are not there yet, beside the search's journal: of a search that was killed, and of the
    workers of one machine, each fold is made once. Test rows are on no side of any fold.

    Args:
      context: of the stage.

    Raises:
      ConfigError: what they are made from is gone.
      DataError: a side of a fold stays empty, or has too few classes.
    """
    count = context.config.tune.folds
    if count is None:
        return [context]
    folder = folder_of(context)
    folder.mkdir(parents=True, exist_ok=True)
    with context.reporter.bar("folds prepared", count) as advance:
        for fold in range(count):
            if not (folder / str(fold)).exists():
                _make(context, fold, folder / str(fold))
            advance(1)
    return [replace(context, inputs={**context.inputs, "prepare": folder / str(fold)}) for fold in range(count)]


def folder_of(context: Context) -> Path:
    """Where the folds of a search lie until it is over."""
    return Run(context.run_directory).checkpoints("tune", context.fingerprint) / FOLDS


def _make(context: Context, fold: int, target: Path) -> None:
    """The data of a fold, as `prepare` writes them; whole or not there."""
    ingested, _ = _stages_before(context)
    schema = Schema.from_json(read_json(ingested / "schema.json"))
    rows, sides = ingested / "rows.arrow", sides_of(context, fold)
    config, task = context.config, spec_of(context).task
    temporary = Path(tempfile.mkdtemp(prefix=f"{fold}-", dir=target.parent))
    try:
        choices = choices_of(schema, *chosen_transforms(config), defaults_of(config))
        prepare = config.prepare
        spec, _, _ = learn_and_encode(
            rows, schema, sides, choices, temporary, task=task, num_bins=prepare.num_bins, cache=prepare.cache
        )
        write_json(temporary / "spec.json", spec.to_json())
        try:
            temporary.rename(target)
        except OSError:
            if not target.exists():  # else another worker was quicker, and made the same
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sides_of(context: Context, fold: int) -> np.ndarray:
    """The side of every row in a fold, uint8 [rows]: train, validation or none.

    As the run's own split would be with so many folds: by the same principle, twins and groups together.

    Args:
      context: of the stage.
      fold: of `tune.folds`, from 0.
    """
    config, (ingested, divided) = context.config, _stages_before(context)
    schema = Schema.from_json(read_json(ingested / "schema.json"))
    splitter = split_of_fold(config, fold, schema.split)
    label, needed = schema.label.name, splitter.needs or schema.split
    names = sorted({label} | ({str(needed)} if needed else set()))
    parts = [
        [values_of(batch.column(name)) for name in names] for batch in stored_batches(ingested / "rows.arrow", names)
    ]
    columns = {name: np.concatenate(found) for name, found in zip(names, zip(*parts, strict=True), strict=True)}
    with pa.memory_map(str(divided / "manifest.arrow")) as source, pa.ipc.open_file(source) as reader:
        manifest = reader.read_all()
        clusters, own = manifest["cluster"].to_numpy(), manifest["side"].to_numpy()
    is_test = own == TEST
    units = clusters if read_json(divided / "twins.json")["kept_together"] else None
    found = splitter(
        columns[label],
        column=columns[str(needed)] if needed else None,
        units=units,
        pinned=is_test,
        seed=config.seed,
    )
    sides: np.ndarray = np.array(found)
    sides[is_test | (sides == TEST)] = NO_SIDE
    return sides


def _stages_before(context: Context) -> tuple[Path, Path]:
    """The artifacts of `ingest` and `split` that the prepared data were made from."""
    run = Run(context.run_directory)
    inputs = read_json(context.inputs["prepare"] / "manifest.json")["inputs"]
    found = run.artifact("ingest", inputs["ingest"]), run.artifact("split", inputs["split"])
    for name, artifact in zip(("ingest", "split"), found, strict=True):
        if run.manifest(name, inputs[name]) is None:
            raise ConfigError(
                f'"tune.folds" needs the artifact of "{name}", and it is gone.',
                expected=f"a whole artifact in {artifact}",
                fix="pipeline run CONFIG --until prepare",
            )
    return found
