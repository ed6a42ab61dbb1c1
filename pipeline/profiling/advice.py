"""What would make a training faster, each with its reason and what it would gain."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import Config
from pipeline.profiling.machine import Limits

# What gains less is within what a busy machine does to a measurement.
LEAST_GAIN = 1.2
# Pixels are made up, not seen, where images were enlarged to more than this multiple of what they had.
_ENLARGED = 1.2
# Of the free disk at most so much is asked for.
_DISK_SHARE = 0.8


@dataclass(frozen=True)
class Recommendation:
    """A key of the config that should have another value.

    Attributes:
      key: dotted.
      value: as it is written in TOML.
      reason: what was measured.
      gain: how many times faster the training would be, about.
    """

    key: str
    value: Any
    reason: str
    gain: float


@dataclass(frozen=True)
class Measured:
    """What advice is taken from; rows per second where nothing else is said.

    Attributes:
      feed, model, both: alone, alone, and together as `fit` runs them.
      threads: the feed's rate with other numbers of threads, by their number; empty where it was not tried.
      one_call: the model's rate where all steps are one call; None: they are.
      limits: of the machine.
      num_rows: of all sides.
      pixels: (height, width, channels) of a prepared image, or None.
      original: (height, width) of the images on disk, the median; None: there are none.
      store_bytes: of the train store.
      memory_bytes: of the machine.
    """

    feed: float
    model: float
    both: float
    threads: dict[int, float]
    one_call: float | None
    limits: Limits
    num_rows: int
    pixels: tuple[int, int, int] | None
    original: tuple[int, int] | None
    store_bytes: int
    memory_bytes: int

    @property
    def starves(self) -> bool:
        """Whether the model waits for batches."""
        return self.feed < self.model


def recommendations(config: Config, measured: Measured, directory: Path) -> list[Recommendation]:
    """Those that gain enough, the largest gain first.

    Args:
      config: of the run.
      measured: on this machine.
      directory: of the run, whose disk is asked for its free space.
    """
    found = [
        *_threads(config, measured),
        *_steps_per_call(config, measured),
        *_cache(config, measured, directory),
        *_image_size(measured),
    ]
    return sorted((one for one in found if one.gain >= LEAST_GAIN), key=lambda one: -one.gain)


def _threads(config: Config, measured: Measured) -> Iterator[Recommendation]:
    if not measured.starves or not measured.threads:
        return
    best = max(measured.threads.values())
    # The fewest that are nearly the best.
    count, rate = min((item for item in measured.threads.items() if item[1] > 0.9 * best), default=(0, 0.0))
    now = "as many as there are cores" if config.feed.threads is None else f"{config.feed.threads}"
    reason = f"the feed gives {rate:,.0f} rows/s with this, {measured.feed:,.0f} with {now}"
    if count != config.feed.threads:
        yield Recommendation("feed.threads", count, reason, min(rate, measured.model) / measured.both)


def _steps_per_call(config: Config, measured: Measured) -> Iterator[Recommendation]:
    if measured.one_call is None:
        return
    reason = (
        f"the model takes {measured.one_call:,.0f} rows/s where many steps are one call into the graph, "
        f"{measured.model:,.0f} where it is {config.feed.steps_per_call}"
    )
    yield Recommendation("feed.steps_per_call", "auto", reason, min(measured.feed, measured.one_call) / measured.both)


def _cache(config: Config, measured: Measured, directory: Path) -> Iterator[Recommendation]:
    cache, decode, shape = config.prepare.cache, measured.limits.decode_images_all, measured.pixels
    if shape is None or decode is None:
        return
    row_bytes = shape[0] * shape[1] * shape[2]
    needed, free = row_bytes * measured.num_rows, shutil.disk_usage(directory).free
    if cache == "encoded" and measured.starves and needed < _DISK_SHARE * free:
        # Pixels in memory are gathered about as fast as memory is copied; beyond it they are read from the disk.
        fits = needed < _DISK_SHARE * measured.memory_bytes
        source = measured.limits.memory_copy_bytes / 4 if fits else (measured.limits.disk_bytes or 0.0)
        reason = (
            f"every epoch decodes each image again, at most {decode:,.0f} a second on this machine; the pixels of all "
            f"would take {needed / 1e9:.2g} GB of the {free / 1e9:.2g} GB that are free on the disk"
        )
        yield Recommendation("prepare.cache", "pixels", reason, min(source / row_bytes, measured.model) / measured.both)
    disk = measured.limits.disk_bytes
    if cache == "pixels" and measured.starves and disk and measured.store_bytes > measured.memory_bytes:
        reason = (
            f"the pixels ({measured.store_bytes / 1e9:.3g} GB) do not fit into memory and are read from the disk, "
            f"{disk / row_bytes:,.0f} images/s; decoding does {decode:,.0f}"
        )
        yield Recommendation("prepare.cache", "encoded", reason, min(decode, measured.model) / measured.both)


def _image_size(measured: Measured) -> Iterator[Recommendation]:
    if measured.pixels is None or measured.original is None:
        return
    here, there = measured.pixels[0] * measured.pixels[1], measured.original[0] * measured.original[1]
    if here <= _ENLARGED * there:
        return
    reason = (
        f"images are {measured.original[0]} x {measured.original[1]} on disk (median) and prepared as "
        f"{measured.pixels[0]} x {measured.pixels[1]}: {here / there:.1f} times the pixels, and nothing more to see"
    )
    yield Recommendation("prepare.image_size", list(measured.original), reason, here / there)
