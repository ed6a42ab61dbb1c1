"""Looks into a run before it trains: what its batches are, and how fast they come. What is missing is made first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.components import check_training, source_of, wanted_of
from pipeline.config import Config
from pipeline.errors import ConfigError
from pipeline.progress import Reporter
from pipeline.runner import Result, run
from pipeline.runs import read_json, translate_os_errors
from pipeline.tensorflow_import import import_tensorflow

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from pipeline.data.feed import Feed
    from pipeline.data.kinds import Kind
    from pipeline.data.preview import Preview
    from pipeline.data.row_trace import Trace
    from pipeline.data.transforms import Transforms
    from pipeline.profiling import Profile

SHEET_EPOCHS = 6


@dataclass(frozen=True)
class Seen:
    """What `pipeline preview` shows.

    Attributes:
      preview: of a batch.
      trace: of one row, where it was asked for.
      sheet: the picture sheet that was drawn, if one was asked for.
    """

    preview: Preview
    trace: Trace | None = None
    sheet: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "preview": self.preview.to_json(),
            "trace": self.trace and self.trace.to_json(),
            "sheet": self.sheet and str(self.sheet),
        }


def preview(
    config: Config,
    reporter: Reporter,
    *,
    rows: int = 3,
    epoch: int = 0,
    row: int | None = None,
    sheet: bool = False,
    sheet_path: Path | None = None,
) -> Seen:
    """The first train batch of an epoch in every step, and on demand one row and a sheet of pictures.

    Args:
      config: of the run.
      reporter: for progress.
      rows: of the batch whose values are shown.
      epoch: counted from 0.
      row: of train, whose way through this epoch is shown besides.
      sheet: whether pictures are drawn.
      sheet_path: the PNG to write; None: `preview.png` in the run's directory.

    Raises:
      PipelineError: a stage cannot do its work, there is no such row, or pictures are wanted where there are none.
    """
    if rows < 1 or epoch < 0:
        raise ConfigError(f"--rows is {rows} and --epoch {epoch}.", expected="a row or more, and epochs from 0 on")
    made = prepared(config, reporter)
    from pipeline.data.pictures import pictures
    from pipeline.data.preview import preview as look
    from pipeline.data.row_trace import trace

    feed, transforms, kinds = _parts_of(config, made)
    traced = None if row is None else trace(feed, transforms, row, epoch)
    raw_rows = _raw_rows(made, list(kinds))
    seen = look(feed, transforms, kinds, raw_rows, epoch=epoch, shown=rows, row=row)
    path = None
    if sheet:
        from pipeline.report.picture_sheet import draw_sheet

        drawn = pictures(feed, transforms, seen.rows, range(SHEET_EPOCHS))
        path = sheet_path or made["prepare"].parent.parent / "preview.png"
        with translate_os_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            draw_sheet([[(picture.title, picture.pixels) for picture in line] for line in drawn], path)
    return Seen(seen, traced, path)


def profile(config: Config, reporter: Reporter, *, seconds: float = 2.0) -> Profile:
    """How fast batches are made and taken on this machine, which of the two waits, and what would help.

    Args:
      config: of the run, as it stands: hyperparameters that `tune` may find are not in it.
      reporter: for progress.
      seconds: of measuring the feed, the model and both; all in all it takes some more.

    Raises:
      PipelineError: a stage cannot do its work, or the model refuses its hyperparameters.
    """
    if not 0.1 <= seconds <= 600:
        raise ConfigError(f"--seconds is {seconds:g}.", expected="0.1 to 600")
    made = prepared(config, reporter)
    from pipeline.profiling import profile as measure

    return measure(config, made["ingest"], made["prepare"], reporter, seconds)


def prepared(config: Config, reporter: Reporter) -> dict[str, Path]:
    """The artifacts up to `prepare` by stage; those that are missing are made.

    Raises:
      PipelineError: a stage cannot do its work, or the section `train` or `model` is wrong.
    """
    source = source_of(config)
    import_tensorflow()
    check_training(config, has_images="image" in wanted_of(config, source).kinds.values())
    result: Result = run(config, reporter, until="prepare")
    return {done.stage: done.directory for done in result.stages}


def _parts_of(config: Config, made: dict[str, Path]) -> tuple[Feed, Transforms, dict[str, Kind]]:
    from pipeline.data.schema import Schema
    from pipeline.data.transforms import Transforms
    from pipeline.model_steps import train_batches

    schema = Schema.from_json(read_json(made["ingest"] / "schema.json"))
    transforms = Transforms.from_json(read_json(made["prepare"] / "transforms.json"))
    kinds = {feature.name: feature.kind for feature in schema.features}
    return train_batches(config, made["prepare"]).feed, transforms, kinds


def _raw_rows(made: dict[str, Path], names: list[str]) -> Callable[[np.ndarray], pa.Table]:
    """Rows of the train store, found again among the rows that ingest wrote: both have the same order."""
    import numpy as np

    from pipeline.data.rows import rows_at
    from pipeline.data.sides import TRAIN

    path = made["ingest"] / "rows.arrow"
    train = np.flatnonzero(np.load(made["split"] / "sides.npy") == TRAIN)
    return lambda rows: rows_at(path, train[rows], names)
