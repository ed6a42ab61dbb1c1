"""Folds of what is not test: which row is on which side of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.components import split_of_fold
from pipeline.context import Context
from pipeline.data.rows import stored_batches, values_of
from pipeline.data.schema import Schema
from pipeline.data.sides import NO_SIDE, TEST
from pipeline.errors import ConfigError
from pipeline.runs import Run, read_json


def sides_of(context: Context, fold: int) -> np.ndarray:
    """The side of every row in a fold, uint8 [rows]: train, validation or none.

    As the run's own split would be with so many folds: by the same principle, twins and groups together.

    Args:
      context: of the stage.
      fold: of `tune.folds`, from 0.
    """
    config, (ingested, divided) = context.config, stages_before(context)
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


def stages_before(context: Context) -> tuple[Path, Path]:
    """The artifacts of `ingest` and `split` that the prepared data were made from.

    Raises:
      ConfigError: one is gone.
    """
    run = Run(context.run_directory)
    inputs = read_json(context.inputs["prepare"] / "manifest.json")["inputs"]
    found = run.artifact("ingest", inputs["ingest"]), run.artifact("split", inputs["split"])
    for name, artifact in zip(("ingest", "split"), found, strict=True):
        if run.manifest(name, inputs[name]) is None:
            raise ConfigError(
                f'To prepare data anew the search needs the artifact of "{name}", and it is gone.',
                expected=f"a whole artifact in {artifact}",
                fix="pipeline run CONFIG --until prepare",
            )
    return found
