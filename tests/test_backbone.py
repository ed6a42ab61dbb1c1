"""The networks of keras.applications by name, and weights from files that Keras itself made here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.errors import ConfigError
from pipeline.models.backbone import backbone
from pipeline.models.outputs import example_losses
from pipeline.models.weights_file import load_weights
from pipeline.spec import Spec

COLOUR = Spec("multiclass", 3, image_shape=(32, 32, 3))
SMALL = "MobileNetV3Small"


def network(application: str = SMALL, **arguments: Any) -> keras.Model:
    options = {"include_top": False, "input_shape": (32, 32, 3), **arguments}
    return getattr(keras.applications, application)(weights=None, **options)


def inner(model: keras.Model) -> keras.Model:
    """The application inside a model."""
    (found,) = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    return found


def images_of(spec: Spec, rows: int = 4) -> dict[str, tf.Tensor]:
    shape = (rows, *(spec.image_shape or ()))
    return {"image": tf.constant(np.random.default_rng(0).integers(0, 256, shape), tf.uint8)}


def check_equal(found: Any, expected: Any) -> None:
    """In relation to their size: a network with random weights answers with some 1e-10."""
    largest = np.abs(expected).max()
    assert np.ptp(np.asarray(expected), axis=0).max() > 1e-3 * largest > 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3 * largest)


def write_old(path: Path, model: keras.Model) -> Path:
    """As Keras 2 wrote weights, and as those of keras.applications are published."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        for layer in model.layers:
            group, weights = file.create_group(layer.name), [*layer.trainable_weights, *layer.non_trainable_weights]
            names = [f"{layer.name}/{weight.name}:0" for weight in weights]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, weight in zip(names, weights, strict=True):
                group[name] = weight.numpy()
    return path


@pytest.fixture(scope="module")
def saved() -> keras.Model:
    keras.utils.set_random_seed(11)
    return network()


@pytest.mark.parametrize("shape", [(8, 8, 1), (9, 13, 3), (64, 64, 3)], ids=str)
def test_every_size_of_image_is_answered_alone_as_in_a_batch(shape: tuple[int, int, int]) -> None:
    spec = Spec("multiclass", 3, image_shape=shape)
    model, features = backbone(spec, weights=None), images_of(spec)
    together = model(features, training=False).numpy()
    assert together.shape == (4, 3)
    alone = [model({"image": features["image"][row : row + 1]}, training=False).numpy()[0] for row in range(4)]
    check_equal(np.stack(alone), together)


def test_grey_is_the_same_as_three_equal_channels(tmp_path: Path, saved: keras.Model) -> None:
    saved.save_weights(path := tmp_path / "small.weights.h5")
    grey = backbone(Spec("multiclass", 3, image_shape=(32, 32, 1)), weights=str(path))
    colour = backbone(COLOUR, weights=str(path))
    colour.set_weights(grey.get_weights())
    image = images_of(Spec("multiclass", 3, image_shape=(32, 32, 1)))["image"]
    check_equal(grey({"image": image}), colour({"image": tf.repeat(image, 3, axis=3)}))


@pytest.mark.parametrize(
    ("application", "preprocess"),
    [
        ("VGG16", keras.applications.vgg16.preprocess_input),
        ("mobilenetv2", keras.applications.mobilenet_v2.preprocess_input),
        (SMALL, keras.applications.mobilenet_v3.preprocess_input),
    ],
)
def test_the_model_does_the_networks_own_preprocessing(application: str, preprocess: Any) -> None:
    model = backbone(COLOUR, application=application, dropout=0.0)
    image = images_of(COLOUR)["image"]
    found = inner(model)(preprocess(image.numpy().astype(np.float32)), training=False)
    pooled = tf.reduce_mean(found, axis=(1, 2))
    expected = model.get_layer("output")(pooled)
    check_equal(model({"image": image}, training=False), expected)


@pytest.mark.parametrize("old", [False, True], ids=["keras 3", "keras 2"])
def test_weights_of_a_file_are_in_the_model(tmp_path: Path, saved: keras.Model, old: bool) -> None:
    path = tmp_path / ("small.h5" if old else "small.weights.h5")
    if old:
        write_old(path, saved)
    else:
        saved.save_weights(path)
    model = backbone(COLOUR, weights=str(path))
    for own, theirs in zip(inner(model).get_weights(), saved.get_weights(), strict=True):
        assert np.array_equal(own, theirs)
    assert len(model.trainable_variables) == 2  # the output's


def test_a_file_that_holds_a_classifier_too_gives_the_rest(tmp_path: Path) -> None:
    whole = network(include_top=True)
    whole.save_weights(path := tmp_path / "whole.weights.h5")
    first = inner(backbone(COLOUR, weights=str(path))).weights[0]
    assert np.array_equal(first.numpy(), whole.weights[0].numpy())
    with pytest.raises(ConfigError, match='goes on with a layer "conv_2"'):
        backbone(COLOUR, weights=str(write_old(tmp_path / "whole.h5", whole)))


