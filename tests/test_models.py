"""Every model builds for every task and kind of feature, answers row by row, learns, and is deterministic."""

from __future__ import annotations

import inspect
import itertools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import models
from pipeline.errors import ConfigError
from pipeline.models.bags import EmbeddingBag
from pipeline.models.embeddings import category_width
from pipeline.models.numbers import PeriodicEmbedding, PiecewiseEmbedding, PiecewiseLinear
from pipeline.models.outputs import example_losses, predict, scores
from pipeline.models.regularization import kernel
from pipeline.spec import Bag, Spec

ROWS = 32
TASKS: dict[str, dict[str, Any]] = {
    "binary": {"task": "binary", "num_classes": 2},
    "multiclass": {"task": "multiclass", "num_classes": 3},
    "regression": {"task": "regression", "num_classes": 1},
}
BAGS = {"bags": (Bag(5, 3), Bag(40, 7, ordered=True))}
NUMERIC = {"num_numeric": 3, "edges": ((-2.0, 0.0, 2.0), ()), "num_train": ROWS}
PARTS: dict[str, dict[str, Any]] = {
    "numeric": NUMERIC,
    "plain numeric": {"num_numeric": 2},
    "categorical": {"vocabulary_sizes": (4, 2)},
    "bags": BAGS,
    "image": {"image_shape": (8, 8, 1)},
    "large image": {"image_shape": (50, 64, 3)},
    "table": {**NUMERIC, "vocabulary_sizes": (4,)},
    "all": {**NUMERIC, **BAGS, "vocabulary_sizes": (4,), "image_shape": (8, 8, 3)},
}
NEEDS = {"convnet": "image_shape", "backbone": "image_shape", "text_bag": "bags", "text_conv": "bags"}
SIZES = {"width": 4, "depth": 1}
SMALL: dict[str, dict[str, Any]] = {
    "mlp": SIZES,
    "residual_mlp": {**SIZES, "embedding_width": 2},
    "tabm": {**SIZES, "embedding_width": 2, "members": 3},
    "convnet": SIZES,
    "backbone": {"trainable": True},
    "text_bag": {**SIZES, "word_dropout": 0.0},
    "text_conv": {**SIZES, "word_dropout": 0.0},
}
# Without the networks of keras.applications, which take seconds to build and have tests of their own.
OURS = [name for name in models.__all__ if name != "backbone"]
CASES = [
    (name, task, part)
    for name in OURS
    for task in TASKS
    for part in PARTS
    if NEEDS.get(name, "task") in {"task", *PARTS[part]}
] + [("backbone", "multiclass", "all")]
SIZED = [name for name in OURS if "width" in SMALL[name]]


def build(name: str, task: str, part: str, **hyperparameters: Any) -> tuple[keras.Model, Spec]:
    spec = Spec(**TASKS[task], **PARTS[part])
    keras.utils.set_random_seed(3)
    return getattr(models, name)(spec, **{**SMALL[name], **hyperparameters}), spec


def same_answers(one: Any, other: Any, tolerance: float = 0.0) -> None:
    np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=tolerance, atol=tolerance)


def test_every_model_of_the_room_is_tested() -> None:
    assert set(SMALL) == set(models.__all__)


EDGES = st.lists(
    st.sampled_from([[], [0.0, 1.0], [-1.5, 0.0, 0.25, 7.0], [-20.0, -1.0, 20.0], [1.0, 1.5, 2.0]]),
    min_size=1,
    max_size=4,
).filter(any)


def features_of(spec: Spec) -> dict[str, tf.Tensor]:
    """A batch as `spec` says; the first row's bags are empty."""
    generator = np.random.default_rng(0)
    found = {}
    if spec.num_numeric:
        found["numeric"] = tf.constant(generator.normal(size=(ROWS, spec.num_numeric)), tf.float32)
    if spec.vocabulary_sizes:
        columns = [generator.integers(0, size, ROWS) for size in spec.vocabulary_sizes]
        found["categorical"] = tf.constant(np.stack(columns, axis=1), tf.int32)
    if spec.bags:
        columns = [generator.integers(0, bag.size, (ROWS, bag.slots)) for bag in spec.bags]
        columns[0][0] = columns[1][0] = 0
        found["bags"] = tf.constant(np.concatenate(columns, axis=1), tf.int32)
    if spec.image_shape:
        found["image"] = tf.constant(generator.integers(0, 256, (ROWS, *spec.image_shape)), tf.uint8)
    return found


