"""Every configuration of a space, in an order that the seed fixes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from pipeline.training.search.dimensions import Dimension


def configurations(dimensions: Sequence[Dimension], seed: int) -> Iterator[dict[str, Any]]:
    """Every configuration once, one by one; keys that do not exist in it are not in it.

    Args:
      dimensions: every key after those it depends on, none of them endless.
      seed: of the order of the values of each key.

    Example:
      >>> from pipeline.training.search.conditions import read_space
      >>> momentum = {"choices": [0.0, 0.9], "when": {"train.optimizer": "SGD"}}
      >>> space = {"train.optimizer": ["Adam", "SGD"], "train.optimizer.momentum": momentum}
      >>> len(list(configurations(read_space(space), seed=0)))
      3
    """
    shuffled = [_shuffled(dimension.values or (), seed, place) for place, dimension in enumerate(dimensions)]
    return _below(dimensions, shuffled, 0, {})


def all_within(dimensions: Sequence[Dimension], limit: int, seed: int) -> list[dict[str, Any]] | None:
    """Every configuration, shuffled; None where there are more than `limit`."""
    if any(dimension.is_endless for dimension in dimensions):
        return None
    found = list(islice(configurations(dimensions, seed), limit + 1))
    return None if len(found) > limit else _shuffled(found, seed, len(dimensions))


def _below(
    dimensions: Sequence[Dimension], shuffled: list[list[Any]], place: int, chosen: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    if place == len(dimensions):
        yield dict(chosen)
    elif not dimensions[place].exists(chosen):
        yield from _below(dimensions, shuffled, place + 1, chosen)
    else:
        key = dimensions[place].key
        for value in shuffled[place]:
            yield from _below(dimensions, shuffled, place + 1, {**chosen, key: value})


def _shuffled(values: Sequence[Any], seed: int, place: int) -> list[Any]:
    return [values[index] for index in np.random.default_rng([seed, place]).permutation(len(values))]
