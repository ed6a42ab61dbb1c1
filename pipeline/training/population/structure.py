"""What models must have in common to be trained in one program, and the numbers in which they may differ."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass
from typing import Any

import keras

from pipeline.config import fingerprint
from pipeline.models.bags import EmbeddingBag
from pipeline.models.ensemble import MemberDropout
from pipeline.models.regularization import ProximalL1L2
from pipeline.models.text_conv import TokenVectors

_PENALTIES = (keras.regularizers.L1, keras.regularizers.L2, keras.regularizers.L1L2, ProximalL1L2)
# Of the layers that draw random numbers, those whose rate can be a tensor (see `rates.py`). A class that is derived
# from one of them may do something else, and keeps its rate.
_DROPOUT = (keras.layers.Dropout, keras.layers.SpatialDropout1D, keras.layers.SpatialDropout2D, MemberDropout)
# Of their large tables a step changes a few rows, and lets the moments of all others be.
_TABLES_OF_BAGS = (EmbeddingBag, TokenVectors)

# TensorFlow has no form of these with a filter for each trial, and loops over the trials: four convnets of width 16 on
# 8x8 images took 4.5 s of processor time together and 2.8 s one after another, of width 32 8.4 and 4.8 s.
_CONVOLUTIONS = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
    keras.layers.Conv2DTranspose,
)


@dataclass(frozen=True)
class Numbers:
    """What two models of one structure may differ in.

    Attributes:
      rates: of the dropout layers, in the order of the model.
      l1, l2, proximal: penalties of each trainable variable; `proximal` is an l1 by its proximal operator.
    """

    rates: tuple[float, ...]
    l1: tuple[float, ...]
    l2: tuple[float, ...]
    proximal: tuple[float, ...]


def numbers_of(model: keras.Model) -> Numbers:
    """Of a model that has a structure.

    Example:
      >>> inputs = keras.Input((3,))
      >>> dense = keras.layers.Dense(2, kernel_regularizer=keras.regularizers.L2(0.5))
      >>> numbers_of(keras.Model(inputs, keras.layers.Dropout(0.25)(dense(inputs))))
      Numbers(rates=(0.25,), l1=(0.0, 0.0), l2=(0.5, 0.0), proximal=(0.0, 0.0))
    """
    found = [_penalty(variable.regularizer) for variable in model.trainable_variables]
    first, second, third = zip(*found, strict=True) if found else ((), (), ())
    return Numbers(tuple(float(layer.rate) for layer in dropouts(model)), first, second, third)


def dropouts(model: keras.Model) -> list[Any]:
    """The dropout layers that drop something, in the order of the model."""
    return [layer for layer in model._flatten_layers() if type(layer) in _DROPOUT and layer.rate > 0]


def seeds_of(model: keras.Model) -> set[int]:
    """The identities (`id`) of its variables that are states of generators of random numbers."""
    return {id(generator.state) for layer in model._flatten_layers() for generator in layer._seed_generators}


def has_convolutions(model: keras.Model) -> bool:
    """Whether it is known, without measuring it again, that its trials are quicker one after another."""
    return any(isinstance(layer, _CONVOLUTIONS) for layer in model._flatten_layers())


def structure_of(model: keras.Model) -> str | None:
    """A fingerprint of all but its numbers and weights; None where it must be trained alone.

    Alone are: models that Keras cannot describe (subclasses without `get_config`, classes and functions that were
    defined inside a function, whose surroundings may differ), those with losses beside the penalties of their weights
    or with constraints, and those with an `EmbeddingBag` or `TokenVectors`, of whose large tables a step changes a few
    rows: stacked, it would touch them all.

    Example:
      >>> def model(width, rate):
      ...     keras.backend.clear_session()
      ...     inputs = keras.Input((3,))
      ...     return keras.Model(inputs, keras.layers.Dropout(rate)(keras.layers.Dense(width)(inputs)))
      >>> found = [structure_of(model(width, rate)) for width, rate in ((2, 0.1), (2, 0.2), (3, 0.1))]
      >>> found[0] == found[1], found[0] == found[2]
      (True, False)
    """
    layers = list(model._flatten_layers())
    if any(isinstance(layer, _TABLES_OF_BAGS) or _adds_losses(layer) or _is_local(layer) for layer in layers):
        return None
    if not all(_is_plain(variable) for variable in model.trainable_variables):
        return None
    try:
        described = json.dumps(_without_numbers(keras.saving.serialize_keras_object(model)), default=repr)
    except (NotImplementedError, TypeError, ValueError):
        return None
    shapes = [(variable.shape, variable.dtype, variable.trainable) for variable in model.variables]
    return fingerprint([described, repr(shapes)])


def _adds_losses(layer: Any) -> bool:
    """Whether it has losses of its own, as far as one can see before it is called; `Program` sees the others."""
    own = [cls for cls in type(layer).__mro__ if not cls.__module__.startswith("keras.")]
    codes = [getattr(inspect.unwrap(value), "__code__", None) for cls in own for value in vars(cls).values()]
    calls = any("add_loss" in code.co_names for code in codes if code is not None)
    return bool(layer.activity_regularizer or layer._losses or calls)


def _is_local(layer: Any) -> bool:
    """Whether its class, or a function that it holds, is known to Keras by a name that others may have, too."""
    return any("<locals>" in str(getattr(one, "__qualname__", "")) for one in (type(layer), *vars(layer).values()))


def _is_plain(variable: keras.Variable) -> bool:
    """Whether nothing but a penalty with known numbers acts on it beside its gradient."""
    return variable.constraint is None and (variable.regularizer is None or type(variable.regularizer) in _PENALTIES)


def _without_numbers(tree: Any) -> Any:
    if isinstance(tree, dict):
        if _is_one_of(tree, _PENALTIES):
            return None
        found = {key: _without_numbers(value) for key, value in tree.items()}
        if _is_one_of(tree, _DROPOUT):
            config = found["config"]
            found["config"] = {**config, "rate": config["rate"] > 0}
        return found
    return [_without_numbers(value) for value in tree] if isinstance(tree, list | tuple) else tree


def _is_one_of(tree: dict[str, Any], classes: tuple[type, ...]) -> bool:
    """Whether it is an object of one of these classes, as Keras describes it."""
    root = str(tree.get("module")).partition(".")[0]
    return root in ("keras", "pipeline") and tree.get("class_name") in {cls.__name__ for cls in classes}


def _penalty(regularizer: Any) -> tuple[float, float, float]:
    """l1, l2 and the proximal l1 of a variable."""
    first, second = (float(getattr(regularizer, name, 0.0)) for name in ("l1", "l2"))
    return (0.0, second, first) if isinstance(regularizer, ProximalL1L2) else (first, second, 0.0)
