"""A population from its beginning to its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import tensorflow as tf

from pipeline.spec import Spec
from pipeline.training.population.candidate import Candidate
from pipeline.training.population.lane import Lane
from pipeline.training.population.part import Part
from pipeline.training.population.program import Form, Program
from pipeline.training.population.sources import Places, Source, dataset_of
from pipeline.training.population.state import form_of, settings_of
from pipeline.training.population.structure import has_convolutions
from pipeline.training.steps import in_memory


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
        self.steps_per_epoch = self.candidates[0].feed.steps_per_epoch
        self.num_steps = (self.total_epochs or self.epochs) * self.steps_per_epoch
        self._sources = [Source.of(candidate.feed) for candidate in self.candidates]
        self.validation_batches = in_memory(self.validation)
        self._parts: list[Part] = []
        self.lanes = self.lanes or [Lane(place, candidate) for place, candidate in enumerate(self.candidates)]

    def run(self) -> list[Lane]:
        """Trains all of them; the lanes are in the order of the candidates."""
        left = [lane for lane in self.lanes if not self._is_over(lane)]
        if self.together is False or (self.together is None and has_convolutions(self.candidates[0].model)):
            self._parts = [Part(self, [lane], stacked=False) for lane in left]
        else:
            by_step = {step: [lane for lane in left if lane.step == step] for step in {lane.step for lane in left}}
            self._parts = [Part(self, some, stacked=len(some) > 1) for some in by_step.values()]
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
        done = [self.epochs if self._is_over(lane) else lane.step / self.steps_per_epoch for lane in self.lanes]
        return float(sum(done))

    def _is_over(self, lane: Lane) -> bool:
        return lane.step >= self.epochs * self.steps_per_epoch or lane.is_over(self.patience)

    def _train(self, part: Part) -> bool:
        """Until its end, or until it is found to be better in parts, which are put in its place; False: time is up."""
        while part.lanes and part.step < self.epochs * self.steps_per_epoch:
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
        seeds = {repr(candidate.seeds) for candidate in mine}
        batches = {self._sources[lane.place] for lane in lanes}
        own = form_of(mine, stacked=stacked, same_seeds=len(seeds) == 1, same_batches=len(batches) == 1)
        common = ("smoothing", "l1", "l2", "proximal", "clips", *(["kinds"] if stacked else []))
        return replace(own, **{name: getattr(everyone, name) for name in common})

    def settings(self, lanes: Sequence[Lane], form: Form) -> dict[str, Any]:
        """Of some lanes."""
        places = Places.of([self._sources[lane.place] for lane in lanes])
        return settings_of([lane.candidate for lane in lanes], places, self.num_steps, form.kinds)

    def batches(self, lanes: Sequence[Lane], step: int) -> tf.data.Iterator:
        """The batches of some lanes from a step on, as `Program.steps` takes them."""
        return iter(dataset_of([self._sources[lane.place] for lane in lanes], self.epochs, step))
