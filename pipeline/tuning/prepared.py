"""The data that trials are trained on: those of `prepare`, those of each fold, and other ways to prepare them.

Whatever is made here is made by the function of the stage `prepare`, and test rows are on no side of it.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.components import chosen_transforms, defaults_of
from pipeline.config import Config, fingerprint
from pipeline.context import Context
from pipeline.data.preparation import learn_and_encode
from pipeline.data.schema import Schema
from pipeline.data.sides import NO_SIDE, TEST
from pipeline.data.transforms.choose import choices_of
from pipeline.model_steps import spec_of
from pipeline.runs import Run, read_json, write_json
from pipeline.tuning import PREPARED
from pipeline.tuning.folds import sides_of, stages_before


class Prepared:
    """Made where they are not there yet, beside the search's journal.

    Of a search that was killed, and of the workers of one machine, each is made once. They are kept until the search is
    over.

    Args:
      context: of the stage.

    Raises:
      ConfigError: what they are made from is gone.
      DataError: a side of a fold stays empty, or has too few classes.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._task = spec_of(context).task
        if count := context.config.tune.folds:
            with context.reporter.bar("folds prepared", count) as advance:
                for fold in range(count):
                    self.of(context.config, fold)
                    advance(1)

    def of(self, config: Config, fold: int) -> Context:
        """The stage's context with the data that a config is trained on.

        Args:
          config: of a trial.
          fold: of `tune.folds`; 0 where there are none.

        Raises:
          ConfigError, DataError: the rows cannot be prepared as the config says.
        """
        own = self._context
        is_own = config.prepare == own.config.prepare
        if is_own and own.config.tune.folds is None:
            return own
        name = str(fold) if is_own else f"{fingerprint(config.section('prepare'))}-{fold}"
        target = self._folder / name
        if not target.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            self._make(config, fold, target)
        return replace(own, inputs={**own.inputs, "prepare": target})

    @property
    def folds(self) -> list[Context]:
        """Of the run's own config, that of each fold."""
        return [self.of(self._context.config, fold) for fold in range(self._context.config.tune.folds or 1)]

    @property
    def _folder(self) -> Path:
        return Run(self._context.run_directory).checkpoints("tune", self._context.fingerprint) / PREPARED

    def _make(self, config: Config, fold: int, target: Path) -> None:
        """As `prepare` writes them; whole or not there."""
        ingested, _ = stages_before(self._context)
        schema = Schema.from_json(read_json(ingested / "schema.json"))
        temporary = Path(tempfile.mkdtemp(prefix=f"{target.name}-", dir=target.parent))
        prepare, rows = config.prepare, ingested / "rows.arrow"
        try:
            choices = choices_of(schema, *chosen_transforms(config), defaults_of(config))
            spec, _, _ = learn_and_encode(
                rows,
                schema,
                self._sides(fold),
                choices,
                temporary,
                task=self._task,
                num_bins=prepare.num_bins,
                cache=prepare.cache,
            )
            write_json(temporary / "spec.json", spec.to_json())
            try:
                temporary.rename(target)
            except OSError:
                if not target.exists():  # else another worker was quicker, and made the same
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _sides(self, fold: int) -> np.ndarray:
        """The side of every row, uint8 [rows]: train, validation or none."""
        if self._context.config.tune.folds is not None:
            return sides_of(self._context, fold)
        _, divided = stages_before(self._context)
        sides: np.ndarray = np.load(divided / "sides.npy")
        return np.where(sides == TEST, np.asarray(NO_SIDE, sides.dtype), sides)


def check_prepare(context: Context, config: Config) -> None:
    """Refuses transforms that do not fit the columns, before anything is prepared.

    Args:
      context: of the stage.
      config: of a trial.

    Raises:
      ConfigError: see `choices_of`.
    """
    ingested, _ = stages_before(context)
    schema = Schema.from_json(read_json(ingested / "schema.json"))
    choices_of(schema, *chosen_transforms(config), defaults_of(config))
