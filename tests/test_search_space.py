"""The search space: read, checked, turned into KerasTuner's form and back, and gone through whole."""

from __future__ import annotations

import doctest
import importlib
import itertools
import json
import math
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.config_sections import Train
from pipeline.errors import ConfigError
from pipeline.models import convnet, mlp
from pipeline.spec import Bag, Spec
from pipeline.training import optimizers
from pipeline.training.search import check_space, default_space, overrides, to_hyperparameters
from pipeline.training.search.conditions import read_space
from pipeline.training.search.configurations import all_within, configurations
from pipeline.training.search.dimensions import Dimension, is_same
from pipeline.training.search.space import decode, encode

SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much]
KEYS = ["train.optimizer", "model.width", "train.optimizer.momentum", "model.head.units", "train.augment.0.alpha"]
MOMENTUM = {"min": 0.0, "max": 0.9, "when": {"train.optimizer": "SGD"}}
TABLE = Spec("binary", 2, num_numeric=3, edges=((0.0, 1.0),) * 3, num_train=100)
IMAGES = Spec("multiclass", 3, image_shape=(16, 16, 3), num_train=100)
TEXTS = Spec("binary", 2, bags=(Bag(64, 8, ordered=True),), num_train=100)

listed = st.one_of(
    st.lists(st.integers(-9, 99), min_size=1, max_size=4, unique=True),
    st.lists(st.sampled_from([0.0, 0.5, 1.5, 2.25]), min_size=1, max_size=3, unique=True),
    st.lists(st.sampled_from(["Adam", "SGD", True, False, 7, 0.25, {"name": "Adam", "x": 1}]), min_size=1, max_size=4),
).filter(lambda values: not any(is_same(one, other) for one, other in itertools.combinations(values, 2)))
stepped = st.one_of(
    st.builds(lambda low, by: {"min": low, "max": low + by}, st.integers(0, 9), st.integers(1, 4)),
    st.builds(lambda low, by: {"min": low, "max": low + 7, "step": by}, st.integers(0, 9), st.integers(1, 7)),
    st.builds(
        lambda low, count: {"min": low / 10, "max": (low + count) / 10, "step": 0.1},
        st.integers(0, 9),
        st.integers(1, 5),
    ),
    st.just({"min": 1, "max": 64, "log": True, "step": 4}),
    st.just({"min": 1e-3, "max": 1e-1, "log": True, "step": 10}),
)
endless = st.sampled_from([{"min": 0.0, "max": 1.0}, {"min": 1e-6, "max": 1e-1, "log": True}, {"min": 1, "max": 2.5}])


@st.composite
def spaces(draw: st.DrawFn, with_endless: bool = False) -> dict[str, Any]:
    """Up to five keys, some of which exist only with some values of one before; in any order."""
    forms: dict[str, Any] = {}
    for key in KEYS[: draw(st.integers(1, len(KEYS)))]:
        form = draw(st.one_of(listed, stepped, endless) if with_endless else st.one_of(listed, stepped))
        parents = [dimension for dimension in (read_space(forms) if forms else []) if not dimension.is_endless]
        if parents and draw(st.booleans()):
            parent = draw(st.sampled_from(parents))
            wanted = draw(st.lists(st.sampled_from(list(parent.values or ())), min_size=1, max_size=2))
            form = {**({"choices": form} if isinstance(form, list) else form), "when": {parent.key: wanted}}
        forms[key] = form
    return {key: forms[key] for key in draw(st.permutations(list(forms)))}


def admits(dimensions: list[Dimension], chosen: dict[str, Any]) -> bool:
    """Whether a configuration has the keys that exist with it, no others, and values that they take."""
    there = {dimension.key: dimension for dimension in dimensions if dimension.exists(chosen)}
    return chosen.keys() == there.keys() and all(
        any(type(value) is type(chosen[key]) and value == chosen[key] for value in dimension.values)
        if (dimension := there[key]).values is not None
        else type(chosen[key]) is float and dimension.low <= chosen[key] <= dimension.high
        for key in chosen
    )


@given(spaces(with_endless=True))
@settings(deadline=None, max_examples=60, suppress_health_check=SLOW)
def test_what_keras_tuner_draws_comes_back_as_the_config_has_it(space: dict[str, Any]) -> None:
    dimensions = read_space(space)
    found = to_hyperparameters(space, {})
    assert admits(dimensions, overrides(found))
    by_key = {dimension.key: dimension for dimension in dimensions}
    for seed in range(5):
        drawn = found.copy()
        drawn.values = {}
        for place, hp in enumerate(drawn.space):
            if drawn.is_active(hp):
                drawn.values[hp.name] = hp.random_sample(seed * 100 + place)
        chosen = overrides(drawn)
        assert admits(dimensions, chosen)
        assert {key: encode(by_key[key], value) for key, value in chosen.items()} == drawn.values


