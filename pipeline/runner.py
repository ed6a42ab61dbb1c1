"""Runs stages: checks the config before anything starts, skips what is whole, so goes on where a killed run died."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.components import check_training, chosen_transforms, columns_of, source_of, wanted_of
from pipeline.config import Config
from pipeline.data.linked import linked_fingerprint
from pipeline.data.sources.source import Source
from pipeline.errors import DataError, RunError
from pipeline.hashing import FileHashes
from pipeline.held_out import HeldOut
from pipeline.plan import PLAN, Stage, fingerprints, stage_named
from pipeline.progress import Reporter
from pipeline.resolve import code_hashes
from pipeline.runs import Run, read_json, translate_os_errors
from pipeline.tensorflow_import import import_tensorflow


@dataclass(frozen=True)
class Done:
    """A stage of a run that is whole.

    Attributes:
      stage: its name.
      seconds: that it took when it was made.
      skipped: whether it was whole before.
      summary: what it says of itself.
      directory: of the artifact.
    """

    stage: str
    seconds: float
    skipped: bool
    summary: dict[str, Any]
    directory: Path


@dataclass(frozen=True)
class Result:
    """What a run has, as far as it went."""

    name: str
    stages: list[Done] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints: name, metrics.test, baseline, saved_model, stages."""
        by_name = {done.stage: done for done in self.stages}
        evaluated = by_name["evaluate"].summary if "evaluate" in by_name else {}
        exported = by_name["export"].summary if "export" in by_name else {}
        return {
            "name": self.name,
            "metrics": {"test": evaluated.get("metrics")},
            "baseline": evaluated.get("baseline"),
            "saved_model": exported.get("saved_model"),
            "stages": [
                {
                    "stage": done.stage,
                    "seconds": done.seconds,
                    "skipped": done.skipped,
                    "directory": str(done.directory),
                    **({"summary": done.summary} if done.summary else {}),
                }
                for done in self.stages
            ],
        }


@dataclass(frozen=True)
class State:
    """What `pipeline status` shows of a stage: done, stale (made from another config or other data) or missing."""

    stage: str
    state: str
    directory: Path
    finished: str = ""
    seconds: float | None = None


def run(config: Config, reporter: Reporter, *, until: str | None = None) -> Result:
    """Runs every stage that is not whole, in the order of `PLAN`, up to `until`.

    Raises:
      PipelineError: a stage cannot do its work; those before it are kept.
    """
    names = [stage.name for stage in PLAN]
    wanted = PLAN[: names.index(until) + 1] if until else PLAN
    return _run(config, reporter, wanted)


def run_stage(config: Config, reporter: Reporter, name: str) -> Result:
    """Runs one stage, unless it is whole.

    Raises:
      RunError: a stage that it needs is missing; it is named with the command that makes it.
      PipelineError: the stage cannot do its work.
    """
    return _run(config, reporter, [stage_named(name)])


def places(config: Config) -> tuple[Run, dict[str, str]]:
    """The run of a config, and the fingerprint of every stage, under which its artifact is or will be."""
    return _run_of(config), _fingerprints(config, _source_fingerprint(config))[0]


def status(config: Config) -> list[State]:
    """The state of every stage."""
    run, found = places(config)
    states = []
    for name, fingerprint in found.items():
        manifest = run.manifest(name, fingerprint)
        if manifest is not None:
            artifact = run.artifact(name, fingerprint)
            states.append(State(name, "done", artifact, manifest["finished"], manifest["seconds"]))
        elif others := run.fingerprints(name):
            states.append(State(name, "stale", run.artifact(name, others[-1])))
        else:
            states.append(State(name, "missing", run.artifact(name, fingerprint)))
    return states


@dataclass(frozen=True)
class StatisticsFound:
    """What `pipeline stats` shows: statistics by side, and the page that was drawn."""

    sides: dict[str, Any]
    page: Path


def statistics(config: Config, reporter: Reporter, page: Path | None = None) -> StatisticsFound:
    """The statistics of every side; the stages that they need are run first, if they are not done.

    Args:
      config: of the run.
      reporter: for progress.
      page: the HTML file to write; None: `statistics.html` in the run's directory.

    Raises:
      PipelineError: a stage cannot do its work, or the page cannot be written.
    """
    result = run(config, reporter, until="prepare")
    from pipeline.data.statistics import Statistics
    from pipeline.findings import drift_of
    from pipeline.report.statistics_page import write_page

    written = read_json(result.stages[-1].directory / "statistics.json")
    sides = {name: Statistics.from_json(found) for name, found in written.items()}
    target = page or _run_of(config).directory / "statistics.html"
    with translate_os_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        write_page(sides, target, title=config.name, drift=drift_of(config, sides["train"]))
    return StatisticsFound(sides, target)


def _run(config: Config, reporter: Reporter, wanted: Sequence[Stage]) -> Result:
    run, source = _run_of(config), _source_fingerprint(config)
    found, own = _fingerprints(config, source)
    pending = [stage for stage in wanted if run.manifest(stage.name, found[stage.name]) is None]
    if not pending:  # nothing to write, so no lock is needed
        return Result(config.name, [_done(run, stage, found, skipped=True) for stage in wanted])
    _check(config, pending)
    result = Result(config.name)
    with run.lock():
        found, own = _fingerprints(config, source)  # again: another process may have changed what was held out
        for stage in wanted:
            # Looked at again under the lock: another process may have finished it meanwhile.
            skipped = run.manifest(stage.name, found[stage.name]) is not None
            if skipped:
                reporter.note(f"{stage.name}: done before")
                _remember(run, stage, own, run.artifact(stage.name, found[stage.name]))
            else:
                _make(run, stage, found, own, config, reporter)
            result.stages.append(_done(run, stage, found, skipped))
    return result


