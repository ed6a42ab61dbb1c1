"""The models for text: any bags, beside any columns; gradients of the touched vectors alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.transforms.hashed_text import HashedText
from pipeline.data.transforms.tokenize import Tokenize
from pipeline.data.transforms.transform import fit_on
from pipeline.errors import ConfigError
from pipeline.models.bags import EmbeddingBag
from pipeline.models.outputs import example_losses
from pipeline.models.text_bag import text_bag
from pipeline.models.text_conv import TokenVectors, text_conv
from pipeline.models.text_sizes import bag_width
from pipeline.spec import Bag, Spec, Task

Model = Callable[..., keras.Model]
MODELS: list[Model] = [text_bag, text_conv]
ROWS = 12


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    """Any number of bags, with or without other columns."""
    bags = draw(st.lists(st.builds(Bag, st.integers(2, 30), st.integers(1, 9), st.just(True)), min_size=1, max_size=3))
    tasks: list[tuple[Task, int]] = [("binary", 2), ("multiclass", 4), ("regression", 1)]
    task, classes = draw(st.sampled_from(tasks))
    has_numbers = draw(st.booleans())
    return Spec(
        task,
        classes,
        num_numeric=2 * has_numbers,
        edges=((-1.0, 0.0, 1.0),) * has_numbers,
        vocabulary_sizes=draw(st.sampled_from([(), (3, 2)])),
        image_shape=draw(st.sampled_from([None, None, (4, 4, 1)])),
        bags=tuple(bags),
        num_train=ROWS,
    )


def features_of(spec: Spec) -> dict[str, tf.Tensor]:
    """A batch as `spec` says; the first row's bags are empty."""
    random = np.random.default_rng(0)
    bags = [random.integers(0, bag.size, (ROWS, bag.slots)) for bag in spec.bags]
    found = {"bags": tf.constant(np.concatenate(bags, axis=1) * (np.arange(ROWS) > 0)[:, np.newaxis], tf.int32)}
    if spec.num_numeric:
        found["numeric"] = tf.constant(random.normal(size=(ROWS, spec.num_numeric)), tf.float32)
    if spec.vocabulary_sizes:
        columns = [random.integers(0, size, ROWS) for size in spec.vocabulary_sizes]
        found["categorical"] = tf.constant(np.stack(columns, axis=1), tf.int32)
    if spec.image_shape:
        found["image"] = tf.constant(random.integers(0, 256, (ROWS, *spec.image_shape)), tf.uint8)
    return found


def labels_of(spec: Spec) -> tf.Tensor:
    numbers = np.arange(ROWS)
    return (
        tf.constant(numbers / ROWS, tf.float32)
        if spec.task == "regression"
        else tf.constant(numbers % spec.num_classes)
    )


def gradients_of(model: keras.Model, spec: Spec, features: dict[str, tf.Tensor]) -> tuple[float, list[Any]]:
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(example_losses(spec, labels_of(spec), model(features, training=True)))
    return float(loss), tape.gradient(loss, model.trainable_variables)