@given(spaces(), st.integers(0, 9))
@settings(deadline=None, max_examples=60, suppress_health_check=SLOW)
def test_every_configuration_comes_once(space: dict[str, Any], seed: int) -> None:
    dimensions = read_space(space)
    found = [json.dumps(one, sort_keys=True) for one in configurations(dimensions, seed)]
    wanted = set()
    for values in itertools.product(*(dimension.values or () for dimension in dimensions)):
        chosen: dict[str, Any] = {}
        for dimension, value in zip(dimensions, values, strict=True):
            if dimension.exists(chosen):
                chosen[dimension.key] = value
        wanted.add(json.dumps(chosen, sort_keys=True))
    assert len(found) == len(set(found))
    assert set(found) == wanted
    assert len(all_within(dimensions, len(found), seed) or []) == len(found)
    assert all_within(dimensions, len(found) - 1, seed) is None


def test_the_order_of_configurations_is_the_seeds() -> None:
    dimensions = read_space({"model.depth": [1, 2, 3, 4], "model.width": {"min": 1, "max": 9}})
    orders = [all_within(dimensions, 36, seed) for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert all_within(read_space({"model.l2": {"min": 0.0, "max": 1.0}}), 10**9, 0) is None


@given(spaces(with_endless=True), st.data())
@settings(deadline=None, max_examples=40, suppress_health_check=SLOW)
def test_the_configs_own_values_are_the_defaults(space: dict[str, Any], data: st.DataObject) -> None:
    dimensions = read_space(space)
    start = {one.key: data.draw(st.sampled_from(list(one.values or one.ends))) for one in dimensions}
    for key, value in overrides(to_hyperparameters(space, start)).items():
        assert is_same(value, start[key])


def test_choices_of_all_kinds_come_back_as_they_were() -> None:
    tables = [{"name": "SGD", "momentum": 0.5}, "Adam"]
    space = {
        "train.optimizer": tables,
        "model.depth": [1, 2],
        "model.dropout": [0, 0.5],
        "model.proximal": [True, False],
    }
    chosen = overrides(to_hyperparameters(space, {"train.optimizer": {"name": "Adam"}, "model.proximal": False}))
    assert chosen == {"train.optimizer": "Adam", "model.depth": 1, "model.dropout": 0, "model.proximal": False}
    assert [type(value) for value in chosen.values()] == [str, int, int, bool]
    assert overrides(to_hyperparameters(space, {}))["train.optimizer"] == tables[0]


def test_a_start_outside_the_space_is_not_its_default() -> None:
    space = {"train.learning_rate": {"min": 1e-4, "max": 0.1}, "model.width": {"min": 8, "max": 64}, "model.depth": [1]}
    start = {"train.learning_rate": 5.0, "model.width": 1000, "model.depth": 9}
    assert overrides(to_hyperparameters(space, start)) == {
        "train.learning_rate": 1e-4,
        "model.width": 8,
        "model.depth": 1,
    }


@pytest.mark.parametrize(
    ("bounds", "values"),
    [
        ({"min": 0.0, "max": 1.0, "step": 0.1}, [index / 10 for index in range(11)]),
        ({"min": 0.1, "max": 0.3, "step": 0.1}, [0.1, 0.2, 0.3]),
        ({"min": 6, "max": 13, "step": 3}, [6, 9, 12]),
        ({"min": 2, "max": 32, "log": True, "step": 2}, [2, 4, 8, 16, 32]),
        ({"min": 0.001, "max": 10.0, "log": True, "step": 10}, [0.001, 0.01, 0.1, 1.0, 10.0]),
        ({"min": 3, "max": 5}, [3, 4, 5]),
    ],
)
def test_a_range_with_steps_has_the_values_one_reads_in_it(bounds: dict[str, Any], values: list[Any]) -> None:
    (dimension,) = read_space({"model.x": bounds})
    assert list(dimension.values or ()) == values
    (hp,) = to_hyperparameters({"model.x": bounds}, {}).space
    drawn = {hp.prob_to_value((index + 0.5) / 1000) for index in range(1000)}
    assert drawn == set(values)


def test_conditions_join_and_chain() -> None:
    space = {
        "train.optimizer.momentum": MOMENTUM,
        "train.optimizer.nesterov": {
            "choices": [True, False],
            "when": {"train.optimizer.momentum": [0.5, 0.9], "model.depth": [2, 3]},
        },
        "train.optimizer": ["Adam", "SGD"],
        "model.depth": {"min": 1, "max": 3},
    }
    space["train.optimizer.momentum"] = {**MOMENTUM, "min": 0.1, "step": 0.4}
    found = list(configurations(read_space(space), 0))
    assert len(found) == 3 * (1 + 3) + 2 * 2  # of 12, those with momentum 0.5 or 0.9 and depth 2 or 3 count twice
    for one in found:
        assert ("train.optimizer.momentum" in one) == (one["train.optimizer"] == "SGD")
        wanted = one.get("train.optimizer.momentum") in (0.5, 0.9) and one["model.depth"] > 1
        assert ("train.optimizer.nesterov" in one) == wanted


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "is empty"),
        ({"model.width": []}, "lists no choice"),
        ({"model.width": {"choices": []}}, "lists no choice"),
        ({"model.width": [8, 16, 8]}, "lists 8 twice"),
        ({"model.width": [8, 8.0]}, "lists 8.0 twice"),
        ({"model.width": [8, math.nan]}, "nan cannot be tried"),
        ({"model.width": [8, object]}, "cannot be tried"),
        ({"model.width": 8}, '"tune.space.model.width" is 8'),
        ({"model.width": {}}, '"tune.space.model.width" is {}'),
        ({"model.width": {"min": 8}}, "model.width"),
        ({"model.width": {"choices": [8], "min": 1}}, "model.width"),
        ({"model.width": {"choices": 8}}, '"tune.space.model.width" is 8'),
        ({"model.width": {"min": 8, "max": 8}}, "min is 8 and max is 8"),
        ({"model.width": {"min": 9, "max": 8}}, "min is 9 and max is 8"),
        ({"model.width": {"min": "a", "max": "b"}}, "model.width"),
        ({"model.width": {"min": True, "max": 8}}, "model.width"),
        ({"model.width": {"min": 1, "max": math.inf}}, "model.width"),
        ({"model.width": {"min": math.nan, "max": 8}}, "model.width"),
        ({"model.width": {"min": 1, "max": 8, "stride": 2}}, "model.width"),
        ({"model.l2": {"min": 0.0, "max": 1.0, "log": True}}, "logarithmic"),
        ({"model.l2": {"min": 0.1, "max": 1.0, "log": "yes"}}, "log is 'yes'"),
        (
            {"split.train": [0.5, 0.6]},
            '"split.train" cannot be tuned: it decides on the rows that trials are scored on',
        ),
        ({"seed": [0, 1]}, '"seed" cannot be tuned: a seed that wins is a lucky one'),
        ({"train.patience": [5, 10]}, '"train.patience" cannot be tuned: a trial has tune.patience'),
        ({"train.budget": ["1m", "2m"]}, '"train.budget" cannot be tuned: trials are limited by tune.epochs'),
        ({"prepare.image_size": [[8, 8], [16, 16]]}, "rows are read once for all trials"),
        ({"features.drop": [["a"], ["b"]]}, "rows are read once for all trials"),
        ({"feed.threads": [1, 2]}, '"feed.threads" cannot be tuned: it changes no score'),
        ({"tune.epochs": [1, 2]}, "it is about the search itself"),
        ({"nothing": [1, 2]}, '"nothing" cannot be tuned'),
        ({"model.a": {"choices": [1], "when": "SGD"}}, "when is 'SGD'"),
        ({"model.a": {"choices": [1], "when": {"model.b": []}}, "model.b": [1]}, 'no value of "model.b"'),
        ({"train.optimiser.momentum": MOMENTUM, "train.optimizers": ["SGD"]}, '"train.optimizer", which is not in'),
        ({"train.optimizer.momentum": MOMENTUM, "train.optimizer": ["Adam", "sgd"]}, "'SGD', which it never is"),
        ({"model.a": {"choices": [1], "when": {"model.b": True}}, "model.b": [1, 2]}, "True, which it never is"),
        ({"model.a": {"choices": [1], "when": {"model.b": 9}}, "model.b": {"min": 1, "max": 8}}, "9, which it never"),
        ({"model.a": {"choices": [1], "when": {"model.b": 0.5}}, "model.b": {"min": 0.0, "max": 1.0}}, "any number"),
        ({"model.a": {"choices": [1], "when": {"model.a": 1}}}, '"model.a" depends on "model.a"'),
        (
            {
                "model.c": [1],
                "model.a": {"choices": [1], "when": {"model.b": 1}},
                "model.b": {"choices": [1], "when": {"model.a": 1}},
            },
            'contradictory space): "model.a" depends on "model.b", "model.b" depends on "model.a"',
        ),
        (
            {
                "model.a": [1, 2],
                "model.b": {"choices": [1], "when": {"model.a": 1}},
                "model.c": {"choices": [1], "when": {"model.b": 1, "model.a": 2}},
            },
            'model.c" can never exist: its conditions leave no value of "model.a"',
        ),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(space: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        to_hyperparameters(space, {})


def test_a_condition_on_a_misspelt_key_names_the_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        to_hyperparameters({"model.a": {"choices": [1], "when": {"train.optimiser": 1}}, "train.optimizer": [1]}, {})
    assert 'Did you mean "train.optimizer"?' in str(caught.value)


@pytest.mark.parametrize(
    "bounds",
    [
        {"min": 0.1, "max": 1.0, "log": True, "step": 0.5},
        {"min": 0.1, "max": 1.0, "log": True, "step": 11},
        {"min": 0.0, "max": 1.0, "step": -1},
        {"min": 0.0, "max": 1.0, "step": "a"},
        {"min": 0.0, "max": 1.0, "step": 1.5},
        {"min": 0.0, "max": 1.0, "step": math.nan},
        {"min": 1, "max": 8, "step": 0.5},
        {"min": 1, "max": 8, "step": 0},
        {"min": 1, "max": 8, "step": 8},
    ],
)
def test_a_step_that_contradicts_its_range_is_refused(bounds: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="step"):
        to_hyperparameters({"model.l2": bounds}, {})


def test_every_end_is_tried_with_what_it_needs_to_exist() -> None:
    tried: list[dict[str, Any]] = []
    check_space({"train.optimizer.momentum": MOMENTUM, "train.optimizer": ["Adam", "SGD"]}, tried.append)
    assert tried == [
        {"train.optimizer": "Adam"},
        {"train.optimizer": "SGD"},
        {"train.optimizer": "SGD", "train.optimizer.momentum": 0.0},
        {"train.optimizer": "SGD", "train.optimizer.momentum": 0.9},
    ]


def test_a_value_that_does_not_fit_is_named() -> None:
    def values_fit(chosen: dict[str, Any]) -> None:
        if chosen.get("model.dropout", 0) >= 1:
            raise ConfigError("model.dropout is too much.", expected="below 1", fix="Less.")

    check_space({"model.dropout": {"min": 0.0, "max": 0.9}}, values_fit)
    with pytest.raises(ConfigError) as caught:
        check_space({"model.dropout": {"min": 0.0, "max": 1.5}}, values_fit)
    assert str(caught.value).startswith('"tune.space.model.dropout": 1.5 does not fit. model.dropout is too much.')
    assert caught.value.expected == "below 1"
    with pytest.raises(ConfigError, match=re.escape('"tune.space.model.dropout": 2 does not fit')):
        check_space({"model.dropout": [0.1, 2, 0.5]}, values_fit)


@pytest.mark.parametrize("spec", [TABLE, IMAGES, TEXTS], ids=["table", "images", "texts"])
def test_the_default_space_names_keys_that_exist_and_can_be_searched(spec: Spec) -> None:
    space = default_space(spec)
    chosen = overrides(to_hyperparameters(space, {}))
    model = convnet if spec.image_shape else mlp
    assert model(spec, **{key[6:]: value for key, value in chosen.items() if key.startswith("model.")})
    assert {key[6:] for key in space if key.startswith("train.")} <= set(Train.model_fields) - {"batch_size"}
    assert set(space["train.optimizer"]) <= set(optimizers.__all__)


def test_the_default_space_has_what_the_model_takes() -> None:
    assert "model.numbers" in default_space(TABLE, mlp)
    assert {key for key in default_space(TABLE, lambda spec, *, width=1: None) if key.startswith("model.")} == {
        "model.width"
    }


def test_keras_tuners_own_keys_are_no_overrides() -> None:
    assert decode({"tuner/trial_id": "0003", "tuner/epochs": 3, "model.depth": 2}) == {"model.depth": 2}


@pytest.mark.parametrize(
    "module", ["conditions", "configurations", "default", "dimensions", "journal", "search", "space", "trials"]
)
def test_the_examples_run(module: str) -> None:
    result = doctest.testmod(importlib.import_module(f"pipeline.training.search.{module}"))
    assert (result.failed, result.attempted > 0) == (0, True)
