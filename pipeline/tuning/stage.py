"""The stage `tune`, from the search space to the winner."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.components import model_of, optimizer_of, resolved
from pipeline.config import Config, fingerprint
from pipeline.context import Context
from pipeline.errors import TuningError
from pipeline.model_steps import build_model, check_classes, space_of, spec_of
from pipeline.report.hparams import write_hparams
from pipeline.report.tuning_page import write_tuning_page
from pipeline.runs import Run, write_json
from pipeline.spec import Spec
from pipeline.training.search import Asked, Header, Journal, Outcome, Search, Trial, check_space
from pipeline.tuning.address import listening
from pipeline.tuning.clock import Clock
from pipeline.tuning.finalists import Finalist, in_order, noise, number_of_finalists, score_again, winner
from pipeline.tuning.jobs import jobs_of, merged
from pipeline.tuning.trainer import Trainer

JOURNAL = "journal.jsonl"
# Trials that a search asks for at once. A Bayesian one learns from those before, the others do not, or only by rungs;
# and where the time is limited, those that have begun should have time to end.
_AT_ONCE, _BAYESIAN, _IN_LIMITED_TIME = 64, 8, 16
# What changes the score of a trial, besides the data and the space.
_SCORED_BY = ("model", "train", "tune.patience", "tune.seeds", "seed")


def search_and_choose(context: Context) -> dict[str, Any]:
    """Stores of train and validation -> best.json, trials.json, tuning.json, journal.jsonl."""
    config = context.config
    spec = spec_of(context)
    space = space_of(config, spec)
    check(context, spec, space)
    work = Run(context.run_directory).checkpoints("tune", context.fingerprint)
    with journal_of(context, work, space) as journal:
        search = search_of(config, spec, space, journal)
        clock = Clock(config.tune.budget_seconds, sum(trial.outcome.seconds for trial in search.trials))
        trainer = Trainer(context, spec, work)
        if config.tune.workers > 1 or listening():
            from pipeline.tuning import local_workers  # which needs this module

            local_workers.run_search(context, space, work, search, clock)
        else:
            run_search(context, search, trainer, clock)
    ranked = in_order(search.trials)
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
            for one, outcome in merged(trainer.train(jobs), config.tune.seeds):
                search.tell(one.number, outcome)
                if outcome.error:
                    reporter.warn(failure(one, outcome))
            progress.end_of_round()


def most_at_once(config: Config, workers: int = 1) -> int:
    """Trials that a search asks for at once, for so many workers together."""
    if config.tune.algorithm == "bayesian":
        return _BAYESIAN
    return workers * (_IN_LIMITED_TIME if config.tune.budget else _AT_ONCE)


def failure(asked: Asked, outcome: Outcome) -> str:
    """What a failed trial says, on one line; all of it is in trials.json."""
    first = str(outcome.error).splitlines()[0].removesuffix(" The batch of that step:")
    return f"trial {asked.number} failed: {first}"


@dataclass
class Progress:
    """The bar of a search: parts of trials count, too, since many are trained at once."""

    search: Search
    advance: Any
    _shown: float = 0.0
    _before: float = 0.0

    def __post_init__(self) -> None:
        self.end_of_round()  # some are done where a search goes on

    def show(self, done: float, epochs: float = 1.0) -> None:
        """So many epochs of this round are done, of so many that a trial has."""
        now = self._before + done / epochs
        scores = [trial.score for trial in self.search.trials if trial.score is not None]
        self.advance(max(now - self._shown, 0.0), f"best validation loss {min(scores):.4f}" if scores else "")
        self._shown = max(now, self._shown)

    def end_of_round(self) -> None:
        """The next trials begin."""
        self._before = float(len(self.search.trials))
        self.show(0.0)


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
    config, ranked = context.config, in_order(trials)
    best = winner(ranked, finalists)
    failed = sum(trial.outcome.error is not None for trial in trials)
    is_short = not clock.has_time_for_trials(number_of_finalists(config) > 0) and len(trials) < config.tune.trials
    write_json(context.out / "best.json", best.asked.overrides)
    write_json(context.out / "trials.json", [trial.to_json() for trial in trials])
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
        "cut_short": f"the budget of {config.tune.budget}" if is_short else None,
    }
    write_json(context.out / "tuning.json", about)
    shutil.copyfile(work / JOURNAL, context.out / JOURNAL)
    write_tuning_page(context.out, config.name)
    write_hparams(context.out)
    means = {finalist.number: finalist.mean for finalist in finalists}
    return {
        "trials": len(trials),
        "failed": failed,
        "validation loss": means.get(best.asked.number) or best.score,
        "noise": about["noise"],
    }


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

    check_space(space, values_fit)


def start_of(config: Config, spec: Spec) -> dict[str, Any]:
    """The config's own values. Not epochs and patience: a trial has those of the section tune."""
    known = resolved(config, spec)
    start = {f"model.{key}": value for key, value in model_of(known, spec.image_shape is not None)[1].items()}
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


def header_of(context: Context, space: dict[str, Any]) -> Header:
    """What must be the same for a journal to be gone on with."""
    config, data = context.config, context.inputs["prepare"].name
    scored_by = {key: config.section(key) for key in _SCORED_BY}
    for key in ("epochs", "patience"):  # a trial has those of the section tune
        scored_by["train"].pop(key, None)
    return Header(
        fingerprint({"data": data, **scored_by}), config.tune.algorithm, space, config.seed, config.tune.epochs
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
        shutil.copyfile(earlier, temporary)
        try:
            Journal.open(temporary, header).close()
        except TuningError:
            temporary.unlink()
            continue
        temporary.replace(path)
        return


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
