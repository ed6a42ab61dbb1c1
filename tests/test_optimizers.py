"""Optimizers: Keras' numbers at fewer operations, rows that nobody touched stay as they are, and what schedules do."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.training import optimizers
from pipeline.training.optimizers import SGD, Adagrad, Adam, AdamW
from pipeline.training.schedules import SCHEDULES, Progress, Rate, plateau_factor
from pipeline.training.sparse import clip, summed

STEPS = 50
RATE = 0.003
# Ours, and Keras' own at the same learning rate.
PAIRS: dict[str, tuple[Callable[..., Any], Callable[[Any], keras.optimizers.Optimizer]]] = {
    "SGD plain": (lambda **more: SGD(RATE, momentum=0.0, **more), lambda rate: keras.optimizers.SGD(rate)),
    "SGD momentum": (
        lambda **more: SGD(RATE, nesterov=False, **more),
        lambda rate: keras.optimizers.SGD(rate, momentum=0.9),
    ),
    "SGD": (lambda **more: SGD(RATE, **more), lambda rate: keras.optimizers.SGD(rate, momentum=0.9, nesterov=True)),
    "Adam": (
        lambda **more: Adam(RATE, beta_1=0.8, **more),
        lambda rate: keras.optimizers.Adam(rate, beta_1=0.8),
    ),
    "AdamW": (
        lambda **more: AdamW(RATE, weight_decay=0.1, **more),
        lambda rate: keras.optimizers.AdamW(rate, weight_decay=0.1),
    ),
    "Adagrad": (lambda **more: Adagrad(RATE, **more), lambda rate: keras.optimizers.Adagrad(rate)),
}
EVERY = pytest.mark.parametrize("name", PAIRS)


def built(name: str, variables: list[keras.Variable], num_steps: int = STEPS, **more: Any) -> Any:
    optimizer = PAIRS[name][0](**more).build(Progress.of_steps(num_steps))
    optimizer.build(variables)
    return optimizer


def variables_of(*shapes: tuple[int, ...], seed: int = 0) -> list[keras.Variable]:
    random = np.random.default_rng(seed)
    return [keras.Variable(0.1 * random.normal(size=shape).astype(np.float32)) for shape in shapes]


def gradients(shape: tuple[int, ...], seed: int = 1, steps: int = STEPS) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).normal(size=(steps, *shape)).astype(np.float32))


def slices(rows: list[int], num_rows: int, width: int = 3, seed: int = 2) -> tf.IndexedSlices:
    values = np.random.default_rng(seed).normal(size=(len(rows), width)).astype(np.float32)
    return tf.IndexedSlices(tf.constant(values), tf.constant(rows, tf.int64), tf.constant([num_rows, width], tf.int64))


def test_every_optimizer_of_the_room_is_compared_with_keras() -> None:
    assert {name.split()[0] for name in PAIRS} == set(optimizers.__all__)


@EVERY
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 99), schedule=st.sampled_from(list(SCHEDULES)))
def test_the_weights_are_those_of_keras_after_fifty_steps(name: str, seed: int, schedule: Any) -> None:
    ours, theirs = variables_of((4, 3), seed=seed), variables_of((4, 3), seed=seed)
    mine = built(name, ours, schedule=schedule)
    keras_own = PAIRS[name][1](Rate(RATE, schedule, Progress.of_steps(STEPS)))
    keras_own.build(theirs)
    for gradient in gradients((4, 3), seed):
        mine.apply([tf.constant(gradient)], ours)
        keras_own.apply([tf.constant(gradient)], theirs)
    np.testing.assert_allclose(ours[0].numpy(), theirs[0].numpy(), atol=1e-6)
    assert isinstance(mine, type(keras_own))


@EVERY
def test_a_variable_is_updated_by_a_few_operations(name: str) -> None:
    def operations(optimizer: keras.optimizers.Optimizer, num: int) -> int:
        variables = variables_of(*[(5,)] * num)
        optimizer.build(variables)
        step = tf.function(lambda *found: optimizer.apply(list(found), variables), autograph=False)
        return len(step.get_concrete_function(*[tf.TensorSpec([5])] * num).graph.get_operations())

    def per_variable(make: Callable[[], keras.optimizers.Optimizer]) -> float:
        return (operations(make(), 12) - operations(make(), 2)) / 10

    ours = per_variable(lambda: PAIRS[name][0]().build(Progress.of_steps(STEPS)))
    theirs = per_variable(lambda: PAIRS[name][1](RATE))
    assert ours < theirs * (1 if name == "SGD plain" else 0.8)


@EVERY
def test_a_sparse_gradient_changes_its_rows_as_a_dense_one_would_and_no_other_row(name: str) -> None:
    table, rows = variables_of((6, 3))[0], [4, 1, 4, 4]
    before = table.numpy()
    alone = keras.Variable(before[[1, 4]])  # a table of the two rows that are touched, updated densely
    sparse, dense = built(name, [table]), built(name, [alone])
    for step in range(5):
        gradient = slices(rows, 6, seed=step)
        sparse.apply([gradient], [table])
        dense.apply([tf.gather(tf.convert_to_tensor(gradient), [1, 4])], [alone])
    np.testing.assert_allclose(table.numpy()[[1, 4]], alone.numpy(), atol=1e-6)
    assert np.array_equal(table.numpy()[[0, 2, 3, 5]], before[[0, 2, 3, 5]])
    assert np.all(table.numpy()[[1, 4]] != before[[1, 4]])
    for slot in [variable for variable in sparse.variables if tuple(variable.shape) == (6, 3)]:
        assert len(np.unique(slot.numpy()[[0, 2, 3, 5]])) == 1  # as it was made
        assert np.all(slot.numpy()[[1, 4]] != slot.numpy()[0])


@pytest.mark.parametrize("name", ["SGD plain", "Adagrad"])
def test_of_plain_sgd_and_adagrad_a_sparse_gradient_is_exact(name: str) -> None:
    (sparse, dense) = variables_of((6, 3)), variables_of((6, 3))
    first, second = built(name, sparse), built(name, dense)
    for step in range(10):
        gradient = slices([step % 6, 2, step % 4], 6, seed=step)
        first.apply([gradient], sparse)
        second.apply([tf.convert_to_tensor(gradient)], dense)
    np.testing.assert_allclose(sparse[0].numpy(), dense[0].numpy(), atol=1e-6)


@given(rows=st.lists(st.integers(0, 5), min_size=1, max_size=12))
@settings(max_examples=30, deadline=None)
def test_summed_rows_occur_once_and_are_the_same_gradient(rows: list[int]) -> None:
    gradient = slices(rows, 6)
    found = summed(gradient)
    assert found.indices.numpy().tolist() == list(dict.fromkeys(rows))
    expected = tf.convert_to_tensor(gradient)
    np.testing.assert_allclose(tf.convert_to_tensor(found).numpy(), expected.numpy(), atol=1e-5)


class Rows(keras.layers.Layer):
    """The mean of a table's rows, read as a table should be."""

    def __init__(self, num_rows: int, width: int = 32) -> None:
        super().__init__()
        self.table = self.add_weight(shape=(num_rows, width), initializer="zeros")

    def call(self, indices: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(tf.gather(self.table.value, indices), axis=1)


def text_steps(name: str, num_rows: int, **more: Any) -> tuple[Any, keras.Model]:
    """A graph of steps on batches of 128 texts of 40 tokens."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((40,), dtype="int32"), Rows(num_rows), keras.layers.Dense(1)])
    optimizer = built(name, model.trainable_variables, **more)
    indices = tf.constant(np.random.default_rng(0).zipf(1.3, (128, 40)) % num_rows, tf.int32)

    @tf.function(autograph=False)
    def steps(num: tf.Tensor) -> tf.Tensor:
        def one(step: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(model(indices, training=True) - 1.0))
            optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
            return step + 1

        return tf.while_loop(lambda step: step < num, one, [0])

    return steps, model


@EVERY
def test_a_step_of_a_large_table_makes_nothing_of_its_size(name: str) -> None:
    steps, _ = text_steps(name, 12_345, schedule="one_cycle", clip_norm=1.0)
    (body,) = [
        function
        for function in steps.get_concrete_function(tf.TensorSpec([], tf.int32)).graph._functions.values()
        if any(op.type.startswith("ResourceGather") for op in function.graph.get_operations())
    ]
    made = [tensor.shape for op in body.graph.get_operations() for tensor in op.outputs]
    assert len(made) > 50
    assert [shape for shape in made if shape.rank and shape[0] == 12_345] == []


def test_a_step_costs_the_same_for_a_hundred_times_as_many_rows() -> None:
    def seconds(steps: Any) -> float:
        started = time.perf_counter()
        steps(tf.constant(10))
        return time.perf_counter() - started

    small, large = (text_steps("Adagrad", num_rows)[0] for num_rows in (10_000, 1_000_000))
    found = [(seconds(small), seconds(large)) for _ in range(8)][1:]
    # Where anything is dense it is 20 times; benchmarks/optimizers.py measures it well.
    assert min(large for _, large in found) < 4 * min(small for small, _ in found)


@EVERY
def test_sparse_steps_give_the_same_bits_again(name: str) -> None:
    def weights() -> list[np.ndarray]:
        steps, model = text_steps(name, 1000, clip_norm=0.5)
        steps(tf.constant(20))
        return model.get_weights()

    for first, second in zip(weights(), weights(), strict=True):
        assert first.tobytes() == second.tobytes()


@given(norm=st.floats(0.01, 100.0))
@settings(max_examples=30, deadline=None)
def test_clipping_is_by_the_norm_of_all_gradients_with_duplicate_rows_added(norm: float) -> None:
    dense, sparse = tf.constant([3.0, -4.0]), slices([1, 5, 1], 6)
    together = np.concatenate([dense.numpy(), tf.convert_to_tensor(sparse).numpy().ravel()])
    found = clip([dense, summed(sparse)], norm)
    clipped = np.concatenate([found[0].numpy(), tf.convert_to_tensor(found[1]).numpy().ravel()])
    np.testing.assert_allclose(clipped, together * min(1.0, norm / np.linalg.norm(together)), rtol=1e-5)


def test_clipping_does_not_hide_a_gradient_that_is_not_finite_nor_divides_by_zero() -> None:
    found = clip([tf.constant([1.0]), tf.constant([math.inf])], 1.0)
    assert np.isnan(found[0].numpy()).all()
    assert clip([tf.constant([0.0])], 1.0)[0].numpy().tolist() == [0.0]


@EVERY
def test_clip_norm_reaches_the_step(name: str) -> None:
    clipped, scaled = variables_of((2, 2), (3,)), variables_of((2, 2), (3,))
    found = [tf.fill((2, 2), 6.0), tf.fill((3,), 8.0)]
    length = math.sqrt(4 * 36 + 3 * 64)
    for _ in range(3):
        built(name, clipped, clip_norm=2.0).apply(found, clipped)
        built(name, scaled).apply([gradient * (2.0 / length) for gradient in found], scaled)
    for first, second in zip(clipped, scaled, strict=True):
        np.testing.assert_allclose(first.numpy(), second.numpy(), atol=1e-6)


def test_weight_decay_is_of_matrices_and_of_touched_rows_only() -> None:
    weights, bias = variables_of((4, 3), (4,))
    before, optimizer = weights.numpy(), AdamW(0.1, weight_decay=0.5).build(Progress.of_steps(1))
    optimizer.build([weights, bias])
    kept = bias.numpy()
    optimizer.apply([tf.zeros((4, 3)), tf.zeros(4)], [weights, bias])
    np.testing.assert_allclose(weights.numpy(), before * (1 - 0.1 * 0.5), rtol=1e-6)
    assert np.array_equal(bias.numpy(), kept)
    rows = tf.IndexedSlices(tf.zeros((1, 3)), tf.constant([2]), tf.constant([4, 3]))
    now = weights.numpy()
    optimizer.apply([rows, tf.zeros(4)], [weights, bias])
    np.testing.assert_allclose(weights.numpy()[2], now[2] * (1 - 0.1 * 0.5), rtol=1e-6)
    assert np.array_equal(weights.numpy()[[0, 1, 3]], now[[0, 1, 3]])


@EVERY
def test_the_average_of_the_weights_begins_with_the_first_and_then_forgets_ever_more_slowly(name: str) -> None:
    variables = variables_of((3, 2))
    optimizer = PAIRS[name][0]().build(Progress.of_steps(STEPS), ema=0.7)
    optimizer.build(variables)
    average = np.zeros((3, 2))
    for step, gradient in enumerate(gradients((3, 2), steps=40)):
        optimizer.apply([tf.constant(gradient)], variables)
        momentum = min(0.7, step / (step + 9))
        average = momentum * average + (1 - momentum) * variables[0].numpy()
    optimizer.finalize_variable_values(variables)
    np.testing.assert_allclose(variables[0].numpy(), average, atol=1e-6)


@given(num_steps=st.integers(1, 400), name=st.sampled_from(list(SCHEDULES)))
@settings(max_examples=40, deadline=None)
def test_every_schedule_stays_between_0_and_the_top_and_reaches_it(num_steps: int, name: Any) -> None:
    progress = Progress.of_steps(num_steps)
    steps = tf.range(num_steps + 1)
    shares = SCHEDULES[name](progress(steps), progress.per_step).numpy()
    assert np.all((shares >= 0) & (shares <= 1 + 1e-12))
    assert shares[0] > 0
    if num_steps >= 20:
        assert shares.max() > 0.95
        assert np.abs(np.diff(shares)).max() < 0.55  # no jumps
    if num_steps >= 200:
        assert np.abs(np.diff(shares)).max() < 0.11


@pytest.mark.parametrize("num_steps", [1, 2, 19, 200, 1000])
def test_cosine_is_that_of_keras(num_steps: int) -> None:
    warm_up = max(1, round(0.05 * num_steps))
    theirs = keras.optimizers.schedules.CosineDecay(
        0.5 / warm_up, max(num_steps - warm_up, 1), warmup_target=0.5, warmup_steps=warm_up
    )
    ours = Rate(0.5, "cosine", Progress.of_steps(num_steps))
    for step in range(0, num_steps + 1, max(1, num_steps // 50)):
        assert float(ours(step)) == pytest.approx(float(theirs(step)), abs=2e-7)


def test_warm_up_and_one_cycle_at_the_places_that_define_them() -> None:
    warm_up, one_cycle = (Rate(2.0, name, Progress.of_steps(1000)) for name in ("warm_up", "one_cycle"))
    assert [float(warm_up(step)) for step in (0, 25, 50, 51, 1000)] == pytest.approx([0.04, 1.02, 2.0, 2.0, 2.0])
    found = [float(one_cycle(step)) for step in (0, 150, 300, 650, 1000)]
    assert found == pytest.approx([0.08, 1.04, 2.0, 1.0001, 0.0002], rel=1e-5)


def test_progress_can_be_moved_while_a_graph_runs() -> None:
    progress = Progress()
    rate = tf.function(Rate(1.0, "cosine", progress))
    progress.per_step.assign(0.001)
    assert float(rate(tf.constant(525))) == pytest.approx(0.5)
    progress.step0.assign(100)
    progress.progress0.assign(0.05)
    progress.per_step.assign(0.01)
    assert float(rate(tf.constant(100))) == pytest.approx(1.0)
    assert float(rate(tf.constant(5000))) == pytest.approx(0.0)  # later than its end
    progress.factor.assign(0.25)
    assert float(rate(tf.constant(100))) == pytest.approx(0.25)
    assert [variable.dtype for variable in progress.variables] == [tf.int64, tf.float64, tf.float64, tf.float32]


def test_a_rate_knows_itself_again() -> None:
    rate = Rate(0.5, "one_cycle", Progress.of_steps(77))
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(rate))
    assert again.get_config() == rate.get_config() == {"top": 0.5, "schedule": "one_cycle", "num_steps": 77}
    assert float(again(30)) == float(rate(30))


@pytest.mark.parametrize(
    ("losses", "falls"),
    [
        ([], 0),
        ([3.0, 2.0, 1.0], 0),
        ([1.0, 1.0], 0),
        ([1.0, 1.0, 1.0], 1),
        ([1.0, 0.99999, 0.99998], 1),  # too little to count
        ([1.0, 2.0, 0.5, 0.6, 0.4], 0),
        ([1.0, 2.0, 2.0, 2.0, 2.0], 2),
        ([1.0, 2.0, 2.0, 2.0, 0.5, 2.0, 2.0], 2),
        ([math.nan, math.nan, math.nan], 1),
        ([-1.0, -2.0, -3.0], 0),
    ],
)
def test_the_rate_falls_when_validation_gets_no_better(losses: list[float], falls: int) -> None:
    assert plateau_factor(losses, 0.5, 2) == 0.5**falls


@EVERY
def test_reduce_on_plateau_lowers_the_rate_of_a_built_optimizer_and_no_other_schedule_does(name: str) -> None:
    for schedule, expected in [("reduce_on_plateau", RATE / 4), ("warm_up", RATE)]:
        optimizer = PAIRS[name][0](schedule=schedule, plateau_factor=0.25, plateau_patience=2)
        progress = Progress.of_steps(STEPS)
        made = optimizer.build(progress)
        made.iterations.assign(20)
        optimizer.on_epoch(progress, [1.0, 1.0, 1.0])
        assert float(made.learning_rate) == pytest.approx(expected)


@EVERY
def test_the_config_of_an_optimizer_tells_trainings_apart(name: str) -> None:
    found = [
        PAIRS[name][0](**more).build(Progress.of_steps(steps)).get_config() | {"name": ""}
        for more, steps in [({}, 9), ({"clip_norm": 1.0}, 9), ({"schedule": "cosine"}, 9), ({"schedule": "cosine"}, 8)]
    ]
    assert len({repr(config) for config in found}) == 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Adam(0.0), "learning_rate is 0.0"),
        (lambda: SGD(math.nan), "learning_rate is nan"),
        (lambda: SGD(momentum=1.0), "momentum is 1.0"),
        (lambda: AdamW(weight_decay=-1.0), "weight_decay is -1.0"),
        (lambda: Adam(beta_1=1.5), "beta_1 is 1.5"),
        (lambda: Adagrad(epsilon=0.0), "epsilon is 0.0"),
        (lambda: Adagrad(initial_accumulator_value=-0.1), "initial_accumulator_value is -0.1"),
        (lambda: Adagrad(clip_norm=0.0), "clip_norm is 0.0"),
        (lambda: SGD(plateau_factor=1.0), "plateau_factor is 1.0"),
        (lambda: SGD(plateau_patience=0), "plateau_patience is 0"),
        (lambda: SGD(schedule="cosin"), 'no schedule "cosin"'),  # type: ignore[arg-type]
        (lambda: SGD().build(Progress.of_steps(1), ema=1.0), "keeps 1.0"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        make()
    assert refused.value.expected