@pytest.mark.parametrize("old", [False, True], ids=["keras 3", "keras 2"])
@pytest.mark.parametrize(
    ("application", "arguments", "expected"),
    [
        (SMALL, {"alpha": 0.75}, r'layer "expanded_conv_3_project" \(Conv2D\).*1, 1, 96, 40.*1, 1, 96, 32'),
        ("MobileNetV2", {}, r'layer "conv" \(Conv2D\).*\(3, 3, 3, 16\).*\(3, 3, 3, 32\)'),
    ],
)
def test_a_file_that_does_not_fit_names_the_first_layer_that_differs(
    tmp_path: Path, application: str, arguments: dict[str, Any], expected: str, old: bool
) -> None:
    path = tmp_path / ("other.h5" if old else "other.weights.h5")
    other = network(application, **arguments)
    if old:
        write_old(path, other)
    else:
        other.save_weights(path)
    with pytest.raises(ConfigError, match=f"does not fit MobileNetV3Small: {expected}"):
        backbone(COLOUR, weights=str(path))


def test_files_that_are_no_weights_are_refused(tmp_path: Path, saved: keras.Model) -> None:
    (tmp_path / "text.h5").write_text("no weights")
    with h5py.File(tmp_path / "empty.weights.h5", "w"):
        pass
    write_old(tmp_path / "old.weights.h5", saved)
    saved.save_weights(tmp_path / "new.weights.h5")
    (tmp_path / "new.weights.h5").rename(tmp_path / "new.h5")
    cases = {
        "nowhere.h5": "there is no file",
        ".": "there is no file",
        "text.h5": "cannot be read as weights",
        "empty.weights.h5": 'layer "conv" .* in the file none',
        "old.weights.h5": "format of Keras 2",
        "new.h5": "format of Keras 3",
    }
    for name, expected in cases.items():
        with pytest.raises(ConfigError, match=expected):
            load_weights(saved, tmp_path / name)


@pytest.mark.parametrize("weights", ["imagenet", "ImageNet"])
def test_nothing_is_downloaded(weights: str) -> None:
    with pytest.raises(ConfigError, match="nothing here is downloaded") as caught:
        backbone(COLOUR, weights=weights)
    assert 'keras.applications.MobileNetV3Small(weights="imagenet", include_top=False)' in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "arguments", "expected"),
    [
        (COLOUR, {"application": "MobilNetV3Smal"}, 'Did you mean "MobileNetV3Small"'),
        (COLOUR, {"trainable": -1}, '"model.trainable" is -1'),
        (COLOUR, {"l2": -1.0}, '"model.l2"'),
        (Spec("binary", 2, num_numeric=1), {}, "no image"),
        (Spec("binary", 2, image_shape=(32, 32, 4)), {}, "4 channels"),
    ],
)
def test_what_makes_no_sense_is_refused(spec: Spec, arguments: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        backbone(spec, **arguments)


def train_once(model: keras.Model, spec: Spec) -> None:
    features, label = images_of(spec, 8), tf.constant(np.arange(8) % 3, tf.int32)
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.build(model.trainable_variables)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(example_losses(spec, label, model(features, training=True)))
    optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)


def changed(trainable: bool | int | None) -> list[str]:
    """The layers whose weights, statistics included, a training step changes."""
    model = backbone(COLOUR, trainable=trainable)
    layers = [layer for layer in [*inner(model).layers, model.get_layer("output")] if layer.weights]
    before = [layer.get_weights() for layer in layers]
    train_once(model, COLOUR)
    return [
        layer.name
        for layer, old in zip(layers, before, strict=True)
        if any(not np.array_equal(one, other) for one, other in zip(layer.get_weights(), old, strict=True))
    ]


def test_a_frozen_network_keeps_its_weights_and_statistics() -> None:
    assert changed(False) == ["output"]


def test_only_the_last_layers_are_trained() -> None:
    found = changed(3)  # convolution, BatchNorm, activation
    assert found == ["conv_1", "conv_1_bn", "output"]


def test_a_network_that_begins_at_random_is_trained() -> None:
    found = changed(None)
    assert {"conv", "conv_bn", "output"} <= set(found)


def test_penalties_are_those_of_what_is_trained() -> None:
    model = backbone(COLOUR, trainable=3, l2={"convolution": 0.5, "output": 2.0})
    kernels = {weight.path: np.square(weight.numpy()).sum() for weight in model.trainable_weights}
    expected = sum(
        (2.0 if path.startswith("output") else 0.5) * square
        for path, square in kernels.items()
        if path.endswith("/kernel")
    )
    assert float(tf.add_n(model.losses)) == pytest.approx(float(expected), rel=1e-5)


def test_columns_beside_the_image_move_the_answer() -> None:
    spec = Spec("binary", 2, num_numeric=2, image_shape=(32, 32, 3))
    model, features = backbone(spec), images_of(spec)
    first = model({**features, "numeric": tf.zeros((4, 2))}, training=False)
    assert not np.allclose(first, model({**features, "numeric": tf.ones((4, 2))}, training=False), atol=1e-7)


def test_the_exported_model_answers_exactly(tmp_path: Path) -> None:
    spec = Spec("multiclass", 3, image_shape=(28, 28, 1))
    model, image = backbone(spec, dropout=0.5), images_of(spec)["image"]

    class Served(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, 28, 28, 1), tf.uint8)])
        def answer(self, image: tf.Tensor) -> tf.Tensor:
            return model({"image": image}, training=False)

    served = Served()
    served.model = model
    tf.saved_model.save(served, tmp_path / "saved")
    loaded = tf.saved_model.load(tmp_path / "saved")
    expected = model({"image": image}, training=False)
    check_equal(loaded.answer(image), expected)
