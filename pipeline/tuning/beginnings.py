"""Trials at their beginning. What several have in common is made once: initial weights, and batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from pipeline.components import optimizer_of, resolved
from pipeline.config import Config, fingerprint
from pipeline.context import Context
from pipeline.model_steps import build_model, train_batches
from pipeline.spec import Spec
from pipeline.training.population import Candidate
from pipeline.training.population.structure import Numbers, numbers_of, structure_of

Initial = Sequence[Callable[[], np.ndarray]]

# What the batches of a trial depend on, but for its seed.
_BATCHES = ("train.batch_size", "train.epochs", "train.augment", "train.resample", "train.class_weight")


class Beginnings:
    """Makes candidates.

    A model is first built without weights, which says what layers it has and by what their weights are initialized. To
    draw these then takes about a fifth of the time of building the model once more.

    Args:
      context: of the stage.
      spec: of the data.
    """

    def __init__(self, context: Context, spec: Spec) -> None:
        self._context, self._spec = context, spec
        self._known: dict[str, Candidate] = {}
        self._batches: dict[str, Any] = {}

    def candidate(self, config: Config) -> Candidate:
        """The training of a config before its first step.

        Raises:
          PipelineError: the config cannot be trained. What a model of one's own raises comes as it is.
        """
        config = resolved(config, self._spec)
        own = {
            "optimizer": optimizer_of(config),
            "train": self._train(config),
            "label_smoothing": config.train.label_smoothing or 0.0,
            "ema": config.train.ema,
            "precision": config.train.precision,
            "seed": config.seed,
        }
        light = self._without_weights(config)
        if light is None or light.structure not in self._known:
            model = _seeded(config.seed, lambda: build_model(config, self._spec))
            found = Candidate.of(model, **own)
            if found.structure is not None and light is not None and _are_equal(light.initial, found.initial):
                self._known[light.structure] = found
            return found
        return replace(self._known[light.structure], **own, initial=light.initial, numbers=light.numbers)

    def _without_weights(self, config: Config) -> _Light | None:
        """None where it cannot be stacked, or built like that."""
        try:
            model = _seeded(config.seed, lambda: self._lightly_built(config))
            structure = structure_of(model)
            if structure is None:
                return None
            return _Light(structure, numbers_of(model), [_first_value(variable) for variable in model.variables])
        except Exception:  # built with its weights it shows what is wrong, if anything is
            return None
        finally:
            keras.backend.clear_session(free_memory=False)  # else Keras would draw the weights later on

    def _lightly_built(self, config: Config) -> keras.Model:
        with keras.StatelessScope(initialize_variables=False):
            return build_model(config, self._spec)

    def _train(self, config: Config) -> Any:
        """Of any seed."""
        key = fingerprint({name: config.section(name) for name in _BATCHES})
        if key not in self._batches:
            self._batches[key] = train_batches(config, self._context.inputs["prepare"])
        return self._batches[key]


@dataclass(frozen=True)
class _Light:
    """A model that was built without weights; see `Candidate`."""

    structure: str
    numbers: Numbers
    initial: Initial


def _first_value(variable: Any) -> Callable[[], np.ndarray]:
    """What gives the first value of a variable that has none yet."""
    initializer, shape, dtype = variable._initializer, variable.shape, variable.dtype
    return lambda: np.asarray(initializer(shape, dtype=dtype))


def _are_equal(drawn: Initial, built: Initial) -> bool:
    """Not so where an initializer gives other numbers each time that it is asked."""
    return len(drawn) == len(built) and all(
        np.array_equal(*pair) for pair in zip(*map(_values, (drawn, built)), strict=True)
    )


def _values(initial: Initial) -> list[np.ndarray]:
    return [value() for value in initial]


def _seeded(seed: int, build: Any) -> keras.Model:
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(seed)
    return build()