def _remember(run: Run, stage: Stage, own: dict[str, str], artifact: Path) -> None:
    """Adds the test rows of a split to the ledger: before it is published, so that no whole split is missing there."""
    if stage.remembers and own[stage.name] not in (ledger := HeldOut.of(run.directory)).seen:
        from pipeline.data.divide import test_identities

        ledger.add(own[stage.name], test_identities(artifact / "manifest.arrow"))


def _make(
    run: Run, stage: Stage, found: dict[str, str], own: dict[str, str], config: Config, reporter: Reporter
) -> None:
    from pipeline import stages
    from pipeline.context import Context

    inputs = _inputs(run, stage, found, config, reporter)
    directories = {need: run.artifact(need, made) for need, made in inputs.items()}
    function: Callable[[Context], dict[str, Any]] = getattr(stages, stage.name)
    reporter.stage(stage.name, stage.about)
    started = time.perf_counter()
    fingerprint = found[stage.name]
    with run.write(stage.name, fingerprint) as writing:
        before = len(reporter.warnings)
        remembered = HeldOut.of(run.directory).state_for(own[stage.name]) if stage.remembers else None
        context = Context(config, directories, writing.directory, fingerprint, reporter, run.directory, remembered)
        summary = function(context)
        if not stage.needs and _fingerprints(config, _source_fingerprint(config))[1][stage.name] != own[stage.name]:
            raise DataError(
                "The source, or the schema file, changed while it was read.",
                expected="the same content from the beginning of a run to its end",
                fix="Run again when nothing writes to it.",
            )
        missing = [name for name in stage.makes if not (writing.directory / name).exists()]
        if missing:
            raise RuntimeError(f"the stage {stage.name} did not make {missing}")
        _remember(run, stage, own, writing.directory)
        writing.manifest.update(
            inputs=inputs,
            config={key: config.section(key) for key in stage.reads},
            summary=summary,
            warnings=reporter.warnings[before:],
            published=[summary["saved_model"]] if "saved_model" in summary else [],
        )
    reporter.done(stage.name, time.perf_counter() - started, summary)


def _inputs(run: Run, stage: Stage, found: dict[str, str], config: Config, reporter: Reporter) -> dict[str, str]:
    """The fingerprints of the artifacts that a stage opens.

    Raises:
      RunError: one is missing; it is named with the command that makes it.
    """
    for need in stage.needs:
        if run.manifest(need, found[need]) is None:
            raise RunError(
                f'The stage "{stage.name}" needs "{need}", which is not done for this config.',
                expected=f"a whole artifact in {run.artifact(need, found[need])}",
                fix=f"pipeline run CONFIG --until {need}",
            )
    inputs = {need: found[need] for need in stage.needs}
    if "prepare" in inputs and "tune" in inputs:
        inputs["prepare"] = _prepared_as_tuned(run, found, config, reporter)
    elif "prepare" in inputs and "train" in inputs:  # the model is shown what it was trained on
        manifest = run.manifest("train", found["train"]) or {}
        inputs["prepare"] = manifest["inputs"]["prepare"]
    return inputs


def _prepared_as_tuned(run: Run, found: dict[str, str], config: Config, reporter: Reporter) -> str:
    """The fingerprint of the data that the best trial was trained on: prepared again, if the search chose how."""
    best = read_json(run.artifact("tune", found["tune"]) / "best.json")
    own = {key: value for key, value in best.items() if key.startswith("prepare.")}
    if not own:
        return found["prepare"]
    stage, chosen = stage_named("prepare"), config.override(own)
    chosen_found, chosen_own = _fingerprints(chosen, _source_fingerprint(config))
    if run.manifest(stage.name, chosen_found[stage.name]) is None:
        reporter.note("tuning chose another way to prepare the data")
        _make(run, stage, chosen_found, chosen_own, chosen, reporter)
    return chosen_found[stage.name]


def _done(run: Run, stage: Stage, found: dict[str, str], skipped: bool) -> Done:
    artifact = run.artifact(stage.name, found[stage.name])
    manifest = read_json(artifact / "manifest.json")
    return Done(stage.name, manifest["seconds"], skipped, manifest["summary"], artifact)


def _check(config: Config, pending: Sequence[Stage]) -> None:
    """Everything the pending stages will look up by name, before the first of them runs."""
    names = {stage.name for stage in pending}
    source = source_of(config)
    if "split" in names:
        wanted_of(config, source)
    if "prepare" in names:
        chosen_transforms(config)
    if names & {"tune", "train"}:
        import_tensorflow()
        check_training(config, has_images=_has_images(config, source))


def _has_images(config: Config, source: Source) -> bool:
    """Whether the source, the schema file or the config says so; columns of images that nobody declared come later."""
    return "image" in wanted_of(config, source).kinds.values()


def _run_of(config: Config) -> Run:
    return Run(Path(config.runs).absolute() / config.name)


def _fingerprints(config: Config, source: str) -> tuple[dict[str, str], dict[str, str]]:
    """Of every stage: its fingerprint, and that without regard to what earlier runs held out."""
    own = fingerprints(config, source, code_hashes)
    held_out = HeldOut.of(_run_of(config).directory)
    return fingerprints(config, source, code_hashes, held_out.state_for), own


def _source_fingerprint(config: Config) -> str:
    hashes, source = FileHashes(_run_of(config).directory / ".hashes.json"), source_of(config)
    found = source.fingerprint(hashes)
    kinds = {name: column.kind for name, column in columns_of(config).items()} | config.features.kinds
    images = [name for name, kind in kinds.items() if kind == "image"]
    if images and (linked := linked_fingerprint(source, images, hashes)):
        found = f"{found}-{linked}"
    hashes.save()
    return found
