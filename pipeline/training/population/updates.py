"""The optimizers' steps for many trials at once: the formulas of TensorFlow's kernels with a number a trial each.

All of it is one fused loop over [trials, weights], by XLA: written as TensorFlow operations, Adam alone goes over the
weights a dozen times, and took a third of a step. Where trials have different methods, the step of each method is
computed for all of them, and each trial takes its own: that is cheaper than to part them, and the program is the same
however many of each there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from pipeline.training.optimizers import SGD, Adagrad, Adam, AdamW

Slots = list[tf.Tensor]


class Coefficients(NamedTuple):
    """Numbers of trials, float32 [trials] each.

    Attributes:
      rate: the learning rate at the top of its schedule.
      first, second: beta_1 and beta_2 of Adam; the momentum of SGD, and 1 where it is Nesterov's.
      epsilon: added to the root.
      decay: of the weights, as AdamW has it.
      clip: the largest norm of the gradient; infinite: any.
    """

    rate: Any
    first: Any
    second: Any
    epsilon: Any
    decay: Any
    clip: Any


class Step(NamedTuple):
    """What a step needs besides the weights.

    Attributes:
      rate: float32 [trials], of this step.
      number: float32 [], of the step, counted from 1.
      kind: int32 [trials], the place of its method in the form's `kinds`.
      of: the trials' coefficients.
      l1, l2, proximal: float32 [trials, weights]; None where no trial has one.
      ema: float32 [trials], the share of the average that this step replaces; None where no trial averages.
      touched: bool [trials, weights], what may change; None: all. Of a table of embeddings only the rows in the batch.
    """

    rate: tf.Tensor
    number: tf.Tensor
    kind: tf.Tensor
    of: Coefficients
    l1: tf.Tensor | None
    l2: tf.Tensor | None
    proximal: tf.Tensor | None
    ema: tf.Tensor | None
    touched: tf.Tensor | None


def adam(weights: tf.Tensor, gradient: tf.Tensor, slots: Slots, step: Step) -> tuple[tf.Tensor, Slots]:
    """Adam, and AdamW but for its decay."""
    first, second = _column(step.of.first), _column(step.of.second)
    m = slots[0] + (gradient - slots[0]) * (1 - first)
    v = slots[1] + (tf.square(gradient) - slots[1]) * (1 - second)
    rate = _column(step.rate) * tf.sqrt(1 - tf.pow(second, step.number)) / (1 - tf.pow(first, step.number))
    return weights - rate * m / (tf.sqrt(v) + _column(step.of.epsilon)), [m, v]


def sgd(weights: tf.Tensor, gradient: tf.Tensor, slots: Slots, step: Step) -> tuple[tf.Tensor, Slots]:
    """With momentum, Nesterov's or plain."""
    momentum, change = _column(step.of.first), _column(step.rate) * gradient
    moved = slots[0] * momentum - change
    ahead = tf.where(_column(step.of.second) > 0, moved * momentum - change, moved)
    return weights + ahead, [moved]


def adagrad(weights: tf.Tensor, gradient: tf.Tensor, slots: Slots, step: Step) -> tuple[tf.Tensor, Slots]:
    """Adagrad."""
    sums = slots[0] + tf.square(gradient)
    return weights - _column(step.rate) * gradient / (tf.sqrt(sums) + _column(step.of.epsilon)), [sums]


class Kind(NamedTuple):
    """A method, for all optimizers that it is the step of.

    Attributes:
      apply: weights, gradient, slots and step -> weights and slots; all but the step [trials, weights].
      num_slots: that it keeps.
    """

    apply: Callable[..., tuple[tf.Tensor, Slots]]
    num_slots: int


KINDS = {"adam": Kind(adam, 2), "sgd": Kind(sgd, 1), "adagrad": Kind(adagrad, 1)}


def kind_of(optimizer: Any) -> str | None:
    """The name of its method; None where it is not one of ours.

    >>> kind_of(AdamW(1e-3)), kind_of("Lion")
    ('adam', None)
    """
    names: dict[type, str] = {Adam: "adam", AdamW: "adam", SGD: "sgd", Adagrad: "adagrad"}
    return names.get(type(optimizer))


