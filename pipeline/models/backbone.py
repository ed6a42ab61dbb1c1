"""The networks of `keras.applications`, by name, with weights from a local file."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import keras

from pipeline.errors import ConfigError, did_you_mean
from pipeline.models.beside import with_columns
from pipeline.models.dense import output_layer
from pipeline.models.embeddings import inputs
from pipeline.models.regularization import Penalty, kernel
from pipeline.models.regularization import dropout as drop
from pipeline.models.weights_file import load_weights
from pipeline.spec import Spec

_COLOURS = 3
# The smallest side that a network takes; smaller images are enlarged.
_SMALLEST_SIDE = {"InceptionResNetV2": 75, "InceptionV3": 75, "Xception": 71}
_USUAL_SMALLEST_SIDE = 32
# Units of the hidden layers where there are columns beside the image.
_UNITS = 128


def backbone(
    spec: Spec,
    *,
    application: str = "MobileNetV3Small",
    weights: str | None = None,
    trainable: bool | int | None = None,
    dropout: float = 0.2,
    l1: Penalty = 0.0,
    l2: Penalty = 0.0,
    proximal: bool = False,
) -> keras.Model:
    """A network of `keras.applications` without its classifier, its mean over the places, and a layer of our own.

    It takes the same uint8 pixels as every model: grey images are repeated to three channels, images smaller than the
    network takes are enlarged, and its own preprocessing is part of the model. Nothing is ever downloaded.

    Args:
      spec: what the data look like; it must have an image of one or three channels.
      application: its name in `keras.applications`, in any case of letters: https://keras.io/api/applications/.
      weights: a file of its weights without the classifier (`include_top=False`), from the current folder on; it must
        stay there, because every stage makes the network anew. None: random ones. EfficientNetB0 to B7 are scaled a
        little differently by Keras for its own ImageNet weights, to which training must then adapt.
      trainable: whether the network's own weights are trained, or only those of its last so many layers; None: only
        where they begin at random. BatchNorm of a layer that is not trained keeps its statistics.
      dropout: rate of units of the network's answer, and after each hidden layer.
      l1, l2: penalties on every trained kernel, of the kinds convolution (the network's own), hidden and output.
      proximal: whether l1 makes exact zeros.

    Returns:
      An uncompiled model from features (see `Spec`) to logits, float32 [rows, spec.num_outputs].

    Raises:
      ConfigError: the data have no such image, there is no such network, or its weights do not fit.

    Example:
      >>> backbone(Spec("multiclass", 10, image_shape=(32, 32, 1))).output_shape
      (None, 10)
    """
    name, make = _application(application)
    shape = _checked_shape(spec)
    features = inputs(spec)
    x = _enlarged(keras.ops.cast(features["image"], "float32"), shape, _SMALLEST_SIDE.get(name, _USUAL_SMALLEST_SIDE))
    if shape[2] == 1:
        x = keras.layers.Concatenate()([x] * _COLOURS)
    network = _network(name, make, tuple(x.shape[1:]), weights)
    _freeze(network, weights is None if trainable is None else trainable)
    _penalize(network, l1, l2, proximal)
    x = network(importlib.import_module(make.__module__).preprocess_input(x))
    x = drop(keras.layers.GlobalAveragePooling2D()(x), dropout)
    x = with_columns(x, features, spec, _UNITS, dropout, l1, l2, proximal)
    output = output_layer(x, spec, l1, l2, proximal)
    return keras.Model(features, output, name="backbone")


def _application(name: str) -> tuple[str, Callable[..., keras.Model]]:
    """A network by its name, and the name as Keras spells it."""
    names = [known for known in dir(keras.applications) if known[0].isupper()]
    found = next((known for known in names if known.lower() == name.lower()), None)
    if found is None:
        raise ConfigError(
            f'"model.application": there is no "{name}" in keras.applications.',
            expected=f"one of {', '.join(names)}",
            fix=did_you_mean(name, names).strip() or None,
        )
    return found, getattr(keras.applications, found)


def _checked_shape(spec: Spec) -> tuple[int, int, int]:
    if spec.image_shape is None:
        raise ConfigError('"model.name" is backbone, but the data hold no image.', fix='Use model.name = "mlp".')
    if spec.image_shape[2] not in (1, _COLOURS):
        raise ConfigError(
            f'"model.name" is backbone, and the image has {spec.image_shape[2]} channels.',
            expected="1 or 3: a network of keras.applications knows grey and colour images",
            fix='Use model.name = "convnet".',
        )
    return spec.image_shape


def _enlarged(x: keras.KerasTensor, shape: tuple[int, int, int], smallest: int) -> keras.KerasTensor:
    """By a whole number, until both sides are large enough."""
    times = -(-smallest // min(shape[:2]))
    return x if times == 1 else keras.layers.UpSampling2D(times, interpolation="bilinear")(x)


def _network(name: str, make: Callable[..., keras.Model], shape: tuple[int, ...], weights: str | None) -> keras.Model:
    if weights is not None and weights.lower() == "imagenet":
        raise ConfigError(
            '"model.weights" is "imagenet", which Keras would download; nothing here is downloaded.',
            expected=f"a file of the weights of {name} without its classifier",
            fix=f'Once, where downloads are possible: keras.applications.{name}(weights="imagenet", include_top=False)'
            f'.save_weights("{name}.weights.h5"); then model.weights = "{name}.weights.h5".',
        )
    network = make(include_top=False, weights=None, input_shape=shape)
    if weights is not None:
        load_weights(network, weights)
    return network


def _freeze(network: keras.Model, trainable: bool | int) -> None:
    """Leaves the last so many layers to be trained."""
    if isinstance(trainable, bool):
        network.trainable = trainable
        return
    if trainable < 0:
        raise ConfigError(f'"model.trainable" is {trainable}.', expected="true, false, or a number of layers from 0 on")
    for layer in network.layers[: max(len(network.layers) - trainable, 0)]:
        layer.trainable = False


def _penalize(network: keras.Model, l1: Penalty, l2: Penalty, proximal: bool) -> None:
    """The application takes no penalties: its kernels get theirs when it is made."""
    for weight in network.trainable_weights:
        if weight.name == "kernel":
            weight.regularizer = kernel(l1, l2, "convolution", proximal)
