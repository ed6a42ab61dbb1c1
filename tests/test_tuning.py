"""The stage `tune`: its files agree, its winner is honest, and nothing is trained twice or hidden."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import Config, load_config
from pipeline.context import Context
from pipeline.errors import ConfigError, TuningError
from pipeline.model_steps import spec_of, train_once
from pipeline.progress import Advance, Reporter, silent
from pipeline.runner import run
from pipeline.training.search import Asked
from pipeline.tuning.finalists import Finalist, noise
from pipeline.tuning.jobs import Job
from pipeline.tuning.trainer import Trainer
from tests.helpers import with_time_enough, write_csv

CONFIG = """
source = { name = "ScikitLearn", dataset = "iris" }
model = { name = "mlp", width = 8, depth = 1 }

[train]
batch_size = 32

[tune]
trials = 4
epochs = 3
finalists = 0

[tune.space]
"train.learning_rate" = { min = 0.001, max = 0.03, log = true }
"model.dropout" = { min = 0.05, max = 0.4 }
"""
FINALISTS = ("tune.finalists=2", "tune.finalist_seeds=2")
# A model of one's own, whose sizes are refused in one combination only: no value is wrong by itself.
OWN_MODEL = """
from pipeline.models import mlp

def narrow(spec, *, width=8, depth=1):
    if width == 7 and depth == 2:
        raise RuntimeError("no width of 7 here")
    return mlp(spec, width=width, depth=depth)
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "iris.toml").write_text(CONFIG)
    (folder / "own_models.py").write_text(OWN_MODEL)
    run(config_in(folder), silent(), until="prepare")
    return folder


@pytest.fixture
def folder(prepared: Path, tmp_path: Path) -> Path:
    """A run whose data are prepared."""
    shutil.copytree(prepared, tmp_path / "run")
    return tmp_path / "run"


def config_in(folder: Path, *overrides: str) -> Config:
    return load_config(folder / "iris.toml", [f'runs="{folder / "runs"}"', *overrides])


@dataclass(frozen=True)
class Found:
    """The artifact of a search."""

    directory: Path

    @property
    def trials(self) -> list[dict[str, Any]]:
        return self._read("trials")

    @property
    def best(self) -> dict[str, Any]:
        return self._read("best")

    @property
    def about(self) -> dict[str, Any]:
        return self._read("tuning")

    def _read(self, name: str) -> Any:
        return json.loads((self.directory / f"{name}.json").read_text())


def search(folder: Path, *overrides: str, reporter: Reporter | None = None) -> Found:
    result = run(config_in(folder, *overrides), reporter or silent(), until="tune")
    return Found(result.stages[-1].directory)


def space(**values: Any) -> str:
    """`tune.space`, with keys as `train__optimizer`."""
    rows = ", ".join(f'"{key.replace("__", ".")}" = {value}' for key, value in values.items())
    return f"tune.space={{{rows}}}"


@pytest.mark.parametrize("algorithm", ["random", "grid", "bayesian", "hyperband"])
def test_every_algorithm_leaves_files_that_agree(folder: Path, algorithm: str) -> None:
    grid = space(train__learning_rate=[0.003, 0.01, 0.03], model__dropout=[0.1, 0.2])
    given = [grid] if algorithm == "grid" else []
    found = search(folder, f"tune.algorithm={algorithm}", "tune.trials=6", *FINALISTS, *given)

    trials, about = found.trials, found.about
    assert [trial["number"] for trial in trials] == list(range(6))
    assert (about["algorithm"], about["trials"], about["failed"], about["cut_short"]) == (algorithm, 6, 0, None)
    assert found.best == trials[about["winner"]]["overrides"]
    assert all(trial["score"] == min(trial["history"]) for trial in trials)
    assert all(len(trial["history"]) <= trial["epochs"] <= 3 for trial in trials)
    assert {trial["how"].partition(" of ")[0] for trial in trials} <= {"population", "alone"}
    children = [trial for trial in trials if trial["parent"] is not None]
    assert bool(children) == (algorithm == "hyperband")
    for child in children:  # it went on where its parent ended, and did not begin again
        parent = trials[child["parent"]]
        assert (child["overrides"], child["first_epoch"]) == (parent["overrides"], parent["epochs"])
        assert child["seeds"] == parent["seeds"]
        assert child["history"][: parent["epochs"]] == parent["history"]


