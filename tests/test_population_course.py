"""Whatever happens in a population, divergence, lost patience, a stop, changes no trial beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipeline import models
from pipeline.errors import TrainingError
from pipeline.training import SGD, AdamW, Population
from pipeline.training.population import Lane, part
from pipeline.tuning.saved import lane_of, load, save
from tests.fitting import SPEC, hides_nan, store_of, table
from tests.populating import EPOCHS, SMOOTHED, TRIALS, Task, Tasks, Trial, assert_equal_losses, of


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return Tasks(tmp_path_factory.mktemp("tasks")).table(partial(models.mlp, width=8, depth=1))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("together", [True, False])
def test_a_trial_that_diverges_says_why_and_changes_no_other(task: Task, together: bool) -> None:
    trials = [SMOOTHED, of(SGD(1e9), l2=1e-3), TRIALS[2]]
    lanes, without = task.run(trials, together=together), task.run(trials[::2], together=together)
    for lane, other in zip(lanes[::2], without, strict=True):
        assert lane.error is None
        assert_equal_losses(lane.history, other.history)
    failed = lanes[1]
    assert (failed.score, failed.history) == (None, [])
    with pytest.raises(TrainingError) as caught:
        task.losses_by_fit(trials[1])
    assert failed.error is not None
    assert failed.error.splitlines()[0].partition(" in epoch ")[2].startswith("1 with SGD at a learning rate of 1e+09")
    assert str(caught.value).splitlines()[0] == failed.error.splitlines()[0]


# A NaN behind a ReLU spoils weights while the losses stay numbers; too high a rate spoils a loss within its schedule.
WRONG = {"weights": (math.nan, of(AdamW(0.1, "cosine"))), "loss": (0.0, of(SGD(1e9, "one_cycle")))}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_number_is_said_as_fit_says_it(what: str, together: bool, tmp_path: Path) -> None:
    value, trial = WRONG[what]
    columns = table(0)
    columns["numeric"][7, 1] = value
    stores = store_of(columns, tmp_path / "train", SPEC), store_of(table(1), tmp_path / "validation", SPEC)
    task = Task(SPEC, *stores, hides_nan)
    with pytest.raises(TrainingError, match=f"The {what} ") as caught:
        task.losses_by_fit(trial, steps_per_call=2)  # of an epoch, as a population looks at weights
    for lane in task.run([trial, trial], together=together):
        assert lane.score is None
        assert lane.error == str(caught.value)


@pytest.mark.parametrize("worth_leaving", [-1.0, 1e9], ids=["they leave at once", "they stay in the graph"])
@pytest.mark.parametrize("patience", [1, 2])
def test_a_trial_that_lost_its_patience_is_over(
    task: Task, patience: int, worth_leaving: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rates from none to too much: their losses rise at different epochs, and fall again."""
    monkeypatch.setattr(part, "_WORTH_LEAVING", worth_leaving)
    trials = [Trial(SGD(rate)) for rate in (0.001, 0.05, 0.5, 1.0)]
    lanes = task.run(trials, epochs=10, patience=patience, together=True)
    for trial, lane in zip(trials, lanes, strict=True):
        assert_equal_losses(lane.history, task.losses_by_fit(trial, epochs=10, patience=patience), tolerance=1e-4)
    assert len({len(lane.history) for lane in lanes}) > 1


def in_file(lanes: Sequence[Lane], path: Path) -> list[Lane]:
    """The same after a way through a file."""
    names = [str(lane.place) for lane in lanes]
    save(path, dict(zip(names, lanes, strict=True)), "this search")
    found = load(path, "this search")
    assert load(path, "another one") == {}
    return [lane_of(lane.place, lane.candidate, found.get(name)) for name, lane in zip(names, lanes, strict=True)]


@pytest.mark.parametrize("together", [True, False])
def test_a_population_goes_on_from_any_call_with_the_same_losses(task: Task, together: bool, tmp_path: Path) -> None:
    trials = [SMOOTHED, *TRIALS[:2], of(SGD(1e9), seed=1)]
    programs: dict[Any, Any] = {}
    snapshots: list[list[Lane]] = []

    def on_call(population: Population) -> bool:
        snapshots.append(population.snapshot())
        return True

    whole = task.run(trials, together=together, programs=programs, on_call=on_call)
    assert len(snapshots) >= (EPOCHS if together else 4 * EPOCHS - 2)
    assert 0 < snapshots[0][0].step < snapshots[-1][0].step
    for place, lanes in enumerate(snapshots[:: 3 if together else 9]):
        saved = in_file(lanes, tmp_path / f"{place}.state")
        again = task.run(trials, together=together, programs=programs, lanes=saved)
        assert [lane.error for lane in again] == [lane.error for lane in whole]
        for lane, other in zip(again, whole, strict=True):
            assert lane.history == other.history


def test_a_population_that_is_stopped_has_what_it_came_to(task: Task) -> None:
    calls: list[float] = []

    def on_call(population: Population) -> bool:
        calls.append(population.num_epochs)
        return len(calls) < 3

    programs: dict[Any, Any] = {}
    lanes = task.run(TRIALS[:2], together=True, programs=programs, on_call=on_call)
    assert calls == sorted(calls)
    assert 0 < lanes[0].step == lanes[1].step < EPOCHS * 4
    assert calls[-1] == pytest.approx(2 * lanes[0].step / 4)
    rest = task.run(TRIALS[:2], together=False, programs=programs, lanes=lanes)  # and now one after another
    for trial, lane in zip(TRIALS, rest, strict=False):
        assert_equal_losses(lane.history, task.losses_by_fit(trial))


def test_a_rung_goes_on_with_the_schedule_of_the_whole(task: Task) -> None:
    """Hyperband: few epochs of a longer training, then the best of them until its end."""
    trials = [SMOOTHED, TRIALS[0]]
    first = task.population(trials, together=True)
    first.epochs, first.total_epochs = 1, EPOCHS
    first.__post_init__()
    lanes = first.run()
    assert [len(lane.history) for lane in lanes] == [1, 1]
    (best,) = task.run(trials[1:], lanes=[lane_of(0, lanes[1].candidate, {**saved(lanes[1])})])
    assert_equal_losses(best.history, task.losses_by_fit(trials[1]))


def saved(lane: Lane) -> dict[str, Any]:
    return {"history": lane.history, "error": lane.error, "step": lane.step, "state": lane.state}


@pytest.mark.parametrize(("clearly", "together"), [(1e9, 1), (0.0, 2)], ids=["alone", "together"])
def test_the_measured_choice_changes_no_result(
    task: Task, clearly: float, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(part, "_WORTH_MEASURING", 0.0)
    monkeypatch.setattr(part, "_MEASURED_STEPS", 1)
    monkeypatch.setattr(part, "_CLEARLY", clearly)
    sizes: list[int] = []

    def on_call(population: Population) -> bool:
        sizes.append(max(len(one.lanes) for one in population._parts))
        return True

    lanes = task.run(TRIALS[:2], on_call=on_call)
    assert sizes[-1] == together
    assert [lane.together for lane in lanes] == [2, 2]  # as long as it was measured
    for trial, lane in zip(TRIALS, lanes, strict=False):
        assert_equal_losses(lane.history, task.losses_by_fit(trial))