def labels_of(spec: Spec) -> tf.Tensor:
    generator = np.random.default_rng(1)
    if spec.task == "regression":
        return tf.constant(generator.normal(size=ROWS), tf.float32)
    return tf.constant(generator.integers(0, spec.num_classes, ROWS), tf.int32)


def loss_of(model: keras.Model, spec: Spec, features: Any, label: Any, training: bool) -> tf.Tensor:
    return tf.reduce_mean(example_losses(spec, label, model(features, training=training)))


def layers_of(model: keras.Model, kind: type) -> list[Any]:
    return [layer for layer in model.layers if isinstance(layer, kind)]


@pytest.mark.parametrize(("name", "task", "part"), CASES)
def test_a_model_answers_with_logits_and_a_row_alone_as_among_others(name: str, task: str, part: str) -> None:
    model, spec = build(name, task, part, dropout=0.5)
    features = features_of(spec)
    together = model(features, training=False).numpy()
    members = (3,) if name == "tabm" else ()
    assert (together.shape, together.dtype) == ((ROWS, *members, spec.num_outputs), np.float32)
    assert tuple(model.output_shape) == (None, *members, spec.num_outputs)
    assert len(np.unique(together[:, 0])) > 1
    for row in (0, ROWS - 1):
        alone = model({key: value[row : row + 1] for key, value in features.items()}, training=False).numpy()
        np.testing.assert_allclose(alone[0], together[row], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "task", "part"), [case for case in CASES if case[2] != "large image"])
def test_training_lowers_the_loss(name: str, task: str, part: str) -> None:
    model, spec = build(name, task, part, dropout=0.0, **({"width": 8} if name in SIZED else {}))
    features, label = features_of(spec), labels_of(spec)
    optimizer = keras.optimizers.Adam(0.02)
    optimizer.build(model.trainable_variables)

    @tf.function
    def steps() -> None:
        for _ in tf.range(30):
            with tf.GradientTape() as tape:
                loss = loss_of(model, spec, features, label, training=True)
            gradients = tape.gradient(loss, model.trainable_variables)
            # Keras' own Adam reads a table while it changes: sparse gradients are the business of our optimizers.
            optimizer.apply([tf.convert_to_tensor(gradient) for gradient in gradients], model.trainable_variables)

    before = float(loss_of(model, spec, features, label, training=True))
    steps()
    # Of labels by chance, two columns of few categories explain 13 % at most.
    assert float(loss_of(model, spec, features, label, training=True)) < 0.95 * before


@pytest.mark.parametrize("name", OURS)
def test_a_model_is_deterministic_under_a_seed(name: str) -> None:
    answers = []
    for _ in range(2):
        model, spec = build(name, "multiclass", "all", dropout=0.5)
        features = features_of(spec)
        answers.append([model(features, training=True).numpy(), model(features, training=False).numpy()])
    assert np.array_equal(answers[0][0], answers[1][0])
    assert np.array_equal(answers[0][1], answers[1][1])
    assert not np.array_equal(answers[0][0], answers[0][1])  # dropout does something


@pytest.mark.parametrize("name", OURS)
def test_weights_saved_and_loaded_give_the_same_answers(name: str, tmp_path: Path) -> None:
    model, spec = build(name, "multiclass", "all")
    features = features_of(spec)
    model(features, training=True)  # moves the statistics of BatchNorm
    model.save_weights(tmp_path / "model.weights.h5")
    keras.utils.set_random_seed(99)
    other = getattr(models, name)(spec, **SMALL[name])
    assert not np.array_equal(other(features, training=False), model(features, training=False))
    other.load_weights(tmp_path / "model.weights.h5")
    assert np.array_equal(other(features, training=False), model(features, training=False))


@pytest.mark.parametrize("name", OURS)
def test_a_model_survives_serialization_and_export(name: str, tmp_path: Path) -> None:
    model, spec = build(name, "multiclass", "all", dropout=0.5, l1=1e-3, proximal=True)
    features = features_of(spec)
    model(features, training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    same_answers(loaded(features, training=False), model(features, training=False))

    module = tf.Module()
    module.variables_of_model = [variable.value for variable in model.variables]
    module.answer = tf.function(lambda features: model(features, training=False), autograph=False)
    signature = {key: tf.TensorSpec([None, *value.shape[1:]], value.dtype) for key, value in features.items()}
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures=module.answer.get_concrete_function(signature))
    served = tf.saved_model.load(str(tmp_path / "saved"))
    same_answers(served.answer(features), model(features, training=False), 1e-5)


