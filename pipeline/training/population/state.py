"""What moves in a population and what does not, as trees of tensors: made, cut, and put on disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.training.population.candidate import Candidate
from pipeline.training.population.program import Form, Program, Tree
from pipeline.training.population.sources import Places
from pipeline.training.population.updates import Coefficients, coefficients_of, first_slots, kind_of, num_slots
from pipeline.training.schedules import SCHEDULES


def form_of(candidates: Sequence[Candidate], *, stacked: bool, same_seeds: bool, same_batches: bool) -> Form:
    """The form of the graph of a population."""
    numbers = [candidate.numbers for candidate in candidates]
    return Form(
        kinds=tuple(sorted({str(kind_of(candidate.optimizer)) for candidate in candidates})),
        stacked=stacked,
        same_seeds=same_seeds,
        same_batches=same_batches,
        smoothing=any(candidate.label_smoothing for candidate in candidates),
        averages=candidates[0].ema is not None,
        l1=any(any(one.l1) for one in numbers),
        l2=any(any(one.l2) for one in numbers),
        proximal=any(any(one.proximal) for one in numbers),
        clips=any(candidate.optimizer.clip_norm is not None for candidate in candidates),
        precision=candidates[0].precision,
    )


def settings_of(
    candidates: Sequence[Candidate], places: Places, num_steps: int, kinds: Sequence[str]
) -> dict[str, Any]:
    """All numbers of the trials, as arrays; they do not move.

    Args:
      candidates: the trials.
      places: of their batches.
      num_steps: of a whole training, which the schedules go by.
      kinds: of the form.
    """
    numbers = [candidate.numbers for candidate in candidates]
    found = [coefficients_of(candidate.optimizer) for candidate in candidates]
    names = list(SCHEDULES)
    return {
        "kind": np.array([kinds.index(str(kind_of(candidate.optimizer))) for candidate in candidates], np.int32),
        "coefficients": {
            name: np.array([getattr(one, name) for one in found], np.float32) for name in Coefficients._fields
        },
        "l1": np.array([one.l1 for one in numbers], np.float32),
        "l2": np.array([one.l2 for one in numbers], np.float32),
        "proximal": np.array([one.proximal for one in numbers], np.float32),
        "rates": np.array([one.rates for one in numbers], np.float32),
        "smoothing": np.array([candidate.label_smoothing for candidate in candidates], np.float32),
        "ema": np.array([candidate.ema or 0.0 for candidate in candidates], np.float32),
        "schedule": np.array([names.index(candidate.optimizer.schedule) for candidate in candidates], np.int32),
        "factor": np.ones(len(candidates), np.float32),
        "batches": np.array(places.of_trials, np.int32),
        "num_seeds": np.array(places.num_seeds, np.int32),
        "per_step": np.float64(1 / max(num_steps, 1)),
    }


def beginning(candidate: Candidate, program: Program) -> dict[str, Any]:
    """One trial before its first step: arrays without the leading axis."""
    variables = list(program.model.variables)
    pairs = [(variable, value()) for variable, value in zip(variables, candidate.initial, strict=True)]
    trainable = {id(variable) for variable in program.model.trainable_variables}
    row = program.layout.row([value for variable, value in pairs if id(variable) in trainable])
    rest = [(variable, value) for variable, value in pairs if id(variable) not in trainable]
    own = {"weights": row, "slots": first_slots(candidate.optimizer, len(row))}
    if candidate.ema is not None:
        own["average"] = row
    return {
        "own": own,
        "other": [value for variable, value in rest if not program.is_seed(variable)],
        "seeds": [np.asarray(value, np.int64) for variable, value in rest if program.is_seed(variable)],
        "before": np.float32(0.0),
        "loss": np.float32(np.nan),
        "bad": np.int32(-1),
    }


def stacked(trials: Sequence[dict[str, Any]], form: Form, step: int) -> Tree:
    """The state of a population out of its trials'.

    Args:
      trials: as `beginning` and `unstacked` give them.
      form: of the graph.
      step: that all of them have done.
    """
    wanted = num_slots(form.kinds)
    rows = [{key: value for key, value in trial.items() if key != "seeds"} for trial in trials]
    rows = [{**row, "own": {**row["own"], "slots": _filled(row["own"], wanted)}} for row in rows]
    first = [tf.constant(value) for value in trials[0]["seeds"]]
    seeds = first if form.same_seeds else _stack([trial["seeds"] for trial in trials])
    return {**_stack(rows), "seeds": seeds, "step": tf.constant(step, tf.int32)}


def unstacked(state: Tree, form: Form) -> list[dict[str, Any]]:
    """The inverse: the trials, each by itself."""
    arrays = tf.nest.map_structure(lambda tensor: tensor.numpy(), state)
    rest = {key: value for key, value in arrays.items() if key not in ("seeds", "step")}
    found = []
    for place in range(len(arrays["bad"])):
        seeds = arrays["seeds"] if form.same_seeds else _at(arrays["seeds"], place)
        found.append({**_at(rest, place), "seeds": seeds})
    return found


def _filled(own: dict[str, Any], num_slots: int) -> list[np.ndarray]:
    """As many slots as the form has: one that a trial's optimizer does not use stays as it is."""
    more = [np.zeros_like(own["weights"])] * num_slots
    return [*own["slots"], *more][:num_slots]


def _stack(trees: Sequence[Any]) -> Any:
    return tf.nest.map_structure(lambda *parts: tf.constant(np.stack(parts)), *trees)


def _at(tree: Any, place: int) -> Any:
    return tf.nest.map_structure(lambda array: array[place], tree)
