"""Lanes of a population that are trained together: one part of it, or each lane by itself."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from pipeline.training.population import wrong
from pipeline.training.population.lane import Lane
from pipeline.training.population.program import Tree
from pipeline.training.population.state import beginning, stacked, unstacked
from pipeline.training.steps import Pace, no_validation_weight

if TYPE_CHECKING:
    from pipeline.training.population.run import Population

# What could be saved must be more than what measuring costs: a graph for one trial, and some steps of it.
_WORTH_MEASURING = 10.0
_MEASURED_SECONDS, _MEASURED_STEPS = 0.2, 8
_CLEARLY = 0.8
# Trials that are over leave the others when it saves so many seconds: the others then need a graph of their own.
_WORTH_LEAVING = 1.5


class Part:
    """Lanes that are trained together, and where they are."""

    def __init__(self, of: Population, lanes: list[Lane], *, stacked: bool) -> None:
        self.of, self.lanes, self.step = of, lanes, lanes[0].step
        self.form = of.form(lanes, stacked=stacked)
        self.program = of.program(self.form)
        self._settings = of.settings(lanes, self.form)
        self._state: Tree = {}
        self._tensors: Tree = {}
        self._iterator: tf.data.Iterator | None = None  # a part that waits takes no memory
        self._pace, self._measured = Pace(), len(lanes) == 1 or of.together is not None

    def advance(self) -> bool:
        """One call into the graph, and the end of the epoch if it is reached; whether it was a call to measure by."""
        per_epoch, started = self.of.steps_per_epoch, time.perf_counter()
        if self._iterator is None:
            self._begin()
        count = self._pace.steps(self.step, (self.step // per_epoch + 1) * per_epoch)
        with _quiet_conversion():
            self._state = self.program.steps(self._iterator, count, self._state, self._tensors)
            self._state["loss"].numpy()  # and only now the call has ended
        measured = self._pace.seconds_per_step is not None and count >= _MEASURED_STEPS
        self._pace.took(count)
        self.step += count
        if self.step % per_epoch == 0:
            self._end_epoch()
        for lane in self.lanes:
            lane.step = self.step
            lane.seconds += (time.perf_counter() - started) / len(self.lanes)
            lane.together = max(lane.together, len(self.lanes))
        self._remove()
        return measured

    def is_better_alone(self) -> bool:
        """Whether one trial after another would be quicker; measured once, if there is enough left to save."""
        per_step = self._pace.seconds_per_step or 0.0
        if self._measured or self._seconds_left() < _WORTH_MEASURING or not self.lanes:
            return False
        self._measured = True
        self.save_states()
        alone = Part(self.of, self.lanes[:1], stacked=False).seconds_per_step()
        return len(self.lanes) * alone < _CLEARLY * per_step

    def seconds_per_step(self) -> float:
        """How long a step takes; the lanes are not touched."""
        self._begin()
        count, state, left = 1, self._state, self.of.epochs * self.of.steps_per_epoch - self.step
        while True:
            started = time.perf_counter()
            with _quiet_conversion():
                state = self.program.steps(self._iterator, count, state, self._tensors)
                state["loss"].numpy()
            seconds, left = time.perf_counter() - started, left - count
            if count > 1 and (seconds > _MEASURED_SECONDS / 2 or left < 4 * count):
                return seconds / count
            count = 2 if count == 1 else 4 * count

    def alone(self) -> list[Part]:
        """Every lane by itself, from where it is."""
        self.save_states()
        return [Part(self.of, [lane], stacked=False) for lane in self.lanes]

    def save_states(self) -> None:
        """Every lane gets its state; those that left have theirs."""
        if self._iterator is not None and self.lanes:
            for lane, state in zip(self.lanes, self._unstacked(), strict=True):
                lane.state = state

    def leave(self, places: list[int]) -> None:
        """Takes lanes out, with the state that they have."""
        self.save_states()
        kept = [place for place in range(len(self.lanes)) if place not in places]
        self.lanes = [self.lanes[place] for place in kept]
        if not places or not kept:
            return
        before = self.form
        self.form = self.of.form(self.lanes, stacked=before.stacked)
        self.program = self.of.program(self.form)
        self._settings = self.of.settings(self.lanes, self.form)
        self._set_state([lane.state for lane in self.lanes if lane.state is not None])
        self._set_factors()
        if not before.same_batches:  # of fewer feeds, perhaps
            self._iterator = self.of.batches(self.lanes, self.step)

    def _begin(self) -> None:
        self._set_state([lane.state or beginning(lane.candidate, self.program) for lane in self.lanes])
        self._set_factors()
        self._iterator = self.of.batches(self.lanes, self.step)

    def _set_state(self, states: list[dict[str, Any]]) -> None:
        self._state = stacked(states, self.form, self.step)

    def _set_factors(self) -> None:
        self._settings["factor"] = np.array([lane.factor() for lane in self.lanes], np.float32)
        self._tensors = tf.nest.map_structure(tf.constant, self._settings)
        segments = self.program.layout.segments  # once, and not at every step
        penalties = [name for name in ("l1", "l2", "proximal") if getattr(self.form, name)]
        self._tensors["rows"] = {name: tf.gather(self._tensors[name], segments, axis=1) for name in penalties}

    def _unstacked(self) -> list[dict[str, Any]]:
        return unstacked(self._state, self.form)

    def _end_epoch(self) -> None:
        losses, weights = self._validation_losses(), self._state["own"]["weights"]
        finite = tf.reduce_all(tf.math.is_finite(weights), axis=1).numpy()
        for place, lane in enumerate(self.lanes):
            if not lane.is_over(self.of.patience):  # else it only waits to leave, and alone it would have ended
                lane.end_epoch(float(losses[place]), self._wrong(place, lane, bool(finite[place])))
        if any(lane.candidate.optimizer.schedule == "reduce_on_plateau" for lane in self.lanes):
            self._set_factors()

    def _validation_losses(self) -> np.ndarray:
        with _quiet_conversion():
            found = [self.program.validation(batch, self._state) for batch in self.of.validation_batches]
        rows = sum(float(weight) for _, weight in found)
        if rows == 0:
            raise no_validation_weight()
        losses: np.ndarray = sum(total.numpy() for total, _ in found) / rows
        return losses

    def _wrong(self, place: int, lane: Lane, is_finite: bool) -> str | None:
        """What is no number in a lane; None: everything is one."""
        state, of = self._state, self.of
        bad = int(state["bad"][place])
        if bad >= 0:
            loss, before = (float(state[name][place]) for name in ("loss", "before"))
            return wrong.of_loss(lane.candidate, loss, before, bad, of.num_steps)
        if is_finite:
            return None
        row, steps = state["own"]["weights"][place].numpy(), (self.step - of.steps_per_epoch, self.step - 1)
        return wrong.of_weights(lane.candidate, self.program.layout, row, steps, of.num_steps)

    def _remove(self) -> None:
        """Lanes that are over leave, when that saves more than the graph for those that are left costs."""
        over = [place for place, lane in enumerate(self.lanes) if lane.is_over(self.of.patience)]
        saved = self._seconds_left() * len(over) / len(self.lanes)
        if len(over) == len(self.lanes) or saved > _WORTH_LEAVING:
            self.leave(over)

    def _seconds_left(self) -> float:
        return (self.of.epochs * self.of.steps_per_epoch - self.step) * (self._pace.seconds_per_step or 0.0)


@contextmanager
def _quiet_conversion() -> Iterator[None]:
    """Without TensorFlow's warnings that it runs some operations one trial after another: that is measured here."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
