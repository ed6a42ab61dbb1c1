"""The convnet: every size of image, sized by data and budget; its fused BatchNorm answers as Keras' own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.models.batch_norm import BatchNorm
from pipeline.models.convnet import convnet
from pipeline.models.image_sizes import Plan, plan
from pipeline.models.outputs import example_losses
from pipeline.spec import Spec

SHAPES = [(8, 8, 1), (9, 13, 3), (28, 28, 1), (64, 64, 3), (224, 224, 3)]
FASHION = Spec("multiclass", 10, image_shape=(28, 28, 1), num_train=60_000)
ROWS = 6


def build(shape: tuple[int, int, int], **hyperparameters: Any) -> tuple[keras.Model, Spec]:
    spec = Spec("multiclass", 3, image_shape=shape)
    keras.utils.set_random_seed(5)
    return convnet(spec, **{"width": 4, "depth": 1, **hyperparameters}), spec


def images_of(shape: tuple[int, int, int], rows: int = ROWS) -> dict[str, tf.Tensor]:
    return {"image": tf.constant(np.random.default_rng(0).integers(0, 256, (rows, *shape)), tf.uint8)}


def trained(shape: tuple[int, int, int], steps: int, **hyperparameters: Any) -> tuple[keras.Model, list[float]]:
    """Labels that the images tell: their darkness."""
    model, spec = build(shape, **hyperparameters)
    label = tf.constant(np.arange(24) % 3, tf.int32)
    features = {"image": images_of(shape, 24)["image"] // 4 + tf.cast(label * 60, tf.uint8)[:, None, None, None]}
    optimizer = keras.optimizers.Adam(0.01)
    optimizer.build(model.trainable_variables)

    @tf.function(autograph=False)
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(example_losses(spec, label, model(features, training=True)))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    return model, [float(step()) for _ in range(steps)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_row_alone_is_answered_as_in_a_batch(shape: tuple[int, int, int]) -> None:
    model, _ = build(shape, dropout=0.3)
    features = images_of(shape)
    model(features, training=True)  # moves the statistics
    together = model(features, training=False).numpy()
    assert together.shape == (ROWS, 3)
    assert len(np.unique(together[:, 0])) == ROWS
    alone = model({"image": features["image"][2:3]}, training=False).numpy()
    np.testing.assert_allclose(alone[0], together[2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_plan_is_what_is_built(shape: tuple[int, int, int]) -> None:
    width, depth = 6, 2
    model, _ = build(shape, width=width, depth=depth)
    size = Plan(shape, width, depth)
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    flops = [2 * np.prod(layer.kernel.shape) * np.prod(layer.output.shape[1:3]) for layer in convolutions]
    assert size.flops == sum(flops)
    assert size.activations == sum(np.prod(c.output.shape[1:]) for c in convolutions if c.kernel_size == (3, 3))
    last = size.stages[-1]
    pooled = next(layer for layer in model.layers if isinstance(layer, keras.layers.GlobalAveragePooling2D))
    assert pooled.input.shape[1:] == (last.height, last.width, last.channels)
    assert min(last.height, last.width) < 8


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 6), st.integers(1, 64), st.integers(1, 3))
def test_every_size_of_image_has_a_plan(height: int, width: int, channels: int, wide: int, depth: int) -> None:
    size = Plan((height, width, channels), wide, depth)
    sides = [(stage.height, stage.width) for stage in (*size.stem, *size.stages)]
    assert all(min(side) >= 1 for side in sides)
    assert min(sides[len(size.stem) - 1]) < 48
    assert sides == sorted(sides, reverse=True)
    assert size.flops < Plan((height, width, channels), wide + 1, depth).flops
    assert size.flops < Plan((height, width, channels), wide, depth + 1).flops
    assert size.row_seconds > 0


@settings(max_examples=60, deadline=None)
@given(st.integers(100, 10**6), st.sampled_from(SHAPES), st.floats(1, 1e5), st.floats(1, 20))
def test_a_larger_budget_never_makes_a_smaller_network(
    rows: int, shape: tuple[int, int, int], seconds: float, times: float
) -> None:
    spec = Spec("multiclass", 10, image_shape=shape, num_train=rows, budget_seconds=seconds)
    small, large = plan(spec), plan(replace(spec, budget_seconds=seconds * times))
    assert large.flops >= small.flops
    assert (large.width, large.depth) >= (small.width, small.depth)
    # What was chosen fits, unless nothing does.
    assert small.width == 8 or 12 * rows * small.row_seconds <= seconds
    assert plan(replace(spec, num_train=rows * 2)).flops <= small.flops or rows < 100_000


def test_parameters_and_operations_grow_with_the_budget() -> None:
    built = [convnet(replace(FASHION, budget_seconds=60.0 * minutes)).count_params() for minutes in (1, 15, 60)]
    assert built[0] < built[1] < built[2]
    flops = [plan(replace(FASHION, budget_seconds=60.0 * minutes)).flops for minutes in (1, 15, 60)]
    assert flops[0] < flops[1] < flops[2]


def test_few_rows_make_no_wide_network_and_given_sizes_are_kept() -> None:
    few = replace(FASHION, num_train=500, budget_seconds=1e6)
    assert plan(few).width < plan(replace(few, num_train=60_000)).width
    assert (plan(few, width=7).width, plan(few, depth=3).depth) == (7, 3)
    assert plan(replace(FASHION, num_train=0)) == Plan((28, 28, 1), 32, 1)
    assert convnet(few, width=5, depth=2).get_layer("output").input.shape == (None, 20)


@pytest.mark.parametrize("shape", SHAPES[1:4], ids=str)
def test_training_lowers_the_loss(shape: tuple[int, int, int]) -> None:
    _, losses = trained(shape, 12, dropout=0.0)
    assert np.mean(losses[-3:]) < 0.6 * losses[0]


def test_training_is_deterministic_with_dropout() -> None:
    runs = [trained((9, 13, 3), 6, dropout=0.3) for _ in range(2)]
    assert runs[0][1] == runs[1][1]
    for one, other in zip(runs[0][0].get_weights(), runs[1][0].get_weights(), strict=True):
        assert np.array_equal(one, other)
    assert trained((9, 13, 3), 6, dropout=0.0)[1] != runs[0][1]


def test_dropout_takes_whole_channels_inside_the_later_blocks() -> None:
    model, _ = build((28, 28, 1), dropout=0.25, depth=2)
    spatial = [layer for layer in model.layers if isinstance(layer, keras.layers.SpatialDropout2D)]
    assert [layer.rate for layer in spatial] == [0.25] * 4
    assert min(layer.input.shape[1] for layer in spatial) == 7
    assert max(layer.input.shape[1] for layer in spatial) == 14


def test_penalties_go_by_the_kind_of_layer() -> None:
    model, _ = build((8, 8, 1), l2={"convolution": 0.5, "output": 2.0}, dropout=0.0)
    squares = {w.path: float(np.square(w.numpy()).sum()) for w in model.trainable_variables if w.name == "kernel"}
    expected = sum((2.0 if path.startswith("output") else 0.5) * square for path, square in squares.items())
    assert float(tf.add_n(model.losses)) == pytest.approx(expected, rel=1e-5)


def test_the_exported_model_answers_exactly(tmp_path: Path) -> None:
    shape = (9, 13, 3)
    model, _ = trained(shape, 2, dropout=0.3)

    class Served(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, *shape), tf.uint8)])
        def answer(self, image: tf.Tensor) -> tf.Tensor:
            return model({"image": image}, training=False)

    served = Served()
    served.model = model
    tf.saved_model.save(served, tmp_path / "saved")
    loaded = tf.saved_model.load(tmp_path / "saved")
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    image = images_of(shape)["image"]
    expected = model({"image": image}, training=False).numpy()
    np.testing.assert_allclose(loaded.answer(image), expected, rtol=1e-5, atol=1e-6)
    assert np.array_equal(again({"image": image}, training=False), expected)


@pytest.mark.parametrize("bad", [{"width": 0}, {"depth": 0}, {"width": -3}, {"dropout": 1.0}], ids=str)
def test_sizes_and_rates_that_make_no_sense_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f'"model.{next(iter(bad))}"'):
        build((8, 8, 1), **bad)


def normalized(layer: keras.layers.Layer, x: np.ndarray) -> tuple[np.ndarray, ...]:
    """The layer's answer, its gradients and its statistics after a batch, then its answer by the statistics."""
    inputs = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        answer = layer(inputs, training=True)
        loss = tf.reduce_sum(answer * tf.cos(inputs))
    gradients = tape.gradient(loss, [inputs, layer.gamma.value, layer.beta.value])
    later = layer(inputs + 1, training=False)
    return tuple(np.asarray(part) for part in (answer, *gradients, layer.moving_mean, later))


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 9), st.integers(1, 5), st.integers(1, 7), st.floats(0.1, 30), st.floats(-20, 20))
def test_batch_norm_is_that_of_keras(rows: int, side: int, channels: int, scale: float, mean: float) -> None:
    x = (np.random.default_rng(rows).normal(size=(rows, side, side, channels)) * scale + mean).astype(np.float32)
    own, theirs = BatchNorm(momentum=0.5), keras.layers.BatchNormalization(momentum=0.5)
    found, expected = normalized(own, x), normalized(theirs, x)
    for one, other in zip(found[:-1], expected[:-1], strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=2e-3 * np.abs(other).max() + 1e-5)
    # The moving variance is that of a sample.
    count = rows * side * side
    sample = 0.5 + 0.5 * x.reshape(-1, channels).var(axis=0) * count / (count - 1)
    np.testing.assert_allclose(own.moving_variance, sample, rtol=1e-3)
    theirs.moving_variance.assign(own.moving_variance)
    np.testing.assert_allclose(found[-1], theirs(tf.constant(x + 1), training=False), rtol=1e-3, atol=1e-3)


def test_a_frozen_batch_norm_keeps_its_statistics() -> None:
    x = np.random.default_rng(0).normal(3, 2, (4, 5, 5, 2)).astype(np.float32)
    layer = BatchNorm()
    layer.build(x.shape)
    layer.trainable = False
    assert np.array_equal(layer(x, training=True), layer(x, training=False))
    assert not np.asarray(layer.moving_mean).any()


def test_batch_norm_in_bfloat16_keeps_its_statistics_in_float32() -> None:
    x = np.random.default_rng(0).normal(3, 2, (64, 9, 9, 4)).astype(np.float32)
    half, full = BatchNorm(dtype="mixed_bfloat16"), BatchNorm()
    found, expected = half(x, training=True), full(x, training=True)
    assert found.dtype == tf.bfloat16
    assert {weight.dtype for weight in half.weights} == {"float32"}
    np.testing.assert_allclose(tf.cast(found, tf.float32), expected, atol=0.03)
    np.testing.assert_allclose(half.moving_mean, full.moving_mean, rtol=1e-3)
    np.testing.assert_allclose(half.moving_variance, full.moving_variance, rtol=1e-3)