def test_finalists_are_scored_on_fresh_seeds_and_the_lowest_mean_wins(folder: Path) -> None:
    found = search(folder, "tune.finalists=3", "tune.finalist_seeds=2", "tune.seeds=2", "seed=0")
    about, ranked = found.about, sorted(found.trials, key=lambda trial: trial["score"])
    assert [finalist["number"] for finalist in about["finalists"]] == [trial["number"] for trial in ranked[:3]]
    seeds = [seed for trial in found.trials for seed in trial["seeds"]]
    assert len({*seeds}) == len(seeds) == 2 * len(found.trials)  # each trial has its own
    assert seeds[0] == 0
    for finalist in about["finalists"]:
        assert len(finalist["seeds"]) == 2
        assert not set(finalist["seeds"]) & set(seeds)
        assert finalist["mean"] == pytest.approx(np.mean(finalist["scores"]))
        assert len({*finalist["scores"], ranked[0]["score"]}) == 3
    means = {finalist["number"]: finalist["mean"] for finalist in about["finalists"]}
    assert about["winner"] == min(means, key=means.__getitem__)
    pairs = np.array([finalist["scores"] for finalist in about["finalists"]])
    pooled = math.sqrt(pairs.var(axis=1, ddof=1).mean())
    assert about["noise"] == pytest.approx(1.96 * math.sqrt(2) * pooled)


SCORES = st.lists(st.floats(0.01, 10.0), min_size=1, max_size=4)


@given(st.lists(SCORES, min_size=1, max_size=5))
def test_the_noise_is_pooled_over_those_that_have_several_scores(scores: list[list[float]]) -> None:
    rows = [Finalist(place, list(range(len(row))), list(row)) for place, row in enumerate(scores)]
    several = [np.var(row, ddof=1) * (len(row) - 1) for row in scores if len(row) > 1]
    freedom = sum(len(row) - 1 for row in scores)
    found = noise(rows)
    if not several:
        assert found is None
        return
    assert found == pytest.approx(1.96 * math.sqrt(2 * sum(several) / freedom), abs=1e-12)
    failed = Finalist(99, [1, 2, 3], [*scores[0][:1], None, None])
    assert noise([*rows, failed]) == found
    assert failed.mean is None


def by_fit(folder: Path, found: Found, *overrides: str) -> Iterator[tuple[dict[str, Any], list[list[float]]]]:
    """Every trial, and its validation losses under each of its seeds, trained as the final model is."""
    config = config_in(folder, *overrides)
    [data] = (folder / "runs" / "iris" / "prepare").iterdir()
    context = Context(config, {"prepare": data}, Path(), "any", silent(), folder)
    spec = spec_of(context)
    for trial in found.trials:
        jobs = [Job(Asked(0, trial["overrides"], 3), seed) for seed in trial["seeds"]]
        yield trial, [train_once(context, job.config(config), spec)[1].val_loss for job in jobs]


def test_the_score_of_several_seeds_is_their_mean(folder: Path) -> None:
    found = search(folder, "tune.seeds=2", "tune.trials=2")
    for trial, losses in by_fit(folder, found, "tune.seeds=2"):
        assert len(losses) == 2
        assert trial["score"] == pytest.approx(np.mean([min(own) for own in losses]), rel=1e-5)
        assert trial["history"] == pytest.approx(np.mean(losses, axis=0), rel=1e-5)


def test_batch_size_and_the_strength_of_augmentation_can_be_tuned(folder: Path) -> None:
    given = [
        'train.augment=[{ name = "MixUp", alpha = 0.2 }]',
        "tune.algorithm=grid",
        space(train__batch_size=[16, 32], train__augment__0__alpha=[0.1, 1.0]),
    ]
    found = search(folder, *given)
    assert len({trial["score"] for trial in found.trials}) == 4
    for trial, (losses,) in by_fit(folder, found, *given):
        assert trial["history"] == pytest.approx(losses, rel=1e-5)


def test_a_key_that_exists_under_a_condition_is_searched(folder: Path) -> None:
    conditional = '{ choices = [0.5, 0.9], when = { "train.optimizer" = "SGD" } }'
    weights = '{ choices = ["none", "balanced"], when = { "train.optimizer" = "Adam" } }'
    given = space(
        train__optimizer=["Adam", "SGD"], train__optimizer__momentum=conditional, train__class_weight=weights
    ).replace("'", '"')
    found = search(folder, "train.optimizer=Adam", given, "tune.trials=8", "tune.epochs=1")
    assert len(found.trials) == 4
    for trial in found.trials:
        is_sgd = trial["overrides"]["train.optimizer"] == "SGD"
        assert ("train.optimizer.momentum" in trial["overrides"]) == is_sgd
        assert ("train.class_weight" in trial["overrides"]) != is_sgd
        assert trial["score"] is not None