def coefficients_of(optimizer: Any) -> Coefficients:
    """Those of one of our optimizers.

    >>> coefficients_of(SGD(0.1, nesterov=False)).first
    0.9
    """
    clip = np.inf if optimizer.clip_norm is None else optimizer.clip_norm
    first = getattr(optimizer, "beta_1", getattr(optimizer, "momentum", 0.0))
    nesterov = float(getattr(optimizer, "nesterov", False) and first > 0)
    second = getattr(optimizer, "beta_2", nesterov)
    decay = getattr(optimizer, "weight_decay", 0.0)
    return Coefficients(optimizer.learning_rate, first, second, getattr(optimizer, "epsilon", 0.0), decay, clip)


def first_slots(optimizer: Any, num_weights: int) -> list[np.ndarray]:
    """What an optimizer keeps at the beginning, float32 [weights] each."""
    start = getattr(optimizer, "initial_accumulator_value", 0.0)
    return [np.full(num_weights, start, np.float32) for _ in range(KINDS[str(kind_of(optimizer))].num_slots)]


def num_slots(kinds: Sequence[str]) -> int:
    """That a trial of any of these methods needs."""
    return max(KINDS[kind].num_slots for kind in kinds)


def update_of(kinds: Sequence[str], decays: np.ndarray, *, clips: bool) -> Callable[..., Any]:
    """One step of all trials.

    Args:
      kinds: of `KINDS`, all that occur.
      decays: bool [weights], whether AdamW's decay is for it.
      clips: whether some trial's gradients are clipped.

    Returns:
      (weights, gradient, slots, average or None, step) -> weights, slots, average and penalties: [trials, weights], but
      the penalties float32 [trials], of the weights before the step.
    """

    def update(weights: tf.Tensor, gradient: tf.Tensor, slots: Slots, average: Any, step: Step) -> Any:
        gradient, penalty = _with_penalties(weights, gradient, step)
        gradient = _clipped(gradient, step.of.clip) if clips else gradient
        kept = tf.where(decays, 1 - _column(step.rate * step.of.decay), 1.0)
        new, new_slots = _of_its_kind(kinds, weights * kept, gradient, slots, step)
        if step.touched is not None:
            new = tf.where(step.touched, new, weights)
            new_slots = [tf.where(step.touched, *pair) for pair in zip(new_slots, slots, strict=True)]
        if average is not None:
            average += _column(step.ema) * (new - average)
        if step.proximal is not None:
            threshold = step.proximal * _column(step.rate)
            new = tf.where(threshold > 0, tf.sign(new) * tf.maximum(tf.abs(new) - threshold, 0.0), new)
        return new, new_slots, average, penalty

    return tf.function(update, jit_compile=True, autograph=False)


def _of_its_kind(
    kinds: Sequence[str], weights: tf.Tensor, gradient: tf.Tensor, slots: Slots, step: Step
) -> tuple[tf.Tensor, Slots]:
    """Each trial's step by its own method."""
    new, new_slots = KINDS[kinds[0]].apply(weights, gradient, slots, step)
    new_slots = [*new_slots, *slots[len(new_slots) :]]
    for place, kind in enumerate(kinds[1:], start=1):
        is_mine = _column(step.kind == place)
        own, own_slots = KINDS[kind].apply(weights, gradient, slots, step)
        new = tf.where(is_mine, own, new)
        pairs = zip([*own_slots, *slots[len(own_slots) :]], new_slots, strict=True)
        new_slots = [tf.where(is_mine, *pair) for pair in pairs]
    return new, new_slots


def _with_penalties(weights: tf.Tensor, gradient: tf.Tensor, step: Step) -> tuple[tf.Tensor, tf.Tensor]:
    """The gradient with that of the penalties, and what they add to the loss, float32 [trials]."""
    penalties = []
    if step.l1 is not None:
        penalties.append(step.l1 * tf.abs(weights))
        gradient += step.l1 * tf.sign(weights)
    if step.l2 is not None:
        penalties.append(step.l2 * tf.square(weights))
        gradient += 2.0 * step.l2 * weights
    if not penalties:
        return gradient, tf.zeros(tf.shape(weights)[:1])
    return gradient, tf.reduce_sum(sum(penalties), axis=1)  # one sum: to add up is slower than all the rest


def _clipped(gradient: tf.Tensor, clip: tf.Tensor) -> tf.Tensor:
    """Scaled so that each trial's norm is at most its own."""
    norm = tf.sqrt(tf.reduce_sum(tf.square(gradient), axis=1, keepdims=True))
    return tf.where(norm > _column(clip), gradient * (_column(clip) / norm), gradient)


def _column(values: tf.Tensor) -> tf.Tensor:
    return values[:, tf.newaxis]