PENALIZED = {"mlp", "residual_mlp", "tabm", "convnet", "text_bag", "text_conv"}


@pytest.mark.parametrize("name", sorted(PENALIZED))
@pytest.mark.parametrize("depth", [1, 2])
def test_l1_and_l2_are_added_on_every_kernel(name: str, depth: int) -> None:
    model, _ = build(name, "multiclass", "all", l1=0.25, l2=0.5, depth=depth)
    kernels = [weight for weight in model.trainable_variables if weight.path.endswith("/kernel")]
    expected = sum(0.25 * np.abs(k).sum() + 0.5 * np.square(k).sum() for k in (kernel.numpy() for kernel in kernels))
    assert len(kernels) >= depth + 1
    assert len(model.losses) == len(kernels)
    assert float(tf.add_n(model.losses)) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("name", sorted(PENALIZED))
def test_a_table_of_penalties_reaches_its_kind_of_layer_alone(name: str) -> None:
    model, _ = build(name, "multiclass", "all", l2={"output": 0.5})
    (penalty,) = model.losses
    output = next(w for w in model.trainable_variables if w.path.endswith("output/kernel"))
    assert float(penalty) == pytest.approx(0.5 * float(np.square(output.numpy()).sum()), rel=1e-5)


@pytest.mark.parametrize("name", OURS)
def test_without_penalties_and_dropout_there_are_none(name: str) -> None:
    model, _ = build(name, "multiclass", "all", dropout=0.0, l1=0.0, l2=0.0)
    assert model.losses == []
    assert not [layer for layer in model.layers if "dropout" in type(layer).__name__.lower()]


