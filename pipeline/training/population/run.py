"""A population from its beginning to its end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.spec import Spec
from pipeline.training.nonfinite import not_finite
from pipeline.training.population.candidate import Candidate
from pipeline.training.population.lane import Lane
from pipeline.training.population.program import Form, Program, Tree
from pipeline.training.population.state import (
    beginning,
    form_of,
    settings_of,
    stacked,
    unstacked,
)
from pipeline.training.population.structure import is_better_alone
from pipeline.training.steps import Pace, in_memory

# What could be saved must be more than what measuring costs: a graph for one trial, and some steps of it.
_WORTH_MEASURING = 10.0
_MEASURED_SECONDS, _MEASURED_STEPS = 0.2, 8
_CLEARLY = 0.8
# Trials that are over leave the others when it saves so many seconds: the others then need a graph of their own.
_WORTH_LEAVING = 1.5


@dataclass
class Population:
    """Trains candidates of one group (see `group_key`) at once, or one by one where that is measured to be quicker.

    A trial ends with the same losses whichever trials it is trained beside, up to the rounding of matrix products: its
    batches, its initial weights and the numbers that dropout draws are functions of its own seed and of the step.
    It is also what `pipeline.training.fit` gives for it.

    Args:
      candidates: of one group.
      spec: of the data.
      validation: every validation row once.
      epochs: to train until.
      total_epochs: of a whole training, by which the schedules go; None: `epochs`.
      patience: epochs without a lower validation loss after which a trial is over; None: never.
      lanes: to go on with, as `run` or `snapshot` gave them; none: all begin.
      on_call: called with the population after every call into the graph, half a second or so; it returns whether to
        go on.
      programs: kept from one population of the group to the next, so that a form is traced once.
      together: whether they are trained at once; None: it is measured.

    Example:
      >>> from pipeline import data, models
      >>> from pipeline.training import SGD
      >>> splits = data.prepare(data.sources.ScikitLearn("iris"))
      >>> train = data.make_train(splits.train, batch_size=32, seed=7, epochs=2)
      >>> model = models.mlp(splits.spec, width=4, dropout=0.0)
      >>> found = [Candidate.of(model, SGD(rate), train) for rate in (0.1, 0.01)]
      >>> lanes = Population(found, splits.spec, data.make_eval(splits.validation), epochs=2).run()
      >>> [len(lane.history) for lane in lanes]
      [2, 2]
    """

    candidates: Sequence[Candidate]
    spec: Spec
    validation: tf.data.Dataset
    epochs: int
    total_epochs: int | None = None
    patience: int | None = None
    lanes: list[Lane] = field(default_factory=list)
    on_call: Callable[[Population], bool] = lambda population: True
    programs: dict[Form, Program] = field(default_factory=dict)
    together: bool | None = None

    def __post_init__(self) -> None:
        train = self.candidates[0].train.feed  # type: ignore[attr-defined]
        self._steps_per_epoch = train.steps_per_epoch
        self._num_steps = (self.total_epochs or self.epochs) * self._steps_per_epoch
        feeds: dict[str, int] = {}
        self._feed_of = [feeds.setdefault(_feed_key(one.train), len(feeds)) for one in self.candidates]
        self._feeds = [self.candidates[self._feed_of.index(place)].train for place in feeds.values()]
        self._batches = in_memory(self.validation)
        self._parts: list[_Part] = []
        self.lanes = self.lanes or [Lane(place, candidate) for place, candidate in enumerate(self.candidates)]

    def run(self) -> list[Lane]:
        """Trains all of them; the lanes are in the order of the candidates."""
        left = [lane for lane in self.lanes if not self._is_over(lane)]
        if self.together is False or (self.together is None and is_better_alone(self.candidates[0].model)):
            self._parts = [_Part(self, [lane], stacked=False) for lane in left]
        else:
            by_step = {step: [lane for lane in left if lane.step == step] for step in {lane.step for lane in left}}
            self._parts = [_Part(self, some, stacked=len(some) > 1) for some in by_step.values()]
        while self._parts and self._train(self._parts[0]):
            self._parts.pop(0)
        for part in self._parts:  # there was no time for them
            part.leave(list(range(len(part.lanes))))
        return self.lanes

    def snapshot(self) -> list[Lane]:
        """All lanes as they are now, with their states, to be saved."""
        for part in self._parts:
            part.save_states()
        return [replace(lane, history=list(lane.history)) for lane in self.lanes]

    @property
    def num_epochs(self) -> float:
        """How many are done or need not be done any more, of all lanes together."""
        done = [self.epochs if self._is_over(lane) else lane.step / self._steps_per_epoch for lane in self.lanes]
        return float(sum(done))

    def _is_over(self, lane: Lane) -> bool:
        return lane.step >= self.epochs * self._steps_per_epoch or lane.is_over(self.patience)

    def _train(self, part: _Part) -> bool:
        """Until its end, or until it is found to be better in parts, which are put in its place; False: time is up."""
        while part.lanes and part.step < self.epochs * self._steps_per_epoch:
            if part.advance() and part.is_better_alone():
                self._parts[1:1] = part.alone()
                return True
            if not self.on_call(self):
                return False
        part.leave(list(range(len(part.lanes))))
        return True

    def program(self, form: Form) -> Program:
        """Of a form, made once."""
        if form not in self.programs:
            self.programs[form] = Program(self.candidates[0].model, self.spec, form)
        return self.programs[form]

    def form(self, lanes: Sequence[Lane], *, stacked: bool) -> Form:
        """Of some lanes; the fewer forms there are, the fewer graphs are made."""
        mine = [lane.candidate for lane in lanes]
        everyone = form_of(self.candidates, stacked=stacked, same_seeds=True, same_batches=True)
        seeds = {str(self._seeds(candidate)) for candidate in mine}
        own = form_of(mine, stacked=stacked, same_seeds=len(seeds) == 1, same_batches=len(self._used(lanes)) == 1)
        common = ("smoothing", "l1", "l2", "proximal", "clips", *(["kinds"] if stacked else []))
        return replace(own, **{name: getattr(everyone, name) for name in common})

    def settings(self, lanes: Sequence[Lane], form: Form) -> dict[str, Any]:
        """Of some lanes."""
        used = self._used(lanes)
        places = [used.index(self._feed_of[lane.place]) for lane in lanes]
        return settings_of([lane.candidate for lane in lanes], places, self._num_steps, form.kinds)

    def batches(self, lanes: Sequence[Lane], step: int) -> tf.data.Iterator:
        """The batches of their feeds from a step on."""
        feeds = [self._feeds[place].feed for place in self._used(lanes)]  # type: ignore[attr-defined]
        found = [feed.dataset(self.epochs, first_step=step) for feed in feeds]
        return iter(found[0] if len(found) == 1 else tf.data.Dataset.zip(tuple(found)))

    def _used(self, lanes: Sequence[Lane]) -> list[int]:
        return sorted({self._feed_of[lane.place] for lane in lanes})

    def _seeds(self, candidate: Candidate) -> list[Any]:
        pairs = zip(candidate.model.variables, candidate.weights, strict=True)
        return [value.tolist() for variable, value in pairs if "seed_generator" in variable.path]


class _Part:
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
        per_epoch, started = self.of._steps_per_epoch, time.perf_counter()
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
        alone = _Part(self.of, self.lanes[:1], stacked=False).seconds_per_step()
        return len(self.lanes) * alone < _CLEARLY * per_step

    def seconds_per_step(self) -> float:
        """How long a step takes; the lanes are not touched."""
        self._begin()
        count, state, left = 1, self._state, self.of.epochs * self.of._steps_per_epoch - self.step
        while True:
            started = time.perf_counter()
            with _quiet_conversion():
                state = self.program.steps(self._iterator, count, state, self._tensors)
                state["loss"].numpy()
            seconds, left = time.perf_counter() - started, left - count
            if count > 1 and (seconds > _MEASURED_SECONDS / 2 or left < 4 * count):
                return seconds / count
            count = 2 if count == 1 else 4 * count

    def alone(self) -> list[_Part]:
        """Every lane by itself, from where it is."""
        self.save_states()
        return [_Part(self.of, [lane], stacked=False) for lane in self.lanes]

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
        with _quiet_conversion():
            found = [self.program.validation(batch, self._state) for batch in self.of._batches]
        losses = sum(total.numpy() for total, _ in found) / sum(float(weight) for _, weight in found)
        for place, lane in enumerate(self.lanes):
            if not lane.is_over(self.of.patience):  # else it only waits to leave, and alone it would have ended
                lane.end_epoch(float(losses[place]), self._wrong(place))
        self._state["total"] = tf.zeros_like(self._state["total"])
        if any(lane.candidate.optimizer.schedule == "reduce_on_plateau" for lane in self.lanes):
            self._set_factors()

    def _wrong(self, place: int) -> str | None:
        """What is no number in a lane; None: everything is one."""
        step = int(self._state["bad"][place])
        if step < 0:
            return None
        lane = self.lanes[place]
        optimizer, feed = lane.candidate.optimizer, lane.candidate.train.feed  # type: ignore[attr-defined]
        error = not_finite(
            float(self._state["loss"][place]),
            step=step + 1,
            epoch=step // self.of._steps_per_epoch + 1,
            before=float(self._state["before"][place]) if step else float("nan"),
            optimizer=type(optimizer).__name__,
            learning_rate=optimizer.learning_rate,
            batch=next(iter(feed.dataset(self.of.epochs, first_step=step).take(1)), None),
        )
        return str(error)

    def _remove(self) -> None:
        """Lanes that are over leave, when that saves more than the graph for those that are left costs."""
        over = [place for place, lane in enumerate(self.lanes) if lane.is_over(self.of.patience)]
        saved = self._seconds_left() * len(over) / len(self.lanes)
        if len(over) == len(self.lanes) or saved > _WORTH_LEAVING:
            self.leave(over)

    def _seconds_left(self) -> float:
        return (self.of.epochs * self.of._steps_per_epoch - self.step) * (self._pace.seconds_per_step or 0.0)


def _feed_key(train: tf.data.Dataset) -> str:
    feed: Any = train.feed  # type: ignore[attr-defined]
    return repr(
        [getattr(feed, name) for name in ("seed", "batch_size", "augment", "resample", "class_weight", "shard")]
    )


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