@pytest.mark.parametrize("make", MODELS)
@settings(max_examples=6, deadline=None)
@given(spec=specs())
def test_any_bags_beside_any_columns(make: Model, spec: Spec) -> None:
    features, (model, twin) = features_of(spec), [seeded(make, spec, width=4) for _ in range(2)]
    answer = model(features, training=False).numpy()
    assert answer.shape == (ROWS, spec.num_outputs)
    assert answer.dtype == np.float32
    assert np.array_equal(answer, twin(features, training=False))
    assert np.array_equal(model(features, training=True), twin(features, training=True))  # dropout, too
    for row in (0, ROWS - 1):
        alone = model({key: value[row : row + 1] for key, value in features.items()}, training=False).numpy()
        np.testing.assert_allclose(alone[0], answer[row], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", MODELS)
@settings(max_examples=4, deadline=None)
@given(spec=specs())
def test_a_step_lowers_the_loss(make: Model, spec: Spec) -> None:
    features, model = features_of(spec), seeded(make, spec, width=4, dropout=0.0, word_dropout=0.0)
    before, gradients = gradients_of(model, spec, features)
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        variable.assign_sub(1e-3 * tf.convert_to_tensor(gradient))
    assert gradients_of(model, spec, features)[0] < before


@pytest.mark.parametrize("make", MODELS)
def test_a_model_is_saved_loaded_and_served(make: Model, tmp_path: Path) -> None:
    spec = Spec("multiclass", 3, num_numeric=1, bags=(Bag(50, 6, ordered=True), Bag(9, 2, ordered=True)))
    model, features = seeded(make, spec, width=4, l2={"embedding": 0.1}), features_of(spec)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert np.array_equal(loaded(features), model(features))
    assert [layer.get_config() for layer in loaded.layers] == [layer.get_config() for layer in model.layers]
    model.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(tmp_path / "served")
    np.testing.assert_allclose(served.serve(features), model(features), atol=1e-6)


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("graph", [False, True])
def test_gradients_of_vectors_are_those_of_the_batch_each_once(make: Model, graph: bool) -> None:
    spec = Spec("binary", 2, bags=(Bag(1000, 6, ordered=True),))
    model = seeded(make, spec, width=4, word_dropout=0.0)
    features = {"bags": tf.constant([[7, 7, 990, 0, 0, 0], [7, 3, 0, 0, 0, 0]])}

    def step() -> Any:
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(model(features, training=True))
        return tape.gradient(total, model.trainable_variables)[0]

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # TensorFlow warns where something sparse becomes dense
        gradient = (tf.function(step) if graph else step)()
    assert isinstance(gradient, tf.IndexedSlices)
    found = gradient.indices.numpy().tolist()
    assert sorted(set(found) - {0}) == [3, 7, 990]
    assert len(found) == len(set(found))
    moved = np.abs(gradient.values.numpy()).sum(axis=1) > 0
    assert set(np.asarray(found)[moved]) <= {3, 7, 990}


def test_the_gradient_of_a_bag_is_that_of_the_formula() -> None:
    layer, indices = EmbeddingBag(20, 3, gain=2.0), tf.constant([[4, 4, 5, 0], [5, 0, 0, 0], [0, 0, 0, 0]])
    weight = tf.constant(np.random.default_rng(0).normal(size=(3, 3)), tf.float32)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(weight * layer(indices))
    found = tape.gradient(total, layer.embeddings.value)
    by_row = dict(zip(found.indices.numpy().tolist(), found.values.numpy(), strict=True))
    np.testing.assert_allclose(by_row[4], 2 * 2 * weight[0] / np.sqrt(3), rtol=1e-6)
    np.testing.assert_allclose(by_row[5], 2 * (weight[0] / np.sqrt(3) + weight[1]), rtol=1e-6)
    assert sorted(by_row) == [4, 5]


def test_a_bag_gives_the_same_bits_again_and_alone() -> None:
    random = np.random.default_rng(0)
    layer, indices = EmbeddingBag(500, 16), random.integers(0, 500, (64, 40)) * (random.random((64, 40)) < 0.5)
    run = tf.function(lambda x: layer(x, training=False))
    first = run(tf.constant(indices, tf.int32)).numpy()
    assert all(np.array_equal(run(tf.constant(indices, tf.int32)), first) for _ in range(20))
    assert all(np.array_equal(layer(indices[row : row + 1].astype(np.int32))[0], first[row]) for row in range(64))


@pytest.mark.parametrize("rate", [0.25, 0.75])
def test_dropped_indices_leave_the_others_at_full_size(rate: float) -> None:
    layer = EmbeddingBag(2, 1, dropout=rate, limit=0.0)
    indices = tf.ones([200, 50], tf.int32)
    layer(indices)
    layer.embeddings.assign([[0.0], [1.0]])
    counts = layer(indices, training=True).numpy()[:, 0] ** 2  # n / sqrt(n), squared
    assert counts.mean() == pytest.approx(50 * (1 - rate), rel=0.05)
    np.testing.assert_allclose(counts, counts.round(), atol=1e-3)
    assert np.allclose(layer(indices, training=False).numpy() ** 2, 50)


@pytest.mark.parametrize("make", MODELS)
def test_a_penalty_on_vectors_sees_those_of_the_batch_where_a_table_names_them(make: Model) -> None:
    spec, features = Spec("binary", 2, bags=(Bag(1000, 3, ordered=True),)), {"bags": tf.constant([[7, 7, 990]])}
    model = seeded(make, spec, width=4, word_dropout=0.0, l2={"embedding": 0.5})
    model(features, training=True)
    vectors = model.trainable_variables[0].numpy()[[7, 990]]
    assert float(tf.add_n(model.losses)) == pytest.approx(0.5 * np.square(vectors).sum(), rel=1e-5)
    assert isinstance(gradients_of_losses(model, features), tf.IndexedSlices)
    kernels = [w for w in seeded(make, spec, l2=0.5).trainable_variables if w.path.endswith("/kernel")]
    assert len(seeded(make, spec, l2=0.5).losses) == len(kernels)


def gradients_of_losses(model: keras.Model, features: dict[str, tf.Tensor]) -> Any:
    with tf.GradientTape() as tape:
        model(features, training=True)
        total = tf.add_n(model.losses)
    return tape.gradient(total, model.trainable_variables)[0]


def test_a_convolution_knows_the_order_of_words_and_a_bag_does_not() -> None:
    spec = Spec("binary", 2, bags=(Bag(9, 4, ordered=True),))
    bag, convolution = (seeded(make, spec, width=8) for make in MODELS)
    there, back = ({"bags": tf.constant([row])} for row in ([1, 2, 3, 0], [3, 2, 1, 0]))
    np.testing.assert_allclose(bag(there), bag(back), atol=1e-6)
    assert not np.allclose(convolution(there), convolution(back), atol=1e-6)
    assert not TokenVectors(9, 4)(tf.constant([[0, 3]])).numpy()[0, 0].any()


def test_sizes_follow_the_outputs_and_the_budget() -> None:
    spec = Spec("multiclass", 77, bags=(Bag(2**16, 200, ordered=True),), num_train=1_000_000)
    assert [layer.width for layer in text_bag(spec).layers if isinstance(layer, EmbeddingBag)] == [bag_width(spec)]
    widths = [bag_width(Spec(**{**spec.__dict__, "budget_seconds": budget})) for budget in (None, 1e5, 300.0, 1.0)]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > widths[-1] >= 8
    assert dense_of(text_bag(spec)) == ["hidden_0", "output"]
    assert dense_of(text_bag(spec, depth=0)) == dense_of(text_conv(spec)) == ["output"]
    assert dense_of(text_conv(Spec("binary", 2, num_numeric=1, bags=spec.bags))) == ["hidden_0", "output"]


def dense_of(model: keras.Model) -> list[str]:
    return [layer.name for layer in model.layers if isinstance(layer, keras.layers.Dense)]


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize(
    "bad", [{"width": 0}, {"depth": -1}, {"word_dropout": 1.0}, {"word_dropout": -0.1}, {"dropout": 1.0}], ids=str
)
def test_bad_arguments_are_refused_by_name(make: Model, bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f'"model.{next(iter(bad))}"'):
        make(Spec("binary", 2, bags=(Bag(9, 4, ordered=True),)), **bad)


@pytest.mark.parametrize("make", MODELS)
def test_a_model_for_text_needs_one(make: Model) -> None:
    with pytest.raises(ConfigError, match=f"{make.__name__}, but the data hold neither text nor tags"):
        make(Spec("binary", 2, num_numeric=1))


def test_filters_need_a_size() -> None:
    with pytest.raises(ConfigError, match="sizes"):
        text_conv(Spec("binary", 2, bags=(Bag(9, 4, ordered=True),)), sizes=())


def questions(num_rows: int, seed: int) -> tuple[pa.Array, np.ndarray]:
    """Sentences of six intents, of which the verb tells three and the order of two names the other half."""
    random = np.random.default_rng(seed)
    intents, verbs, fillers = (
        random.integers(0, 6, num_rows),
        ["send", "block", "order"],
        ["please", "the", "my", "now"],
    )
    texts = []
    for intent in intents:
        names = ["euro to dollar", "dollar to euro"][intent // 3]
        texts.append(
            f"{verbs[intent % 3]}{random.choice(['', 's', 'ing'])} {' '.join(random.choice(fillers, 3))} {names}"
        )
    return pa.array(texts), intents.astype(np.int32)


@pytest.mark.parametrize(("make", "transform"), [(text_bag, HashedText()), (text_conv, Tokenize())])
def test_intents_are_learnt_by_adagrad(make: Model, transform: Any) -> None:
    (texts, labels), (unseen, expected) = questions(600, 1), questions(200, 2)
    fitted = fit_on(transform, texts)
    spec = Spec("multiclass", 6, bags=(fitted.bag,), num_train=600)
    model = seeded(make, spec, width=16, word_dropout=0.1)
    model.compile(keras.optimizers.Adagrad(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit({"bags": fitted(texts)}, labels, batch_size=32, epochs=5, verbose=0)
    found = model.predict({"bags": fitted(unseen)}, verbose=0).argmax(axis=1)
    assert (found == expected).mean() > 0.9  # by chance: 0.17; without the order of words: 0.5


def seeded(make: Model, spec: Spec, **hyperparameters: Any) -> keras.Model:
    keras.utils.set_random_seed(3)
    return make(spec, **hyperparameters)