@pytest.mark.parametrize(("name", "depth"), [("mlp", 2), ("residual_mlp", 2), ("tabm", 2)])
def test_dropout_stands_after_every_hidden_layer(name: str, depth: int) -> None:
    model, _ = build(name, "multiclass", "all", dropout=0.25, depth=depth)
    drops = [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert [layer.rate for layer in drops] == [0.25] * depth


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("part", ["numeric", "categorical", "bags", "image"])
def test_every_part_of_a_mixed_table_moves_the_answer(name: str, part: str) -> None:
    model, spec = build(name, "multiclass", "all")
    features = features_of(spec)
    changed = {**features, part: tf.reverse(features[part], [0])}
    assert not np.allclose(model(changed), model(features), atol=1e-7)


@pytest.mark.parametrize("name", SIZED)
def test_width_and_depth_make_a_larger_model(name: str) -> None:
    sizes = [
        build(name, "binary", "all", width=width, depth=depth)[0].count_params()
        for width, depth in ((4, 1), (8, 1), (4, 2))
    ]
    assert sizes[1] > sizes[0]
    assert sizes[2] > sizes[0]


@pytest.mark.parametrize("name", models.__all__)
@pytest.mark.parametrize(
    "bad", [{"dropout": -0.1}, {"dropout": 1.0}, {"dropout": 2.0}, {"l1": -1e-9}, {"l2": -1.0}], ids=str
)
def test_bad_rates_and_penalties_are_refused(name: str, bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f'"model.{next(iter(bad))}"'):
        build(name, "binary", "all", **bad)


@pytest.mark.parametrize("name", SIZED)
@pytest.mark.parametrize("bad", [{"width": 0}, {"depth": -1}], ids=str)
def test_bad_sizes_are_refused(name: str, bad: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=f'"model.{next(iter(bad))}"'):
        build(name, "binary", "all", **bad)


@pytest.mark.parametrize("name", models.__all__)
def test_a_model_is_a_function_of_a_spec_and_keywords_with_defaults(name: str) -> None:
    spec, *others = inspect.signature(getattr(models, name)).parameters.values()
    assert spec.name == "spec"
    assert all(one.kind is one.KEYWORD_ONLY and one.default is not one.empty for one in others)
    assert {"dropout", "l1", "l2", "proximal"} <= {one.name for one in others}


def test_a_convnet_needs_an_image() -> None:
    with pytest.raises(ConfigError, match="no image"):
        models.convnet(Spec("binary", 2, num_numeric=1))


def test_a_convolution_over_words_needs_words_in_their_order() -> None:
    with pytest.raises(ConfigError, match='prepare.defaults.text = "Tokenize"'):
        models.text_conv(Spec("binary", 2, bags=(Bag(5, 3),)))


def test_a_number_comes_plain_piecewise_or_periodic() -> None:
    kinds = (PiecewiseLinear, PiecewiseEmbedding, PeriodicEmbedding)

    def found(name: str, numbers: str) -> list[type]:
        layers = build(name, "binary", "numeric", numbers=numbers)[0].layers
        return [type(layer) for layer in layers if isinstance(layer, kinds)]

    assert [found("mlp", numbers) for numbers in ("plain", "piecewise")] == [[], [PiecewiseLinear]]
    for name in ("tabm", "residual_mlp"):
        assert found(name, "plain") == []
        assert found(name, "piecewise") == [PiecewiseEmbedding]
        assert found(name, "periodic") == [PeriodicEmbedding]
    with pytest.raises(ConfigError, match="\"model.numbers\" is 'linear'"):
        build("tabm", "binary", "numeric", numbers="linear")


def test_the_members_of_an_ensemble_differ_and_their_number_follows_the_budget() -> None:
    model, spec = build("tabm", "binary", "numeric")
    answers = model(features_of(spec), training=False).numpy()
    assert np.abs(answers - answers[:, :1]).max() > 1e-3
    rows = {"num_numeric": 4, "num_train": 20_000}
    members = [
        models.tabm(Spec("binary", 2, budget_seconds=seconds, **rows)).output_shape[1] for seconds in (5.0, 60.0, 3600)
    ]
    assert members == sorted(members)
    assert members[0] < members[-1] == 32


@pytest.mark.parametrize("numbers", ["plain", "piecewise"])
def test_a_member_of_an_ensemble_begins_with_one_number_for_each_column(numbers: str) -> None:
    spec = Spec("binary", 2, num_numeric=3, vocabulary_sizes=(5, 30), edges=((0.0, 1.0), (0.0, 2.0)))
    scale = models.tabm(spec, members=2, embedding_width=4, numbers=numbers).get_layer("members").scale.numpy()
    embedded = [1, 1, 1] if numbers == "plain" else [4, 4, 1]
    widths = [*embedded, category_width(5), category_width(30)]
    columns = np.split(scale, np.cumsum(widths)[:-1], axis=2)
    assert scale.shape == (2, 1, sum(widths))
    assert all(np.ptp(column, axis=2).max() == 0 for column in columns)
    if numbers == "piecewise":
        assert len({float(column[0, 0, 0]) for column in columns}) == len(columns)
    else:
        assert set(np.abs(scale).ravel().tolist()) == {1.0}


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_a_piecewise_embedding_is_an_encoding_and_a_linear_layer(data: st.DataObject) -> None:
    edges = data.draw(EDGES)
    layer, random = PiecewiseEmbedding(edges, 3), np.random.default_rng(0)
    x = tf.constant(random.normal(size=(9, len(edges) + 1)) * 4, tf.float32)
    layer(x)
    layer.bins.assign(random.normal(size=layer.bins.shape))
    expected = x[:, : len(edges), None].numpy() * layer.slope.numpy() + layer.bias.numpy()
    encoded, first = PiecewiseLinear(edges)(x).numpy(), 0
    for place, feature in enumerate(edges):
        bins = max(len(feature) - 1, 0)
        expected[:, place] += encoded[:, first : first + bins] @ layer.bins.numpy()[place, :bins]
        first += bins
    np.testing.assert_allclose(layer(x).numpy().reshape(expected.shape), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("l1", "l2"), [(0.5, 0.0), (0.0, 0.25), (0.5, 0.25)])
def test_a_penalty_is_what_its_formula_says(l1: float, l2: float) -> None:
    weights = np.asarray([[2.0, -1.0], [0.0, 3.0]], np.float32)
    regularizer = kernel(l1, l2)
    assert regularizer is not None
    assert float(regularizer(keras.ops.array(weights))) == pytest.approx(l1 * 6 + l2 * 14)


def reference(edges: list[list[float]], x: np.ndarray) -> np.ndarray:
    """The piecewise-linear encoding, bin by bin, as the paper states it; linear beyond the outer edges."""
    columns = []
    for feature, bounds in enumerate(edges):
        for place, (low, high) in enumerate(itertools.pairwise(bounds)):
            part = (x[:, feature].astype(np.float64) - low) / (high - low)
            part = part if place == 0 else np.maximum(part, 0)
            columns.append(part if place == len(bounds) - 2 else np.minimum(part, 1))
    return np.stack(columns, axis=1)


@settings(max_examples=40, deadline=None)
@given(EDGES, st.integers(0, 1), st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=6))
def test_piecewise_linear_equals_a_plain_loop(edges: list[list[float]], indicators: int, values: list[float]) -> None:
    x = np.stack([np.roll(values, place) for place in range(len(edges) + indicators)], axis=1).astype(np.float32)
    found = PiecewiseLinear(edges)(x).numpy()
    np.testing.assert_allclose(found, reference(edges, x), rtol=1e-5, atol=1e-5)


