"""What the stage `prepare` finds out about train: leaks, and drift from the last published model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.config import Config
from pipeline.context import Context, act
from pipeline.errors import DataError
from pipeline.runs import write_json

# Leaks are searched in at most so many train rows.
LEAK_ROWS = 50_000


def leaks_of(config: Config, rows: Path, sides: Any, schema: Any) -> list[Any]:
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


def act_on_leaks(context: Context, leaks: list[Any]) -> None:
    """Writes leaks.json; warns of them, or stops the run.

    Raises:
      DataError: there are leaks, and `checks.leak` is stop.
    """
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


def look_for_drift(context: Context, train: Any) -> None:
    """Warns of drift, or stops the run.

    Raises:
      DataError: there is drift, and `checks.drift` is stop.
    """
    if context.config.checks.drift == "ignore":
        return
    lines = [f"drift: {one.line()}" for one in drift_of(context.config, train)]
    if lines and context.config.checks.drift == "stop":
        lines = ["\n".join(lines)]  # all that drifted, not the first of it
    for line in lines:
        act(context.reporter, context.config.checks.drift, line, "checks.drift")