def test_the_budget_cuts_the_search_short_and_the_files_say_so(folder: Path) -> None:
    given = ["tune.trials=5000", "tune.finalists=1"]
    found, seconds = with_time_enough(lambda seconds: search(folder, f"tune.budget={seconds}s", *given), 8)
    trials, about = found.trials, found.about
    assert 0 < len(trials) < 5000
    assert about["cut_short"] == f"the budget of {seconds}s"
    assert found.best in [trial["overrides"] for trial in trials]
    assert about["seconds"] < seconds + 22
    cut = [trial["number"] for trial in trials if trial["cut"]]
    assert all(len(trial["history"]) < trial["epochs"] for trial in trials if trial["cut"])

    longer = search(folder, f"tune.trials={len(trials)}", "tune.finalists=0")  # they are trained to their end now
    again = {trial["number"]: trial for trial in longer.trials}  # and those that had begun, and had no epoch
    assert not any(trial["cut"] for trial in longer.trials)
    for before in trials:
        trial = again[before["number"]]
        assert before["overrides"] == trial["overrides"]
        assert (before["history"] == trial["history"]) == (trial["number"] not in cut)
        assert trial["history"][: len(before["history"])] == pytest.approx(before["history"], rel=1e-4)


def test_when_time_is_over_no_other_program_is_made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each width is a program of its own."""
    train_together, trained = Trainer._together, []

    def then_time_is_over(self: Trainer, key: str, group: Any) -> Any:
        found = train_together(self, key, group)
        trained.append(key)
        self.has_time = lambda: False
        return found

    monkeypatch.setattr(Trainer, "_together", then_time_is_over)
    found = search(folder, "tune.trials=4", "tune.algorithm=grid", space(model__width=[4, 5, 6, 7]))
    assert len(trained) == 1
    assert len(found.trials) == 1


def test_every_mixture_of_optimizers_shares_a_program(folder: Path) -> None:
    """Populations of three, in which each optimizer occurs more or less often."""
    mixed = space(train__optimizer=["AdamW", "SGD", "Adagrad"], train__learning_rate="{min=0.001, max=0.01}")
    reporter = silent()
    found = search(folder, "tune.trials=12", "tune.population=3", mixed, reporter=reporter)
    assert {trial["how"] for trial in found.trials} == {"population of 3"}
    assert reporter.warnings == []


def test_a_population_that_fails_is_told_and_its_trials_are_trained_one_by_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: Trainer, *arguments: Any) -> Any:
        raise ValueError("no such graph")

    monkeypatch.setattr(Trainer, "_population", refused)
    reporter = silent()
    found = search(folder, reporter=reporter)
    assert {trial["how"] for trial in found.trials} == {"alone"}
    assert reporter.warnings == [
        "4 trials cannot be trained at once, and are trained one by one: ValueError: no such graph"
    ]


def test_a_budget_without_time_for_one_epoch_is_refused(folder: Path) -> None:
    with pytest.raises(TuningError, match=r"No trial was finished.*\n.*\n.*Raise tune\.budget"):
        search(folder, "tune.budget=0.01s")


@pytest.mark.parametrize("population", ['"auto"', "1"])
def test_a_trial_that_fails_shows_its_own_error_and_the_search_goes_on(
    folder: Path, population: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(folder)
    given = ['model={ name = "own_models:narrow" }', f"tune.population={population}", "tune.algorithm=grid"]
    reporter = silent()
    found = search(folder, *given, space(model__width=[7, 8], model__depth=[1, 2]), reporter=reporter)
    failed = [trial for trial in found.trials if trial["error"]]
    assert [trial["overrides"] for trial in failed] == [{"model.width": 7, "model.depth": 2}]
    assert failed[0]["score"] is None
    assert "RuntimeError: no width of 7 here" in failed[0]["error"]
    assert sum(trial["score"] is not None for trial in found.trials) == 3
    assert found.about["failed"] == 1
    [warning] = [warning for warning in reporter.warnings if "failed" in warning]
    assert warning.startswith(f"trial {failed[0]['number']} failed: ")
    assert "no width of 7 here" in warning


@pytest.mark.filterwarnings("ignore")
def test_a_search_in_which_all_fail_ends_with_the_first_error(folder: Path) -> None:
    given = ["train.optimizer=SGD", "train.learning_rate=1e30", space(train__learning_rate=[1e30, 1e29])]
    with pytest.raises(TuningError) as caught:
        search(folder, *given)
    message = str(caught.value)
    assert message.startswith("All 2 trials failed. The first one: The loss became")
    assert "with SGD at a learning rate of 1e+30" in message
    assert not list((folder / "runs" / "iris" / "tune").glob("*/best.json"))


@dataclass
class Noted(Reporter):
    """Keeps what it is told, and interrupts a search when so much of it is shown."""

    until: float = math.inf
    notes: list[str] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.notes.append(text)

    @contextmanager
    def bar(self, description: str, total: int | None = None) -> Iterator[Advance]:
        def advance(steps: float = 1, info: str = "") -> None:
            if description == "trials":
                self.steps.append(steps)
                if sum(self.steps) >= self.until:
                    raise KeyboardInterrupt

        yield advance


def test_more_trials_go_on_from_an_earlier_search(folder: Path) -> None:
    first, reporter = search(folder, "tune.trials=3"), Noted(quiet=True)
    more = search(folder, "tune.trials=5", reporter=reporter)
    assert "goes on with 3 trials that are done" in reporter.notes
    assert more.trials[:3] == first.trials  # their seconds, too: they were not trained again
    assert len(more.trials) == 5
    assert len({repr(trial["overrides"]) for trial in more.trials}) == 5
    other = search(folder, "tune.trials=3", "tune.epochs=2", reporter=(again := Noted(quiet=True)))
    assert not any("goes on" in note for note in again.notes)
    assert other.trials[0]["seconds"] != first.trials[0]["seconds"]


def test_a_search_that_is_interrupted_within_its_trials_goes_on_within_them(folder: Path, tmp_path: Path) -> None:
    given = ["tune.epochs=40", "tune.patience=40", "resume.checkpoint_seconds=0.001"]
    shutil.copytree(folder, tmp_path / "whole")
    whole = search(tmp_path / "whole", *given)
    with pytest.raises(KeyboardInterrupt):
        search(folder, *given, reporter=Noted(quiet=True, until=2.0))  # half of four trials at once
    assert list(folder.glob("runs/iris/.checkpoints/tune-*/population.state"))

    reporter = Noted(quiet=True)
    found = search(folder, *given, reporter=reporter)

    assert {trial["how"] for trial in found.trials} == {"population of 4"}
    for trial, expected in zip(found.trials, whole.trials, strict=True):
        assert (trial["history"], trial["score"]) == (expected["history"], expected["score"])
    assert max(reporter.steps) > 1.0  # the epochs that were done before; an epoch is a tenth of a trial's worth
    assert not list(folder.glob("runs/iris/.checkpoints/tune-*"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (space(model__dropout=[0.1, 1.5]), '"tune.space.model.dropout": 1.5'),
        (space(model__widht=[4, 8]), "width"),
        (space(train__learning_rat=[0.1, 0.2]), "learning_rate"),
        (space(train__augment__0__alpha=[0.1, 0.2]), "augment"),
        (space(train__learning_rate=[0.1, -1.0]), "-1"),
        (space(split__seed=[1, 2]), "split.seed"),
        (space(train__patience=[1, 2]), "train.patience"),
        ("tune.space={}", "is empty"),
        (space(train__class_weight='[{ "no such class" = 2.0 }]'), "no such class"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused_before_anything_runs(
    folder: Path, given: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        search(folder, given)
    assert message in str(caught.value)
    assert not list(folder.glob("runs/iris/tune/*"))
    assert not list(folder.glob("runs/iris/.checkpoints/*/journal.jsonl"))


def rows_with(poison: float) -> list[dict[str, str]]:
    """Two numbers, a class, and a split whose test rows are other numbers."""
    random_ = np.random.default_rng(0)
    rows = []
    for place in range(120):
        side = ["train", "train", "validation", "test"][place % 4]
        first, second = random_.normal(size=2) + (poison if side == "test" else 0.0)
        label = "yes" if (first + second > 0) != (side == "test" and poison > 0) else "no"
        rows.append({"first": f"{first:.4f}", "second": f"{second:.4f}", "label": label, "split": side})
    return rows


def test_corrupting_the_test_rows_changes_no_trial(tmp_path: Path) -> None:
    found = []
    for name, poison in (("clean", 0.0), ("poisoned", 1e6)):
        folder = tmp_path / name
        write_csv(folder / "rows.csv", rows_with(poison))
        text = CONFIG.replace(CONFIG.splitlines()[1], 'source = "rows.csv"\nlabel = "label"')
        (folder / "iris.toml").write_text(text)
        found.append(search(folder, *FINALISTS))
    clean, poisoned = found
    for trial, other in zip(clean.trials, poisoned.trials, strict=True):
        assert (trial["overrides"], trial["history"]) == (other["overrides"], other["history"])
    assert clean.about["finalists"] == poisoned.about["finalists"]
    assert clean.best == poisoned.best
