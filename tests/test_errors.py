"""Errors keep their parts, their exit codes tell them apart, and every example in a docstring is true."""

from __future__ import annotations

import doctest
import importlib
import pickle
import pkgutil
from types import ModuleType

import pytest

import pipeline
from pipeline import errors
from pipeline.errors import PipelineError, did_you_mean, nearest

KINDS = [
    errors.PipelineError,
    errors.ConfigError,
    errors.DataError,
    errors.TrainingError,
    errors.TuningError,
    errors.ExportError,
    errors.RunError,
]


def package_modules() -> list[str]:
    found = pkgutil.walk_packages(pipeline.__path__, "pipeline.")
    return [module.name for module in found if not module.name.endswith("__main__")]


def examples_in(module: ModuleType) -> list[doctest.DocTest]:
    return [test for test in doctest.DocTestFinder().find(module) if test.examples]


def test_an_error_shows_what_came_what_was_expected_and_how_to_mend_it() -> None:
    error = PipelineError("a.csv is empty.", expected="rows", fix="Export it again.")
    assert str(error) == "a.csv is empty.\n  expected: rows\n  fix:      Export it again."


def test_parts_that_are_not_known_leave_no_line() -> None:
    assert str(PipelineError("a.csv is empty.")) == "a.csv is empty."
    assert str(PipelineError("a.csv is empty.", fix="Export it.")) == "a.csv is empty.\n  fix:      Export it."


def test_the_exit_codes_tell_the_errors_apart() -> None:
    assert sorted(kind.exit_code for kind in KINDS) == [1, 2, 3, 4, 5, 6, 7]


def test_every_error_of_the_module_is_listed_here() -> None:
    public = {value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)}
    assert public == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_survives_pickling_with_its_parts(kind: type[PipelineError]) -> None:
    error = pickle.loads(pickle.dumps(kind("message", expected="expected", fix="fix")))
    assert type(error) is kind
    assert (error.message, error.expected, error.fix) == ("message", "expected", "fix")
    assert str(error) == str(kind("message", expected="expected", fix="fix"))


def test_the_nearest_name_is_found_whatever_the_case() -> None:
    assert nearest("LABLE", ["label", "seed"]) == "label"
    assert nearest("adm", ["SGD", "Adam", "Adagrad"]) == "Adam"
    assert nearest("xyzzy", ["label", "seed"]) is None


def test_did_you_mean_begins_a_fix_or_is_empty() -> None:
    assert did_you_mean("lable", ["label"]) == 'Did you mean "label"? '
    assert did_you_mean("xyzzy", ["label"]) == ""


@pytest.mark.parametrize("name", package_modules())
def test_the_examples_in_the_docstrings_are_true(name: str) -> None:
    module = importlib.import_module(name)
    result = doctest.testmod(module)
    assert result.failed == 0
    assert result.attempted == sum(len(test.examples) for test in examples_in(module))


def test_there_are_enough_examples_for_this_to_mean_something() -> None:
    counts = {name: len(examples_in(importlib.import_module(name))) for name in package_modules()}
    assert len(counts) > 40
    assert sum(counts.values()) >= 15
