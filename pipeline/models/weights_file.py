"""Weights of a Keras network from a file, with the first layer named that does not fit."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from pipeline.errors import ConfigError

_NAMES = "layer_names"
# The group of the weights in a file that holds a whole model.
_WHOLE_MODEL = "model_weights"

Shapes = list[tuple[int, ...]]


def load_weights(network: keras.Model, file: str | Path, key: str = "model.weights") -> None:
    """Loads the weights of a network from a file of Keras 3 (`.weights.h5`) or of Keras 2 (`.h5`).

    Args:
      network: built.
      file: in Keras 3 format it may hold more layers, such as a classifier; in that of Keras 2 it must not.
      key: the file's place in the config, for errors.

    Raises:
      ConfigError: there is no such file, it is of another format, or it does not fit; the first layer that differs is
        named with the shapes of its weights on both sides.

    Example:
      >>> import tempfile
      >>> def network(): return keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
      >>> network().save_weights(path := tempfile.mkdtemp() + "/dense.weights.h5")
      >>> load_weights(network(), path)
    """
    import h5py

    path = Path(file)
    if not path.is_file():
        raise ConfigError(
            f'"{key}": there is no file {path}.',
            expected="weights that Keras saved, .weights.h5 or .h5; nothing is downloaded",
        )
    try:
        with h5py.File(path) as opened:
            is_old = _is_old(opened)
            found = list(_differences_old(network, opened) if is_old else _differences(network, opened))
    except (OSError, KeyError) as error:
        raise ConfigError(
            f'"{key}": {path} cannot be read as weights: {error}', expected="HDF5 that Keras saved"
        ) from error
    if found:
        raise ConfigError(
            f'"{key}": {path} does not fit {network.name}: {found[0]}.',
            expected="weights of the same network without its classifier (include_top=False)",
        )
    _load(network, path, is_old, key)


def _load(network: keras.Model, path: Path, is_old: bool, key: str) -> None:
    if is_old == path.name.endswith(".weights.h5"):
        wanted = ".h5, and not .weights.h5" if is_old else ".weights.h5"
        raise ConfigError(
            f'"{key}": {path} is in the format of Keras {2 if is_old else 3}.',
            expected=f"a name that ends in {wanted}, by which Keras tells the formats apart",
        )
    try:
        network.load_weights(path)
    except (ValueError, KeyError, OSError) as error:
        raise ConfigError(f'"{key}": {path} does not fit {network.name}: {error}') from error


def _is_old(opened: Any) -> bool:
    group = opened.get(_WHOLE_MODEL, opened)
    return _NAMES in group.attrs or f"{_NAMES}0" in group.attrs


def _differences(network: keras.Model, opened: Any) -> Iterator[str]:
    """Keras 3: a layer's weights are below its class and its number among those of this class."""
    seen: Counter[str] = Counter()
    for layer in network.layers:
        name = _snake_case(type(layer).__name__)
        place = f"{name}_{seen[name]}" if seen[name] else name
        seen[name] += 1
        if isinstance(layer, keras.Model):
            continue  # Keras itself says what differs inside it
        saved = opened.get(f"layers/{place}/vars", {})
        shapes = [tuple(saved[number].shape) for number in sorted(saved, key=int)]
        yield from _difference(layer, _shapes(layer, nested=False), shapes)


def _differences_old(network: keras.Model, opened: Any) -> Iterator[str]:
    """Keras 2: one layer with weights after another, in the network's order."""
    group = opened.get(_WHOLE_MODEL, opened)
    names = [name for name in _texts(group, _NAMES) if _texts(group[name], "weight_names")]
    layers = [layer for layer in network.layers if layer.weights]
    for layer, name in zip(layers, names, strict=False):
        shapes = [tuple(group[name][weight].shape) for weight in _texts(group[name], "weight_names")]
        yield from _difference(layer, _shapes(layer, nested=True), shapes, f' as "{name}"')
    if len(layers) > len(names):
        yield f'layer "{layers[len(names)].name}" and what follows are not in the file'
    if len(names) > len(layers):
        yield f'the file goes on with a layer "{names[len(layers)]}", which the network does not have'


def _difference(layer: keras.layers.Layer, own: Shapes, saved: Shapes, saved_as: str = "") -> Iterator[str]:
    if own != saved:
        shown = [", ".join(map(str, shapes)) or "none" for shapes in (own, saved)]
        about = f'layer "{layer.name}" ({type(layer).__name__}) has weights of {shown[0]}'
        yield f"{about}, in the file{saved_as} {shown[1]}"


def _shapes(layer: keras.layers.Layer, *, nested: bool) -> Shapes:
    """Of its weights, as Keras orders them in a file."""
    own = [layer.trainable_weights, layer.non_trainable_weights]
    if not nested:
        own = [layer._trainable_variables, layer._non_trainable_variables]
    return [tuple(weight.shape) for part in own for weight in part]


def _texts(group: Any, name: str) -> list[str]:
    """An attribute of texts, which Keras divides where it is too long for the format."""
    parts = [name] if name in group.attrs else []
    while parts[:1] != [name] and f"{name}{len(parts)}" in group.attrs:
        parts.append(f"{name}{len(parts)}")
    texts = [text for part in parts for text in group.attrs[part]]
    return [text.decode() if isinstance(text, bytes) else str(text) for text in texts]


def _snake_case(name: str) -> str:
    """As Keras names a layer by its class: BatchNormalization -> batch_normalization."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
