"""A trial ends the same by itself, by `fit` and in any population."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from pipeline import models
from pipeline.training import SGD, Adagrad, Adam, AdamW
from pipeline.training.population import group_key
from pipeline.training.schedules import SCHEDULES
from tests.populating import SMOOTHED, TOLERANCE, TRIALS, Task, Tasks, Trial, assert_equal_losses


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Tasks:
    return Tasks(tmp_path_factory.mktemp("tasks"))


@pytest.fixture(scope="module")
def task(tasks: Tasks) -> Task:
    return tasks.table(partial(models.mlp, width=8, depth=1))


def tables(tasks: Tasks, name: str, task: Any, **sizes: Any) -> Task:
    return tasks.table(partial(getattr(models, name), **sizes), task)


MODELS: dict[str, Callable[[Tasks], Task]] = {
    "mlp": lambda tasks: tables(tasks, "mlp", "multiclass", width=16),
    "mlp, periodic": lambda tasks: tables(tasks, "mlp", "binary", width=8, depth=1, numbers="periodic"),
    "mlp of pixels": lambda tasks: tasks.images(partial(models.mlp, width=8, depth=1)),
    "residual_mlp": lambda tasks: tables(tasks, "residual_mlp", "regression", width=8, depth=1),
    "tabm": lambda tasks: tables(tasks, "tabm", "multiclass", width=8, depth=1, members=3),
    "tabm, plain": lambda tasks: tables(tasks, "tabm", "regression", width=8, depth=2, members=3, numbers="plain"),
    "convnet": lambda tasks: tasks.images(partial(models.convnet, width=4, depth=1)),
}


# A step of a convnet has tens of thousands of ReLUs. Where rounding alone decides whether one is 0, the gradients of
# all layers before it change. Of 25 trials two came to 5e-5 and 7e-5 so, one to 4e-6, the others to 5e-8 at most.
OF_CONVOLUTIONS = 1e-4


@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_trained_as_by_fit(tasks: Tasks, name: str) -> None:
    tolerance = OF_CONVOLUTIONS if name == "convnet" else TOLERANCE
    task, place = MODELS[name](tasks), list(MODELS).index(name)
    first = TRIALS[-1] if task.spec.task == "regression" else SMOOTHED  # labels that are numbers cannot be smoothed
    trials = [first, TRIALS[place % 3], TRIALS[(place + 1) % 3]]
    lanes = task.run(trials, together=True)
    for trial, lane in zip(trials, lanes, strict=True):
        assert (lane.error, lane.together) == (None, 3)
        assert_equal_losses(lane.history, task.losses_by_fit(trial), tolerance)
    assert len({lane.history[-1] for lane in lanes}) == 3


RATES = st.floats(0.3, 3.0)
COMMON = {
    "schedule": st.sampled_from(list(SCHEDULES)),
    "clip_norm": st.none() | st.floats(0.05, 5.0),
    "plateau_patience": st.just(1),
}
OPTIMIZERS = st.one_of(
    st.builds(AdamW, RATES.map(lambda rate: 3e-3 * rate), weight_decay=st.floats(0.0, 0.5), **COMMON),
    st.builds(SGD, RATES.map(lambda rate: 2e-2 * rate), momentum=st.floats(0.0, 0.9), nesterov=st.booleans(), **COMMON),
    st.builds(Adam, RATES.map(lambda rate: 3e-3 * rate), beta_1=st.floats(0.5, 0.95), **COMMON),
    st.builds(Adagrad, RATES.map(lambda rate: 5e-2 * rate), **COMMON),
)
PENALTIES = st.sampled_from([0.0, 1e-4, 1e-2])


@st.composite
def groups(draw: st.DrawFn) -> list[Trial]:
    """Trials that can be trained at once: they differ in all that they may differ in."""
    proximal, averages, mixes, weighs = (draw(st.booleans()) for _ in range(4))

    def trial() -> Trial:
        model = {"dropout": draw(st.floats(0.05, 0.6)), "l1": draw(PENALTIES), "l2": draw(PENALTIES)}
        return Trial(
            draw(OPTIMIZERS),
            tuple({**model, "proximal": proximal}.items()),
            label_smoothing=draw(st.sampled_from([0.0, 0.1])),
            ema=draw(st.floats(0.1, 0.99)) if averages else None,
            seed=draw(st.integers(0, 2)),
            mix_up=draw(st.floats(0.1, 2.0)) if mixes else None,
            class_weight=draw(st.sampled_from(["balanced", {0: 0.0, 1: 3.0}])) if weighs else None,
        )

    # A penalty of its own makes l1 proximal or not, and a group has both or neither.
    found = [trial() for _ in range(draw(st.integers(2, 4)))]
    return [one for one in found if not proximal or dict(one.model)["l1"]] or found[:1]


@settings(deadline=None, max_examples=3, derandomize=True, phases=[Phase.generate])  # each takes seconds
@given(trials=groups())
def test_a_trial_ends_the_same_by_fit_alone_and_in_any_population(task: Task, trials: list[Trial]) -> None:
    assert len({group_key(task.candidate(trial)) for trial in trials}) == 1
    together = task.run(trials, together=True)
    others = task.run(trials[1:][::-1] or trials, together=True)[::-1]
    alone = task.run(trials, together=False)
    for trial, lane, own in zip(trials, together, alone, strict=True):
        assert_equal_losses(lane.history, own.history)
        assert_equal_losses(lane.history, task.losses_by_fit(trial))
    for lane, other in zip(together[1:], others, strict=False):
        assert_equal_losses(lane.history, other.history)


def test_the_steps_of_bfloat16_agree_as_far_as_bfloat16_does(task: Task) -> None:
    trials = [Trial(optimizer, precision="bfloat16") for optimizer in (Adam(0.01), SGD(0.03))]
    full = task.run([Trial(Adam(0.01))])[0].history
    for trial, lane in zip(trials, task.run(trials, together=True), strict=True):
        assert_equal_losses(lane.history, task.losses_by_fit(trial), tolerance=1e-3)
        assert lane.history != full


def test_a_row_of_a_table_that_has_no_gradient_moves_if_the_batch_names_it(task: Task) -> None:
    """Rows of class 0 count nothing: categories that a batch has in no other row have a gradient of exactly 0."""
    trials = [Trial(Adam(0.01), class_weight={0: 0.0, 1: 1.0}), Trial(SGD(0.1), class_weight={0: 0.0, 2: 0.5})]
    for trial, lane in zip(trials, task.run(trials, together=True), strict=True):
        assert_equal_losses(lane.history, task.losses_by_fit(trial))


def test_convolutions_are_trained_one_after_another(tasks: Tasks) -> None:
    lanes = MODELS["convnet"](tasks).run(TRIALS[:2])
    assert [lane.together for lane in lanes] == [1, 1]
