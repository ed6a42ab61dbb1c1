"""Layers that are lent another `call` for a while: so numbers come into Keras' own layers, and out of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any


@contextmanager
def lending(calls: Mapping[Any, Callable[..., Any]]) -> Iterator[None]:
    """Inside, each layer is called as given; afterwards as its class says.

    Args:
      calls: layer -> what takes the place of its `call`.

    Example:
      >>> import keras
      >>> layer = keras.layers.Identity()
      >>> one = keras.ops.ones(1)
      >>> with lending({layer: lambda x: x + 1}):
      ...     layer(one).numpy()
      array([2.], dtype=float32)
      >>> layer(one).numpy()
      array([1.], dtype=float32)
    """
    for layer, call in calls.items():
        object.__setattr__(layer, "call", call)  # Keras' own __setattr__ would track it
    try:
        yield
    finally:
        for layer in calls:
            object.__delattr__(layer, "call")