def test_piecewise_linear_survives_serialization_in_a_model(tmp_path: Path) -> None:
    model, spec = build("mlp", "binary", "table", numbers="piecewise")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    features = features_of(spec)
    assert np.array_equal(loaded(features), model(features))
    (layer,) = layers_of(loaded, PiecewiseLinear)
    assert layer.edges == [list(feature) for feature in PARTS["table"]["edges"]]
    assert layer.compute_output_shape((None, 3)) == (None, 2)


def bag_reference(vectors: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Row by row: the sum of the vectors that are there over the square root of their number."""
    rows = [vectors[row[row != 0]] for row in indices]
    return np.stack([row.sum(axis=0) / np.sqrt(max(len(row), 1)) for row in rows])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 9), min_size=4, max_size=4), min_size=1, max_size=5))
def test_an_embedding_bag_equals_a_plain_loop(rows: list[list[int]]) -> None:
    layer, indices = EmbeddingBag(10, 3), np.asarray(rows, np.int32)
    found = layer(indices).numpy()
    np.testing.assert_allclose(found, bag_reference(layer.embeddings.numpy(), indices), rtol=1e-5, atol=1e-6)


def test_an_embedding_bag_knows_neither_order_nor_the_vector_of_padding() -> None:
    layer = EmbeddingBag(10, 3)
    found = layer(np.asarray([[1, 2, 0, 0], [0, 2, 0, 1], [0, 0, 0, 0]], np.int32)).numpy()
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)
    assert not found[2].any()
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer(np.asarray([[1, 0], [0, 0]], np.int32)))
    gradient = tf.convert_to_tensor(tape.gradient(total, layer.embeddings.value)).numpy()
    assert np.flatnonzero(gradient.any(axis=1)).tolist() == [1]


def test_an_embedding_bag_survives_serialization_in_a_model(tmp_path: Path) -> None:
    model, spec = build("mlp", "binary", "bags")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert np.array_equal(loaded(features_of(spec)), model(features_of(spec)))
    assert [(layer.size, layer.width) for layer in layers_of(loaded, EmbeddingBag)] == [(5, 4), (40, 13)]


def test_scores_are_probabilities_or_the_value_itself() -> None:
    logits = np.asarray([[0.0], [2.0], [-50.0]], np.float32)
    binary = scores(Spec("binary", 2), tf.constant(logits)).numpy()
    np.testing.assert_allclose(binary[:, 1], 1 / (1 + np.exp(-logits[:, 0].astype(np.float64))), rtol=1e-6)
    np.testing.assert_allclose(binary.sum(axis=1), 1, rtol=1e-6)
    many = scores(Spec("multiclass", 3), tf.constant([[1.0, 2.0, 3.0]])).numpy()
    np.testing.assert_allclose(many, np.exp([[1, 2, 3]]) / np.exp([1, 2, 3]).sum(), rtol=1e-6)
    assert scores(Spec("regression", 1), tf.constant(logits)).numpy().tolist() == logits[:, 0].tolist()


def test_losses_are_those_of_the_textbook() -> None:
    binary = example_losses(Spec("binary", 2), tf.constant([1, 0]), tf.constant([[0.0], [2.0]]))
    np.testing.assert_allclose(binary, [np.log(2), np.log(1 + np.exp(2))], rtol=1e-6)
    many = example_losses(Spec("multiclass", 3), tf.constant([2]), tf.constant([[1.0, 2.0, 3.0]]))
    np.testing.assert_allclose(many, [np.log(np.exp([1, 2, 3]).sum()) - 3], rtol=1e-6)
    value = example_losses(Spec("regression", 1), tf.constant([1.0]), tf.constant([[3.0]]))
    assert value.numpy().tolist() == [4.0]


def test_predict_scores_every_row_in_order_over_batches_of_all_sizes() -> None:
    model, spec = build("mlp", "multiclass", "table", dropout=0.5)
    features, label = features_of(spec), labels_of(spec)
    dataset = tf.data.Dataset.from_tensor_slices((features, label))
    found, found_labels = predict(model, spec, dataset.batch(7))
    assert np.array_equal(found_labels, label.numpy())
    np.testing.assert_allclose(found, scores(spec, model(features, training=False)), rtol=1e-5, atol=1e-6)
