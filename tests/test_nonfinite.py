"""A loss that is no number stops the training at once, and the error says where to look."""

from __future__ import annotations

import math
import re
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from pipeline.errors import TrainingError
from pipeline.models import mlp
from pipeline.spec import Spec
from pipeline.training import SGD, fit
from pipeline.training.nonfinite import Part
from tests.fitting import hides_nan

SPEC = Spec("binary", 2, num_numeric=3, num_train=40)


def rows(spoiled: dict[tuple[int, int], float] | None = None, scale: float = 1.0) -> tf.data.Dataset:
    """Ten batches of four rows; single values spoiled."""
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    label = (x[:, 0] > 0).astype(np.int32)
    x[:, 2] *= scale
    for place, value in (spoiled or {}).items():
        x[place] = value
    return tf.data.Dataset.from_tensor_slices(({"numeric": x}, label)).batch(4)


def failure(
    train: tf.data.Dataset, *, epochs: int = 2, model: Any = None, optimizer: Any = None, **arguments: Any
) -> str:
    arguments = {"spec": SPEC, "optimizer": optimizer or SGD(0.1), "epochs": epochs, **arguments}
    with pytest.raises(TrainingError) as caught:
        fit(model or linear(), train.repeat(epochs), rows(), **arguments)
    return str(caught.value)


def linear() -> keras.Model:
    """Without ReLU, which would make 0 of a NaN on some processors."""
    keras.utils.set_random_seed(1)
    inputs = {"numeric": keras.Input((3,), name="numeric")}
    return keras.Model(inputs, keras.layers.Dense(1)(inputs["numeric"]))


@pytest.mark.parametrize("steps_per_call", [None, 4])
@pytest.mark.parametrize(("value", "shown"), [(math.nan, "1 NaN"), (math.inf, "1 infinite"), (-math.inf, "1 infinite")])
def test_a_spoiled_value_is_found_at_its_step_with_its_column(
    value: float, shown: str, steps_per_call: int | None
) -> None:
    text = failure(rows({(4 * 6 + 1, 2): value}), steps_per_call=steps_per_call)
    assert "The loss became nan at step 7, in epoch 1 with SGD at a learning rate of 0.1" in text
    assert re.search(rf"numeric \S+ \.\. \S+, {shown}, most in column 2", text)
    assert "label 0 .. 1" in text
    before = float(re.search(r"the loss of the step before was (\S+)\.", text)[1])
    assert 0 < before < 5
    assert "come in as numeric: mend the data" in text


def test_a_loss_that_is_not_finite_at_the_first_step_says_that_none_was_before() -> None:
    assert "it was the first step" in failure(rows({(0, 0): math.nan}))


def test_the_step_and_the_epoch_are_counted_over_all_epochs() -> None:
    spoiled = rows().concatenate(rows({(4, 1): math.nan}))
    with pytest.raises(TrainingError, match="at step 12, in epoch 2"):
        fit(linear(), spoiled, rows(), spec=SPEC, optimizer=SGD(0.1), epochs=2)


def test_the_learning_rate_is_that_of_the_step() -> None:
    text = failure(rows({(4 * 9, 0): math.nan}), epochs=1, optimizer=SGD(0.1, "cosine"))
    rate = float(re.search(r"learning rate of (\S+);", text)[1])
    assert rate == pytest.approx(0.1 * 0.5 * (1 + math.cos(math.pi * 8 / 9)), rel=0.05)  # the last of ten steps


def test_a_training_that_explodes_is_told_to_go_slower() -> None:
    keras.utils.set_random_seed(1)
    text = failure(rows(), optimizer=SGD(1e30), model=mlp(SPEC, width=4, depth=1, dropout=0.0))
    assert "--set train.learning_rate=1e+29" in text
    assert "clip_norm" in text


def test_large_features_are_named_with_their_column() -> None:
    text = failure(rows(scale=1e30), optimizer=SGD(1e10))
    assert re.search(r"numeric \S+ \.\. \S+, the largest in column 2", text)
    assert "Bring numeric to a smaller range" in text


@pytest.mark.parametrize("steps_per_call", [None, 4])
def test_weights_that_become_nan_behind_a_relu_are_found_though_the_loss_is_a_number(
    steps_per_call: int | None,
) -> None:
    keras.utils.set_random_seed(1)
    text = failure(rows({(4 * 6 + 1, 1): math.nan}), model=hides_nan(SPEC), steps_per_call=steps_per_call)
    assert text.startswith("The weights ")
    assert "at step 7" in text
    assert re.search(r"numeric \S+ \.\. \S+, 1 NaN, most in column 1", text)


def test_a_validation_loss_that_is_not_finite_stops_too() -> None:
    with pytest.raises(TrainingError, match="validation loss became nan in epoch 1"):
        fit(linear(), rows(), rows({(1, 1): math.nan}), spec=SPEC, optimizer=SGD(0.1), epochs=1)


@settings(deadline=None)
@given(
    arrays_of.arrays(
        "float32", st.tuples(st.integers(1, 5), st.integers(1, 4)), elements=st.floats(width=32, allow_subnormal=False)
    )
)
def test_a_part_says_what_is_in_it(values: np.ndarray) -> None:
    part, finite = Part.of("numeric", values), values[np.isfinite(values)]
    assert (part.num_nan, part.num_infinite) == (np.isnan(values).sum(), np.isinf(values).sum())
    if len(finite):
        assert (part.low, part.high) == (finite.min(), finite.max())
    odd = (~np.isfinite(values)).sum(axis=0)
    assert part.column is not None
    assert odd[part.column] == odd.max()
    if part.is_finite:
        assert np.abs(values[:, part.column]).max() == np.abs(values).max()
    assert str(part).startswith("numeric ")
