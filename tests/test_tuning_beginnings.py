"""Trials before their first step: weights that are drawn without building the model are those that it is built with."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline import model_steps
from pipeline.config import Config, parse
from pipeline.context import Context
from pipeline.progress import silent
from pipeline.runner import run
from pipeline.tuning import beginnings
from pipeline.tuning.beginnings import Beginnings


@keras.saving.register_keras_serializable(package="tests")
class NeverTheSame(keras.initializers.Initializer):
    """Gives other numbers whenever it is asked."""

    asked = 0

    def __call__(self, shape: Any, dtype: Any = None) -> tf.Tensor:
        NeverTheSame.asked += 1
        return tf.fill(shape, tf.constant(0.01 * NeverTheSame.asked, dtype or tf.float32))


def moody(spec: Any, *, dropout: float = 0.1) -> keras.Model:
    inputs = {"numeric": keras.Input((spec.num_numeric,), name="numeric")}
    x = keras.layers.Dropout(dropout)(inputs["numeric"])
    return keras.Model(inputs, keras.layers.Dense(spec.num_outputs, kernel_initializer=NeverTheSame())(x))


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    folder = tmp_path_factory.mktemp("iris")
    tree = {"name": "iris", "source": {"name": "ScikitLearn", "dataset": "iris"}, "runs": str(folder / "runs")}
    config = parse(tree, origin="here")
    prepared = run(config, silent(), until="prepare").stages[-1].directory
    return Context(config, {"prepare": prepared}, folder, "any", silent(), folder)


def built(config: Config, context: Context) -> list[np.ndarray]:
    keras.backend.clear_session()
    keras.utils.set_random_seed(config.seed)
    return [variable.numpy() for variable in model_steps.build_model(config, model_steps.spec_of(context)).variables]


@pytest.mark.parametrize(
    "model",
    [
        {"name": "mlp", "width": 4, "depth": 2, "numbers": "periodic"},
        {"name": "tabm", "width": 4, "depth": 1, "members": 3},
        {"name": "residual_mlp", "width": 4, "depth": 1},
    ],
    ids=lambda model: model["name"],
)
def test_weights_that_are_drawn_are_those_of_the_model_that_is_built(
    context: Context, model: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, times = Beginnings(context, model_steps.spec_of(context)), []
    whole = beginnings.build_model
    monkeypatch.setattr(beginnings, "build_model", lambda *given: (times.append(given), whole(*given))[1])
    for seed in (3, 4, 3):
        config = context.config.override({"model": model, "seed": seed, "model.dropout": 0.1 * seed})
        candidate = found.candidate(config)
        assert candidate.feed.seed == seed
        weights = [value() for value in candidate.initial]
        assert len({weight.tobytes() for weight in weights}) > 1
        expected = built(config, context)
        assert len(weights) == len(expected)
        for weight, value in zip(weights, expected, strict=True):
            np.testing.assert_array_equal(weight, value)
    assert len(times) == 4  # each without weights; with them only the first


def test_a_model_whose_initial_weights_are_never_the_same_is_built_for_each_trial(context: Context) -> None:
    found, spec = Beginnings(context, model_steps.spec_of(context)), model_steps.spec_of(context)
    config = context.config.override({"model": {"name": f"{__name__}:moody"}})
    first, second = found.candidate(config), found.candidate(config)
    assert first.structure == second.structure is not None
    assert first.model is not second.model
    for candidate in (first, second):
        for value, variable in zip(candidate.initial, candidate.model.variables, strict=True):
            np.testing.assert_array_equal(value(), variable.numpy())
    assert spec.num_numeric == 4
