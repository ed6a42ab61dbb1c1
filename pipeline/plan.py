"""The stages as data: what each reads of the config, needs of the others and makes.

The command line, the status page and the Airflow DAG are all generated from `PLAN`; a fingerprint is a pure
function of it, the config and the source's content.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipeline.config import Config, fingerprint


@dataclass(frozen=True)
class Stage:
    """One row of the plan.

    Attributes:
      name: of the stage and of its function in `pipeline.stages`.
      reads: keys of the config that change what the stage makes.
      needs: stages whose artifacts it opens.
      makes: files in its artifact that others may rely on.
      about: one line for people.
      version: raised when the stage's code makes something else from the same input.
      remembers: whether it heeds what earlier runs held out, see `pipeline.held_out`.
    """

    name: str
    reads: tuple[str, ...]
    needs: tuple[str, ...]
    makes: tuple[str, ...]
    about: str
    version: int = 1
    remembers: bool = False


PLAN: tuple[Stage, ...] = (
    Stage(
        "ingest",
        reads=(
            "source",
            "label",
            "features.drop",
            "features.numeric",
            "features.categorical",
            "features.text",
            "features.datetime",
            "features.tags",
            "features.image",
            "features.weight",
            "prepare.image_size",
            "prepare.cache",
            "schema_file",
            "checks.out_of_range",
            "checks.not_whole",
            "checks.new_category",
            "checks.missing",
            "checks.not_unique",
            "checks.new_column",
            "quarantine",
            "split.name",
            "split.column",
        ),
        needs=(),
        makes=("schema.json", "rows.arrow", "quarantine.parquet", "anomalies.json"),
        about="read the source once, check every value, set bad rows aside",
        version=2,
    ),
    Stage(
        "split",
        reads=("split", "twins", "checks.conflict", "task", "seed"),
        needs=("ingest",),
        makes=("sides.npy", "manifest.arrow", "split.json", "twins.json"),
        about="find twins, give every row its side: train, validation or test",
        version=2,
        remembers=True,
    ),
    Stage(
        "prepare",
        reads=("prepare", "task", "features.known_after", "checks.leak", "checks.drift", "drift"),
        needs=("ingest", "split"),
        makes=(
            "spec.json",
            "transforms.json",
            "label.json",
            "statistics.json",
            "leaks.json",
            "train",
            "validation",
            "test",
        ),
        about="statistics, leaks and drift; learn transforms from train, encode every side once",
        version=3,
    ),
    Stage(
        "tune",
        reads=(
            "model",
            # Not its epochs and patience: a trial has those of the section tune.
            "train.optimizer",
            "train.learning_rate",
            "train.schedule",
            "train.batch_size",
            "train.label_smoothing",
            "train.ema",
            "train.precision",
            "train.budget",  # by which the model may size itself
            "train.augment",
            "train.class_weight",
            "train.resample",
            # Not its workers and populations: they change how soon, and not what.
            "tune.algorithm",
            "tune.trials",
            "tune.budget",
            "tune.epochs",
            "tune.patience",
            "tune.seeds",
            "tune.folds",
            "tune.finalists",
            "tune.finalist_seeds",
            "tune.space",
            "seed",
        ),
        needs=("prepare",),
        makes=("best.json", "trials.json"),  # and of a search tuning.json, tuning.html, tensorboard, journal.jsonl
        about="search hyperparameters on train, scored on validation",
        version=3,
    ),
    Stage(
        "train",
        reads=("model", "train", "seed"),
        needs=("prepare", "tune"),
        makes=("model.weights.h5", "config.json", "history.json"),
        about="train the best config, stop early on validation",
    ),
    Stage(
        "evaluate",
        reads=(),
        needs=("prepare", "train"),
        makes=("evaluation.json",),
        about="open test, once: metrics beside a baseline",
    ),
    Stage(
        "export",
        reads=("name", "export"),
        needs=("ingest", "split", "prepare", "train", "evaluate"),
        makes=("export.json",),
        about="write the SavedModel, compare it in a fresh process, publish it",
    ),
)


def stage_named(name: str) -> Stage:
    """The row of `PLAN` with this name; KeyError if there is none."""
    return {stage.name: stage for stage in PLAN}[name]


def fingerprints(
    config: Config,
    source_fingerprint: str,
    code: Callable[[Any], dict[str, str]] = lambda value: {},
    remembered: Callable[[str], str | None] = lambda own: None,
) -> dict[str, str]:
    """The fingerprint of every stage, in the order of `PLAN`.

    Args:
      config: the whole config; each stage's fingerprint takes in only the keys it reads.
      source_fingerprint: a hash of the source's content.
      code: gives the hashes of a user's own code that a section names; they count as part of it.
      remembered: own fingerprint of a stage that remembers -> the state of what it heeds; None: nothing yet.

    Returns:
      Stage name -> 16 hexadecimal digits. A changed key changes the stages that read it and all that
      need those, and no other.
    """
    found: dict[str, str] = {}
    for stage in PLAN:
        sections = {key: config.section(key) for key in stage.reads}
        own = fingerprint(
            {
                "stage": stage.name,
                "version": stage.version,
                "config": sections,
                "code": code(sections),
                "inputs": {need: found[need] for need in stage.needs} or {"source": source_fingerprint},
            }
        )
        state = remembered(own) if stage.remembers else None
        found[stage.name] = own if state is None else fingerprint({"own": own, "remembered": state})
    return found
