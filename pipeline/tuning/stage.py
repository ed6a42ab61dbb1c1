"""The stage `tune`, from the search space to the winner."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.components import model_of, optimizer_of, resolved
from pipeline.config import Config
from pipeline.context import Context
from pipeline.errors import TuningError
from pipeline.model_steps import build_model, check_classes, space_of, spec_of
from pipeline.report.hparams import write_hparams
from pipeline.report.tuning_page import write_tuning_page
from pipeline.runs import Run, write_json
from pipeline.spec import Spec
from pipeline.training.search import Journal, Search, Trial, check_space
from pipeline.tuning import JOURNAL, arenas
from pipeline.tuning.address import listening
from pipeline.tuning.bar import Progress
from pipeline.tuning.clock import Clock
from pipeline.tuning.finalists import Finalist, in_order, noise, number_of_finalists, score_again, winner
from pipeline.tuning.jobs import failure, jobs_of, merged, most_at_once, seeds_of, trainings_of
from pipeline.tuning.journals import journal_of
from pipeline.tuning.prepared import Prepared, check_prepare
from pipeline.tuning.trainer import Trainer


def search_and_choose(context: Context) -> dict[str, Any]:
    """Stores of train and validation -> best.json, trials.json, tuning.json, journal.jsonl."""
    arenas.as_few_as_cores()
    config = context.config
    spec = spec_of(context)
    space = space_of(config, spec)
    check(context, spec, space)
    work = Run(context.run_directory).checkpoints("tune", context.fingerprint)
    with journal_of(context, work, space) as journal:
        search = search_of(config, spec, space, journal)
        clock = Clock(config.tune.budget_seconds, sum(trial.outcome.seconds for trial in search.trials))
        trainer = Trainer(context, Prepared(context), work)
        if config.tune.workers > 1 or listening():
            from pipeline.tuning import local_workers  # only here: it loads gRPC

            local_workers.run_search(context, space, work, search, clock)
        else:
            run_search(context, search, trainer, clock)
    ranked = in_order(search.trials, config)
    if not ranked:
        raise none_scored(search.trials)
    finalists = again(context, ranked, trainer, clock)
    return write(context, work, space, search.trials, finalists, clock)


def run_search(context: Context, search: Search, trainer: Trainer, clock: Clock) -> None:
    """Until the search is over, or the time is."""
    config, reporter = context.config, context.reporter
    trainer.has_time = lambda: clock.has_time_for_trials(number_of_finalists(config) > 0)
    with reporter.bar("trials", config.tune.trials) as advance:
        progress = Progress(search, advance)
        while not search.is_over and trainer.has_time():
            asked = search.ask(most_at_once(config))
            jobs = jobs_of(asked, config)
            epochs = sum(job.asked.epochs for job in jobs) / max(len(asked), 1)  # none, where it finds that it is over
            trainer.on_progress = partial(progress.show, epochs=epochs)
            for one, outcome in merged(trainer.train(jobs), trainings_of(config)):
                search.tell(one.number, outcome)
                if outcome.error:
                    reporter.warn(failure(one.number, outcome))
            progress.end_of_round()


def again(context: Context, ranked: list[Trial], trainer: Trainer, clock: Clock) -> list[Finalist]:
    """The best trials on fresh seeds."""
    config = context.config
    best = ranked[: number_of_finalists(config)]
    if not best or not clock.has_time():
        return []
    trainer.has_time = clock.has_time
    epochs = best[0].asked.epochs
    with context.reporter.bar("finalists", len(best) * config.tune.finalist_seeds) as advance:
        shown = 0.0

        def on_progress(done: float) -> None:
            nonlocal shown
            advance(max(done / epochs - shown, 0.0))
            shown = max(shown, done / epochs)

        trainer.on_progress = on_progress
        return score_again(best, config, trainer.train)


def write(
    context: Context, work: Path, space: dict[str, Any], trials: list[Trial], finalists: list[Finalist], clock: Clock
) -> dict[str, Any]:
    """The artifact; returns the summary."""
    config, ranked = context.config, in_order(trials, context.config)
    best = winner(ranked, finalists)
    failed = sum(trial.outcome.error is not None for trial in trials)
    is_short = not clock.has_time_for_trials(number_of_finalists(config) > 0) and len(trials) < config.tune.trials
    write_json(context.out / "best.json", best.asked.overrides)
    rows = [trial.to_json() | {"seeds": seeds_of(trial.asked, config)} for trial in trials]
    write_json(context.out / "trials.json", rows)
    about = {
        "algorithm": config.tune.algorithm,
        "space": space,
        "seed": config.seed,
        "trials": len(trials),
        "failed": failed,
        "winner": best.asked.number,
        "finalists": [finalist.to_json() for finalist in finalists],
        "noise": noise(finalists),
        "seconds": round(clock.seconds, 2),
        "workers": config.tune.workers,
        "folds": config.tune.folds,
        "cut_short": f"the budget of {config.tune.budget}" if is_short else None,
    }
    write_json(context.out / "tuning.json", about)
    shutil.copyfile(work / JOURNAL, context.out / JOURNAL)
    write_tuning_page(context.out, config.name)
    write_hparams(context.out)
    mean = next((finalist.mean for finalist in finalists if finalist.number == best.asked.number), None)
    loss = best.score if mean is None else mean
    return {"trials": len(trials), "failed": failed, "validation loss": loss, "noise": about["noise"]}


def check(context: Context, spec: Spec, space: dict[str, Any]) -> None:
    """Refuses a space with a value that a trial could not be trained with, before the first trial.

    Raises:
      ConfigError: it names the key and the value.
    """
    config = context.config
    check_classes(context, space)

    def values_fit(values: dict[str, Any]) -> None:
        chosen = resolved(config.override(values), spec)
        optimizer_of(chosen)
        if any(key.startswith("model.") for key in values):
            build_model(chosen, spec)
        if any(key.startswith("prepare.") for key in values):
            check_prepare(context, chosen)

    check_space(space, values_fit)


def start_of(config: Config, spec: Spec) -> dict[str, Any]:
    """The config's own values. Not its epochs: the first trial has those of the section tune."""
    known = resolved(config, spec)
    start = {f"model.{key}": value for key, value in model_of(known, spec.image_shape is not None)[1].items()}
    start |= {f"prepare.{key}": value for key, value in config.section("prepare").items()}
    own = ("optimizer", "learning_rate", "schedule", "batch_size", "label_smoothing", "ema", "precision")
    return start | {f"train.{key}": known.section(f"train.{key}") for key in (*own, "class_weight", "resample")}


def search_of(config: Config, spec: Spec, space: dict[str, Any], journal: Journal | None) -> Search:
    """What to try, as far as the journal has come."""
    return Search(
        space,
        start=start_of(config, spec),
        algorithm=config.tune.algorithm,
        trials=config.tune.trials,
        epochs=config.tune.epochs,
        seed=config.seed,
        journal=journal,
    )


def none_scored(trials: list[Trial]) -> TuningError:
    """Every trial failed, or there was no time for one."""
    if not trials:
        return TuningError(
            "No trial was finished: there was not even time for one epoch.",
            expected="time for one epoch at least",
            fix="Raise tune.budget.",
        )
    return TuningError(
        f"All {len(trials)} trials failed. The first one: {trials[0].outcome.error}",
        expected="at least one trial that trains",
        fix="Mend the cause, or narrow tune.space.",
    )
