"""The graph of a population: some steps of all its trials, and their losses on validation."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from pipeline.models.outputs import answer_losses, example_losses
from pipeline.spec import Spec
from pipeline.training.population.draws import drawn_beside
from pipeline.training.population.first import copying
from pipeline.training.population.layout import Layout
from pipeline.training.population.rates import dropping
from pipeline.training.population.sources import batches_of_trials
from pipeline.training.population.structure import seeds_of
from pipeline.training.population.updates import Coefficients, Step, update_of
from pipeline.training.precision import Precision, computing_in
from pipeline.training.schedules import SCHEDULES

# State and settings are plain trees of tensors, so that they can be handed in and out of a graph, cut and saved.
Tree = dict[str, Any]
_KEPT_GRAPHS = 6


@dataclass(frozen=True)
class Form:
    """What is written into the graph; everything else is a tensor.

    Attributes:
      kinds: of optimizers, all that occur.
      stacked: whether all trials are computed at once; else there is one.
      same_seeds: whether dropout draws the same numbers for all trials; they are drawn once then.
      same_batches: whether all trials see the same batches.
      smoothing, averages, l1, l2, proximal, clips: whether some trial has it.
      precision: of the steps.
    """

    kinds: tuple[str, ...]
    stacked: bool
    same_seeds: bool
    same_batches: bool
    smoothing: bool
    averages: bool
    l1: bool
    l2: bool
    proximal: bool
    clips: bool
    precision: Precision


class Program:
    """Steps and validation of a population.

    Args:
      model: one of the structure; its weights are not used.
      spec: of the data.
      form: see there.
    """

    def __init__(self, model: keras.Model, spec: Spec, form: Form) -> None:
        self.model, self.spec, self.form, self.layout = model, spec, form, Layout.of(model)
        self._seeds = seeds_of(model)
        self._update = update_of(form.kinds, self.layout.decays, clips=form.clips)
        self._traced: OrderedDict[Any, Any] = OrderedDict()

    def is_seed(self, variable: keras.Variable) -> bool:
        """Whether it is the state of a generator of random numbers."""
        return id(variable) in self._seeds

    def steps(self, batches: tf.data.Iterator, count: int, state: Tree, settings: Tree) -> Tree:
        """So many steps.

        Args:
          batches: of `dataset_of`.
          count: of steps.
          state, settings: as `state.py` makes them.

        Returns:
          The state after them.
        """
        arguments = (batches, tf.constant(count, tf.int32), state, settings)
        num_kinds = len(settings["num_seeds"])  # of batches
        result: Tree = self._graph(self._many, arguments, len(settings["factor"]), num_kinds)(*arguments)
        return result

    def validation(self, batch: tuple[Any, ...], state: Tree) -> tuple[tf.Tensor, tf.Tensor]:
        """Sums over the rows of a batch of weight times loss, float64 [trials], and of the weights, float64 []."""
        arguments = (batch, _rows(state, averaged=True), state["other"])
        sizes = tf.nest.map_structure(lambda tensor: tuple(tensor.shape), batch)
        found: tuple[tf.Tensor, tf.Tensor] = self._graph(
            self._validation_sums, arguments, len(arguments[1]), repr(sizes)
        )(*arguments)
        return found

    def _graph(self, function: Any, arguments: Any, *key: Any) -> Any:
        """Of so many trials. For a number that is written into it TensorFlow needs no gathering of each trial's part.

        Only the latest few are kept: of a search the graphs of larger populations are not needed any more.
        """
        if key not in self._traced:
            self._traced[key] = tf.function(function, autograph=False).get_concrete_function(*arguments)
        self._traced.move_to_end(key)
        while len(self._traced) > _KEPT_GRAPHS:
            self._traced.popitem(last=False)
        return self._traced[key]

    def _many(self, batches: tf.data.Iterator, count: tf.Tensor, state: Tree, settings: Tree) -> Tree:
        def one(done: tf.Tensor, state: Tree) -> tuple[tf.Tensor, Tree]:
            return done + 1, self._step(next(batches), state, settings)

        shapes = tf.nest.map_structure(lambda tensor: tensor.shape, (tf.zeros((), tf.int32), state))
        return tf.while_loop(lambda done, _: done < count, one, (0, state), shape_invariants=shapes)[1]

    def _step(self, batch: Any, state: Tree, settings: Tree) -> Tree:
        rows = _rows(state)
        weights = self.layout.variables(rows)
        with tf.GradientTape() as tape:
            tape.watch(weights)
            losses, other, seeds, named = self._losses(batch, weights, state, settings)
            total = tf.reduce_sum(losses)
        gradient = self.layout.rows(tape.gradient(total, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO))
        own, penalties = self._updated(gradient, named, state, settings)
        losses += penalties
        bad = tf.logical_and(state["bad"] < 0, tf.logical_not(tf.math.is_finite(losses)))
        return {
            "own": own,
            "other": other,
            "seeds": seeds,
            "step": state["step"] + 1,
            "before": tf.where(state["bad"] < 0, state["loss"], state["before"]),
            "loss": tf.where(state["bad"] < 0, losses, state["loss"]),
            "bad": tf.where(bad, state["step"], state["bad"]),
        }

    def _losses(
        self, batch: Any, weights: list[tf.Tensor], state: Tree, settings: Tree
    ) -> tuple[tf.Tensor, list[tf.Tensor], list[tf.Tensor], list[tf.Tensor]]:
        """Of every trial, without penalties, float32 [trials]; what else a step changes; the rows of tables it sees."""
        form = self.form
        own: Tree = {"weights": weights, "other": state["other"], "rates": settings["rates"]}
        own["zero"] = tf.zeros_like(settings["factor"])
        if form.smoothing:
            own["smoothing"] = settings["smoothing"]
        if not form.same_seeds:
            own["seeds"] = state["seeds"]
        if not form.same_batches:
            own["batch"] = batches_of_trials(batch, settings["num_seeds"], settings["batches"])

        def of_one(trial: Tree) -> Any:
            seeds = trial["seeds"] if "seeds" in trial else state["seeds"]
            return self._loss(trial.get("batch", batch), trial, seeds)

        losses, other, seeds, named = self._map(of_one, own)
        return losses, other, [seed[0] for seed in seeds] if form.same_seeds else seeds, named

    def _loss(self, batch: Any, trial: Tree, seeds: list[tf.Tensor]) -> tuple[tf.Tensor, Any, Any, list[tf.Tensor]]:
        """Of one trial, its new state, and the rows of tables that the batch names."""
        features, label, *weights = batch
        rates = tf.unstack(trial["rates"], num=trial["rates"].shape[0])
        precision = computing_in(self.model, self.form.precision)
        copies = copying(self.model, tf.nest.flatten(trial), trial["zero"]) if self.form.stacked else nullcontext()
        with precision, copies, dropping(self.model, rates), self.layout.naming(self.model) as named:
            logits, state, own = self.model.stateless_call(
                trial["weights"], self._merged(trial["other"], seeds), features, training=True, return_losses=True
            )
        if len(own) > sum(variable.regularizer is not None for variable in self.model.trainable_variables):
            raise ValueError("a layer adds losses of its own: the model must be trained alone")
        losses = example_losses(self.spec, label, tf.cast(logits, tf.float32), trial.get("smoothing", 0.0))
        return tf.reduce_mean(losses * weights[0] if weights else losses), *self._divided(state), named

    def _updated(
        self, gradient: tf.Tensor, named: list[tf.Tensor], state: Tree, settings: Tree
    ) -> tuple[Tree, tf.Tensor]:
        """Every trial's optimizer moves its weights."""
        form, own, rows = self.form, state["own"], settings["rows"]
        step = tf.cast(state["step"], tf.float32)
        regularized = (settings["l1"] + settings["l2"]) > 0 if form.l1 or form.l2 else None
        numbers = Step(
            rate=settings["coefficients"]["rate"] * _shares(state["step"], settings),
            number=step + 1.0,
            kind=settings["kind"],
            of=Coefficients(**settings["coefficients"]),
            l1=rows.get("l1"),
            l2=rows.get("l2"),
            proximal=rows.get("proximal"),
            ema=1.0 - tf.minimum(settings["ema"], step / (step + 9.0)) if form.averages else None,
            touched=self.layout.touched(named, regularized),
        )
        found = self._update(own["weights"], gradient, own["slots"], own.get("average"), numbers)
        weights, slots, average, penalties = found
        new = {"weights": weights, "slots": slots}
        return {**new, "average": average} if form.averages else new, penalties

    def _validation_sums(self, batch: tuple[Any, ...], rows: tf.Tensor, other: Any) -> tuple[tf.Tensor, tf.Tensor]:
        features, label, *weights = batch
        given = tf.cast(weights[0], tf.float64) if weights else tf.ones(tf.shape(label)[:1], tf.float64)
        none = [tf.zeros(2, tf.int64) for _ in self._seeds]  # nothing is drawn

        def of_one(trial: Tree) -> tf.Tensor:
            state = self._merged(trial["other"], none)
            logits, _ = self.model.stateless_call(trial["weights"], state, features, training=False)
            return tf.reduce_sum(given * tf.cast(answer_losses(self.spec, label, logits), tf.float64))

        return self._map(of_one, {"weights": self.layout.variables(rows), "other": other}), tf.reduce_sum(given)

    def _map(self, function: Callable[[Tree], Any], trials: Tree) -> Any:
        """Over the leading axis of a tree, at once or for the one trial that there is."""
        if self.form.stacked:
            with drawn_beside():
                return tf.vectorized_map(function, trials)
        found = function(tf.nest.map_structure(lambda tensor: tensor[0], trials))
        return tf.nest.map_structure(lambda tensor: tensor[tf.newaxis], found)

    def _merged(self, other: Sequence[tf.Tensor], seeds: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The model's non-trainable variables, in their order."""
        left, drawn = iter(other), iter(seeds)
        return [
            next(drawn) if self.is_seed(variable) else next(left) for variable in self.model.non_trainable_variables
        ]

    def _divided(self, state: Sequence[tf.Tensor]) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        pairs = list(zip(self.model.non_trainable_variables, state, strict=True))
        other = [value for variable, value in pairs if not self.is_seed(variable)]
        return other, [value for variable, value in pairs if self.is_seed(variable)]


def _rows(state: Tree, *, averaged: bool = False) -> tf.Tensor:
    """The weights of all trials, float32 [trials, weights]; where they are averaged, the averages."""
    found: tf.Tensor = state["own"].get("average" if averaged else "weights", state["own"]["weights"])
    return found


def _shares(step: tf.Tensor, settings: Tree) -> tf.Tensor:
    """The part of its top rate that each trial has at a step, float32 [trials]."""
    per_step = settings["per_step"]
    progress = tf.clip_by_value(tf.cast(step, tf.float64) * per_step, 0.0, 1.0)
    shares = tf.stack([schedule(progress, per_step) for schedule in SCHEDULES.values()])
    return tf.cast(tf.gather(shares, settings["schedule"]), tf.float32) * settings["factor"]
