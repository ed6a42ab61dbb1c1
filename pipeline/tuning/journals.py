"""The journal of a search: what it must say to be gone on with, and where an earlier one lies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.config import fingerprint
from pipeline.context import Context
from pipeline.errors import TuningError
from pipeline.plan import stage_named
from pipeline.runs import Run
from pipeline.training.search import Header, Journal
from pipeline.tuning import JOURNAL

# What changes the score of a trial, besides the data and the space.
_SCORED_BY = ("model", "train", "tune.patience", "tune.seeds", "tune.folds", "seed")


def header_of(context: Context, space: dict[str, Any]) -> Header:
    """What must be the same for a journal to be gone on with."""
    config, data = context.config, context.inputs["prepare"].name
    scored_by = {key: config.section(key) for key in _SCORED_BY}
    for key in ("epochs", "patience"):  # a trial has those of the section tune
        scored_by["train"].pop(key, None)
    return Header(
        fingerprint({"data": data, "version": stage_named("tune").version, **scored_by}),
        config.tune.algorithm,
        space,
        config.seed,
        config.tune.epochs,
    )


@contextmanager
def journal_of(context: Context, work: Path, space: dict[str, Any]) -> Iterator[Journal]:
    """The journal of this search; it begins with that of a finished search that only had fewer trials, if there is one.

    Raises:
      TuningError: there is one of another search, of a newer version, or a damaged one.
    """
    header = header_of(context, space)
    path = work / JOURNAL
    work.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _take_over(context, path, header)
    journal = Journal.open(path, header)
    if told := sum("told" in record for _, record in journal.records):
        context.reporter.note(f"goes on with {told} trials that are done")
    with journal:
        yield journal


def _take_over(context: Context, path: Path, header: Header) -> None:
    run = Run(context.run_directory)
    for found in reversed(run.fingerprints("tune")):
        earlier = run.artifact("tune", found) / JOURNAL
        if not earlier.exists():
            continue
        temporary = path.with_suffix(".earlier")
        Journal.copy(earlier, temporary)
        try:
            Journal.open(temporary, header).close()
        except TuningError:
            temporary.unlink()
            continue
        temporary.replace(path)
        return
