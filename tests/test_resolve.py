"""A name in the config finds what it names, and a misspelt name or argument is refused with the nearest match."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pyarrow as pa
import pytest

from pipeline.config_sections import Component
from pipeline.errors import ConfigError
from pipeline.resolve import build, check_arguments, find

ROOMS = [
    "pipeline.models",
    "pipeline.data.augment",
    "pipeline.training.optimizers",
    "pipeline.data.split",
    "pipeline.data.sources",
]
NAMES = [(room, name) for room in ROOMS for name in importlib.import_module(room).__all__]


def one_argument(room: str, name: str) -> str:
    """An argument that the thing has, for misspelling."""
    first = {
        "ScikitLearn": "dataset",
        "Tfds": "data_dir",
        **dict.fromkeys(("Arrays", "ArrowTable", "FromDataset"), "label"),
    }
    if room == "pipeline.data.augment":
        return next(iter(inspect.signature(getattr(importlib.import_module(room), name)).parameters))
    return {"pipeline.models": "dropout", "pipeline.data.split": "validation"}.get(
        room, first.get(name, "path") if room.endswith("sources") else "learning_rate"
    )


def refusal(function: Any, *arguments: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        function(*arguments)
    return str(caught.value)


@pytest.mark.parametrize(("room", "name"), NAMES)
def test_a_bare_name_is_found_in_any_case(room: str, name: str) -> None:
    expected = getattr(importlib.import_module(room), name)
    for spelling in (name, name.lower(), name.upper()):
        assert find(Component(name=spelling), room, "key") is expected


@pytest.mark.parametrize(("room", "name"), NAMES)
def test_a_misspelt_name_is_refused_with_the_nearest_one(room: str, name: str) -> None:
    text = refusal(find, Component(name=name + "x"), room, "some.key")
    assert f'"some.key": there is no "{name}x"' in text
    assert f'Did you mean "{name}"?' in text
    assert all(known in text for known in importlib.import_module(room).__all__)


@pytest.mark.parametrize(("room", "name"), NAMES)
def test_a_misspelt_argument_is_refused_with_the_nearest_one_and_the_signature(room: str, name: str) -> None:
    target, argument = getattr(importlib.import_module(room), name), one_argument(room, name)
    text = refusal(check_arguments, target, {argument + "x": 1}, "some.key")
    assert "some.key" in text
    assert f"{name}(" in text
    assert f"{argument}: " in text
    if room.endswith("sources"):  # where an argument is required, that it is missing may come first
        assert argument in text
    else:
        assert f'has no argument "{argument}x"' in text
        assert f'Did you mean "{argument}"?' in text


@pytest.mark.parametrize(("room", "name"), NAMES)
def test_an_argument_of_the_wrong_type_is_refused_with_the_signature(room: str, name: str) -> None:
    target, argument = getattr(importlib.import_module(room), name), one_argument(room, name)
    needed: dict[str, dict[str, Any]] = {
        "Arrays": {"features": {}},
        "ArrowTable": {"table": pa.table({})},
        "FromDataset": {"dataset": None},
        "Tfds": {"dataset": "iris"},
    }
    text = refusal(check_arguments, target, {**needed.get(name, {}), argument: ["no", "number"]}, "some.key")
    assert f"\"some.key.{argument}\" is ['no', 'number']" in text
    assert f"{name}(" in text


@pytest.mark.parametrize("room", ROOMS)
def test_what_is_public_elsewhere_is_not_a_name_of_the_room(room: str) -> None:
    assert "there is no" in refusal(find, Component(name="annotations"), room, "key")


def test_the_name_of_a_module_of_the_room_is_not_a_name() -> None:
    assert "there is no" in refusal(find, Component(name="scikit_learn"), "pipeline.data.sources", "source")


def test_module_and_thing_are_imported_as_they_stand() -> None:
    assert (
        find(Component(name="fractions:Fraction"), "pipeline.models", "model")
        is importlib.import_module("fractions").Fraction
    )


@pytest.mark.parametrize("name", ["no_such_module:thing", "fractions:nothing", "fractions:", ":thing"])
def test_what_cannot_be_imported_is_refused(name: str) -> None:
    text = refusal(find, Component(name=name), "pipeline.models", "model")
    assert f'"{name}" cannot be imported' in text
    assert "module:thing" in text


def test_a_missing_argument_is_named_with_the_signature() -> None:
    text = refusal(build, Component(name="Csv"), "pipeline.data.sources", "source")
    assert 'Csv needs the argument "path"' in text
    assert "path: 'str'" in text or "path: str" in text


def test_a_value_that_the_thing_refuses_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="fraction is 2"):
        build(Component(name="Flip", fraction=2.0), "pipeline.data.augment", "train.augment")
    with pytest.raises(ConfigError, match="add up to"):
        build(Component(name="Random", train=0.9), "pipeline.data.split", "split")


def test_a_thing_of_others_that_raises_on_its_arguments_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="refuses its arguments"):
        build(Component(name="fractions:Fraction", numerator="x"), "pipeline.models", "model")


def test_arguments_reach_the_thing() -> None:
    split = build(Component(name="random", train=0.5, validation=0.25, test=0.25), "pipeline.data.split", "split")
    assert (split.train, split.validation, split.test) == (0.5, 0.25, 0.25)


def test_given_arguments_are_added() -> None:
    adam = build(
        Component(name="Adam", beta_1=0.5), "pipeline.training.optimizers", "train.optimizer", learning_rate=0.25
    )
    assert (adam.beta_1, adam.learning_rate) == (0.5, 0.25)


def test_a_whole_number_serves_where_a_float_is_wanted() -> None:
    model = importlib.import_module("pipeline.models").mlp
    checked = check_arguments(model, {"dropout": 0, "width": 8}, "model")
    assert checked == {"dropout": 0.0, "width": 8}
    assert type(checked["dropout"]) is float


def test_only_what_was_given_comes_back() -> None:
    assert check_arguments(importlib.import_module("pipeline.models").mlp, {}, "model") == {}


def test_the_spec_is_never_an_argument_of_the_config() -> None:
    text = refusal(check_arguments, importlib.import_module("pipeline.models").mlp, {"spec": 1}, "model")
    assert 'has no argument "spec"' in text


def test_a_thing_that_takes_any_keyword_takes_any_keyword() -> None:
    assert check_arguments(dict, {"anything": 1}, "model") == {"anything": 1}
