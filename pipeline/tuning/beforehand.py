"""What `pipeline tune` looks at before it begins: options that contradict one another, searches that were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.config import Config
from pipeline.errors import ConfigError
from pipeline.plan import stage_named
from pipeline.runs import Run, read_json
from pipeline.tuning import JOURNAL

# A search goes on with what an earlier one found, whatever the two say of these.
_MAY_DIFFER = ("tune.trials", "tune.budget", "tune.finalists", "tune.finalist_seeds")


def check_options(config: Config, options: dict[str, Any]) -> None:
    """Refuses options that have no common meaning.

    Args:
      config: of the run.
      options: of the command line, by name; what was not given is falsy.

    Raises:
      ConfigError: it names them; or there is nothing to search.

    Example:
      >>> from pipeline.config import parse
      >>> config = parse({"name": "a", "source": "rows.csv"}, origin="here")
      >>> check_options(config, {"--worker": "10.0.0.5:8000", "--more": 5})
      Traceback (most recent call last):
      pipeline.errors.ConfigError: --worker stands alone, and --more was given, too.
        expected: --more on the chief
    """
    given = [name for name, value in options.items() if value]
    if "--worker" in given and len(given) > 1:
        other = next(name for name in given if name != "--worker")
        where = "another command" if other == "--chief" else "the chief"
        raise ConfigError(f"--worker stands alone, and {other} was given, too.", expected=f"{other} on {where}")
    if {"--more", "--resume"} <= set(given):
        raise ConfigError(
            "--more begins a longer search, and --resume goes on with one that was interrupted.",
            expected="one of them",
            fix="An interrupted --more N goes on with the same command.",
        )
    if config.tune.trials == 0 and not options.get("--more"):
        raise ConfigError(
            '"tune.trials" is 0: there is nothing to search.', expected="some trials", fix="--set tune.trials=16"
        )


def extended(config: Config, more: int, run: Run, prepared: str) -> Config:
    """The config with so many more trials than the newest search has, whose trials it takes over.

    Args:
      config: of the run.
      more: trials.
      run: of the config.
      prepared: fingerprint of the stage `prepare`.

    Raises:
      ConfigError: there is no finished search that this config goes on with.
    """
    reasons = []
    for found in reversed(run.fingerprints("tune")):
        reason = _why_not(config, run, found, prepared)
        if reason is None:
            trials = len(read_json(run.artifact("tune", found) / "trials.json"))
            return config.override({"tune.trials": trials + more})
        reasons.append(reason)
    why = f" The newest one has {reasons[0]}." if reasons else ""
    raise ConfigError(
        f"--more {more}: the run {config.name} has no finished search to go on with.{why}",
        expected="a search of the same space, data and seed",
        fix="pipeline tune CONFIG without --more begins one.",
    )


def _why_not(config: Config, run: Run, fingerprint: str, prepared: str) -> str | None:
    """Why the trials of a finished search are not those of this config; None: they are."""
    manifest = run.manifest("tune", fingerprint) or {}
    if not (run.artifact("tune", fingerprint) / JOURNAL).exists():
        return "no trials"
    if manifest["inputs"]["prepare"] != prepared:
        return "other prepared data"
    stage = stage_named("tune")
    keys = (key for key in stage.reads if key not in _MAY_DIFFER)
    changed = next((key for key in keys if manifest["config"].get(key) != config.section(key)), None)
    return changed and f'another value of "{changed}"'


def check_interrupted(config: Config, run: Run, fingerprint: str) -> None:
    """Refuses where there is nothing to go on with.

    Args:
      config: of the run.
      run: of the config.
      fingerprint: of the stage `tune`.

    Raises:
      ConfigError: no search of this config was interrupted.
    """
    if (run.checkpoints("tune", fingerprint) / JOURNAL).exists():
        return
    is_done = run.manifest("tune", fingerprint) is not None
    others = sorted(run.directory.glob(f".checkpoints/tune-*/{JOURNAL}"))
    raise ConfigError(
        f"--resume: the run {config.name} has no interrupted search of this config"
        f"{'; this one is finished' if is_done else '; one of another config was interrupted' if others else ''}.",
        expected="a search that was stopped before its end",
        fix="pipeline tune CONFIG begins one; --more N goes on with a finished one.",
    )


def prepared_of(config: Config, directory: Path, is_done: bool) -> Path:
    """The data that a worker trains on.

    Args:
      config: of the run.
      directory: of the artifact of `prepare`.
      is_done: whether it is whole.

    Raises:
      ConfigError: it is not.
    """
    if is_done:
        return directory
    raise ConfigError(
        f'A worker needs the prepared data of the run {config.name}, and "prepare" is not done for this config here.',
        expected=f"a whole artifact in {directory}",
        fix="pipeline run CONFIG --until prepare, with the same --set options.",
    )
