"""Trials at their beginning. What several have in common is made once: initial weights, and batches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras

from pipeline.components import optimizer_of, resolved
from pipeline.config import Config, fingerprint
from pipeline.context import Context
from pipeline.model_steps import build_model, train_batches
from pipeline.spec import Spec
from pipeline.training.population import Candidate
from pipeline.training.population.structure import numbers_of, structure_of

# What the batches of a trial depend on.
_BATCHES = ("seed", "train.batch_size", "train.epochs", "train.augment", "train.resample", "train.class_weight")


class Beginnings:
    """Makes candidates.

    To draw initial weights takes most of the time of building a small model, and they are the same for the same layers
    and the same seed. So each model is first built without weights, which says what layers it has.

    Args:
      context: of the stage.
      spec: of the data.
    """

    def __init__(self, context: Context, spec: Spec) -> None:
        self._context, self._spec = context, spec
        self._known: dict[tuple[str, int], Candidate] = {}
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
        }
        light = self._without_weights(config)
        key = light and (light[0], config.seed)
        if key is None or light is None or key not in self._known:
            model = _seeded(config.seed, lambda: build_model(config, self._spec))
            found = Candidate.of(model, **own)
            if found.structure is not None and key is not None:
                self._known[key] = found
            return found
        return replace(self._known[key], **own, numbers=light[1])

    def _without_weights(self, config: Config) -> tuple[str, Any] | None:
        """The structure and the numbers; None where it cannot be stacked, or built like that."""
        try:
            model = _seeded(config.seed, lambda: self._lightly_built(config))
            structure = structure_of(model)
            return None if structure is None else (structure, numbers_of(model))
        except Exception:  # built with its weights it shows what is wrong, if anything is
            return None
        finally:
            keras.backend.clear_session(free_memory=False)  # else Keras would draw the weights later on

    def _lightly_built(self, config: Config) -> keras.Model:
        with keras.StatelessScope(initialize_variables=False):
            return build_model(config, self._spec)

    def _train(self, config: Config) -> Any:
        key = fingerprint({name: config.section(name) for name in _BATCHES})
        if key not in self._batches:
            self._batches[key] = train_batches(config, self._context.inputs["prepare"])
        return self._batches[key]


def _seeded(seed: int, build: Any) -> keras.Model:
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(seed)
    return build()
