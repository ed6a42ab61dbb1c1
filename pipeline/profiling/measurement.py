"""The feed alone, the model alone and both together on this machine, and what follows from it."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.components import optimizer_of, resolved
from pipeline.config import Config
from pipeline.config_sections import DEFAULT_EPOCHS
from pipeline.data.feed import Feed
from pipeline.data.sides import SIDES
from pipeline.data.store import Store
from pipeline.model_steps import build_model, train_batches
from pipeline.profiling.advice import Measured, Recommendation, recommendations
from pipeline.profiling.machine import Limits, limits
from pipeline.profiling.originals import Originals, originals
from pipeline.profiling.rates import Consume, Stream, feed_alone, from_memory, in_short_blocks, measure, training
from pipeline.profiling.shares import Share, shares, with_decoding
from pipeline.progress import Reporter
from pipeline.runs import read_json
from pipeline.spec import Spec

# Of all seconds: for each of the feed, the model and both; each step of the feed; each number of threads; each limit of
# the machine.
_RATE, _STEP, _THREADS, _LIMIT = 0.4, 0.2, 0.2, 0.05


@dataclass(frozen=True)
class Profile:
    """What `pipeline profile` found; rates in rows per second, medians of several rounds.

    Attributes:
      feed, model, both: alone, alone, and together as `fit` runs them.
      row_bytes: of a row of the store.
      batch_size: rows of a step.
      decodes: whether the feed decodes images at every read, and does not gather pixels.
      steps: of the feed, each with its share of the feed's time.
      limits: of the machine.
      recommended: keys of the config.
    """

    feed: float
    model: float
    both: float
    row_bytes: float
    batch_size: int
    decodes: bool
    steps: list[Share]
    limits: Limits
    recommended: list[Recommendation]

    @property
    def starves(self) -> bool:
        """Whether the model waits for batches."""
        return self.feed < self.model

    @property
    def slowest(self) -> Share:
        """The step of the feed that takes most of its time."""
        return max(self.steps, key=lambda step: step.share)

    @property
    def verdict(self) -> str:
        """Who waits for whom, and by how much."""
        reached = f"In fit the model reaches {self.both:,.0f}, {min(self.both / self.model, 1):.0%} of its speed."
        if not self.starves:
            return (
                f"The feed is {self.feed / self.model:.3g} times faster than the model: it gives {self.feed:,.0f} "
                f"rows/s, the model takes {self.model:,.0f}. {reached}"
            )
        return (
            f"The model starves: the feed gives {self.feed:,.0f} rows/s, the model takes {self.model:,.0f}, "
            f"{self.model / self.feed:.3g} times as many. {reached} The slow step is {self.slowest.step}, "
            f"{self.slowest.share:.0%} of the feed's time."
        )

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        own = {"starves": self.starves, "verdict": self.verdict, "slowest": self.slowest.step}
        return {**own, **asdict(self)}


def profile(config: Config, ingested: Path, prepared: Path, reporter: Reporter, seconds: float) -> Profile:
    """Measures them, and what the recommendations need.

    Args:
      config: of the run.
      ingested, prepared: the artifacts of these stages.
      reporter: for progress.
      seconds: for the feed, the model and both; the rest takes about as long again.
    """
    spec, images = Spec.from_json(read_json(prepared / "spec.json")), originals(ingested / "rows.arrow")
    reporter.note("the limits of this machine")
    machine = _limits(prepared, spec, images, seconds * _LIMIT)
    feed = train_batches(config, prepared).feed
    reporter.note("feed alone, model alone and both take turns")
    rates = _rates(config, feed, spec, seconds * _RATE)
    reporter.note("the feed without its last steps")
    parts = shares(feed, seconds * _STEP)
    decodes = config.prepare.cache == "encoded" and machine.decode_images_all is not None
    if decodes and machine.decode_images_all is not None:
        parts = with_decoding(parts, images.columns * 1e6 / machine.decode_images_all)
    measured = Measured(
        feed=rates["feed"],
        model=rates["model"],
        both=rates["both"],
        threads=_with_threads(feed, machine, seconds * _THREADS) if rates["feed"] < rates["model"] else {},
        one_call=rates.get("one call"),
        limits=machine,
        num_rows=sum(len(Store(prepared / side)) for side in SIDES),
        pixels=spec.image_shape,
        original=images.median_size,
        store_bytes=feed.store.num_bytes,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    )
    alone, row_bytes = (measured.feed, measured.model, measured.both), feed.store.num_bytes / max(feed.num_rows, 1)
    found = recommendations(config, measured, prepared)
    return Profile(*alone, row_bytes, feed.batch_size, decodes, parts, machine, found)


def _limits(prepared: Path, spec: Spec, images: Originals, seconds: float) -> Limits:
    shape = None
    if spec.image_shape:
        height, width, channels = spec.image_shape
        shape = height, width, 3 if channels // max(images.columns, 1) >= 3 else 1
    return limits(Store(prepared / "train"), images.encoded, shape, seconds)


def _rates(config: Config, feed: Feed, spec: Spec, seconds: float) -> dict[str, float]:
    """Of the feed, the model and both; and "one call", where the config wants its calls shorter."""
    calls = None if config.feed.steps_per_call == "auto" else config.feed.steps_per_call
    feed, train = (
        in_short_blocks(feed, seconds),
        _train(config, spec, feed.steps_per_epoch * (config.train.max_epochs or DEFAULT_EPOCHS)),
    )
    streams = {
        "feed": feed_alone(feed),
        "model": from_memory(feed, _in_calls(train, calls)),
        "both": training(feed, _in_calls(train, calls)),
    }
    return measure(streams if calls is None else {**streams, "one call": from_memory(feed, train)}, seconds)


def _train(config: Config, spec: Spec, num_steps: int) -> Consume:
    """The steps of `fit`, on a model of its own."""
    import keras
    import tensorflow as tf

    from pipeline.training.schedules import Progress
    from pipeline.training.steps import train_steps

    keras.utils.set_random_seed(config.seed)
    config = resolved(config, spec)
    model = build_model(config, spec)
    optimizer = optimizer_of(config).build(Progress.of_steps(num_steps))
    optimizer.build(model.trainable_variables)
    smoothing, precision = config.train.label_smoothing or 0.0, config.train.precision
    steps = train_steps(model, spec, optimizer, label_smoothing=smoothing, precision=precision)
    return lambda batches, count: steps(batches, tf.constant(count), tf.constant(0.0, tf.float64)).loss.numpy()


def _in_calls(train: Consume, steps_per_call: int | None) -> Consume:
    """Many steps in calls of a fixed number, as the config may want it."""
    if steps_per_call is None:
        return train

    def consume(batches: Any, count: int) -> None:
        for start in range(0, count, steps_per_call):
            train(batches, min(steps_per_call, count - start))

    return consume


def _with_threads(feed: Feed, machine: Limits, seconds: float) -> dict[int, float]:
    """The feed's rate by the number of its threads."""
    short, counts = in_short_blocks(feed, seconds), [machine.cores * times for times in (1, 2, 4)]
    tried: dict[str, Stream] = {str(count): feed_alone(replace(short, threads=count)) for count in counts}
    return {int(count): rate for count, rate in measure(tried, seconds, rounds=1).items()}
