"""The verdict names who really waits, and what is recommended really helps; a file that is edited stays its owner's."""

from __future__ import annotations

import doctest
import importlib
import io
import json
import shutil
import time
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from pipeline import inspection
from pipeline.config import Config, load_config
from pipeline.data.store import Store, StoreWriter
from pipeline.errors import ConfigError
from pipeline.plan import fingerprints
from pipeline.profile_table import show_changes, show_profile
from pipeline.profiling.advice import Measured, recommendations
from pipeline.profiling.machine import Limits, limits
from pipeline.profiling.originals import originals
from pipeline.profiling.toml_edit import Change, apply
from pipeline.progress import silent
from tests.helpers import undisturbed

SECONDS = 0.5
SLEEPY = '''
import time
from dataclasses import dataclass
from typing import ClassVar

import tensorflow as tf


@dataclass(frozen=True)
class Sleepy:
    """Takes its time with every row, as a step in plain Python may."""

    milliseconds: float = 2.0
    part: ClassVar[str] = "any"
    mixes: ClassVar[bool] = False

    def __call__(self, examples, keys):
        def sleep(keys):
            time.sleep(self.milliseconds / 1000 * len(keys))
            return keys

        with tf.control_dependencies([tf.numpy_function(sleep, [keys], tf.uint64)]):
            return examples.with_features(**{name: tf.identity(part) for name, part in examples.features.items()})
'''
TABLE = """# What a person wrote here stays.
source = { name = "ScikitLearn", dataset = "iris" } # flowers
label = "species"

[model] # small
name = "mlp"
width = 16

[train]
batch_size = 16
"""
LIMITS = Limits(2, 8e9, 1e8, 1000.0, 2000.0, 1e9)
MEASURED = Measured(1000.0, 5000.0, 900.0, {}, None, LIMITS, 10_000, None, None, 1 << 20, 8 << 30)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where a config is, and a person's own step."""
    folder = tmp_path_factory.mktemp("profile")
    (folder / "flowers.toml").write_text(TABLE)
    (folder / "sleepy_steps.py").write_text(SLEEPY)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        yield folder


def config_of(folder: Path, *overrides: str) -> Config:
    return load_config(folder / "flowers.toml", overrides)


def feed_of(config: Config) -> Any:
    from pipeline.model_steps import train_batches

    return train_batches(config, inspection.prepared(config, silent())["prepare"]).feed


def test_a_quick_feed_does_not_starve_the_model(folder: Path) -> None:
    def run() -> None:
        found = inspection.profile(config_of(folder, "model.width = 1024"), silent(), seconds=SECONDS)

        assert found.feed > found.model
        assert not found.starves
        assert "times faster than the model" in found.verdict
        assert found.both < found.feed
        assert [step.step for step in found.steps] == ["gather"]
        assert "feed.threads" not in [one.key for one in found.recommended]
        shown = io.StringIO()
        show_profile(found, Console(file=shown, highlight=False))
        assert found.verdict in shown.getvalue()
        assert "copy memory, one core" in shown.getvalue()

    undisturbed(run)


def test_a_slow_step_turns_the_verdict_and_is_named(folder: Path) -> None:
    """By the command line, which also writes what helps into the file, and nothing else."""
    from pipeline.cli import app

    def run() -> None:
        text = f'{TABLE}augment = [{{ name = "Noise", scale = 0.1 }}, "sleepy_steps:Sleepy"] # slow\n'
        (folder / "slow.toml").write_text(text)
        done = CliRunner().invoke(
            app, ["profile", "slow.toml", "--apply", "--json", "--quiet", "--seconds", str(SECONDS)]
        )
        assert done.exit_code == 0, done.output
        found = json.loads(done.stdout.splitlines()[-1])

        assert found["starves"]
        assert 100 < found["feed"] < 1600  # 500 rows/s a thread, however busy the machine is
        assert found["both"] < found["model"] / 2
        assert found["slowest"] == "Sleepy(milliseconds=2)"
        assert found["steps"][-1]["share"] > 0.6  # 0.99 on a quiet machine
        assert sum(step["share"] for step in found["steps"]) == pytest.approx(1)
        assert "The model starves" in found["verdict"]
        assert "Sleepy" in found["verdict"]
        (threads,) = [one for one in found["recommended"] if one["key"] == "feed.threads"]
        assert threads["value"] > found["limits"]["cores"]  # who sleeps needs no core
        assert threads["gain"] > 1.2
        assert found["applied"] == [{"key": "feed.threads", "old": None, "new": threads["value"]}]
        assert (folder / "slow.toml").read_text() == f"{text}\n[feed]\nthreads = {threads['value']}\n"

    undisturbed(run)


def test_short_calls_are_found_out(folder: Path) -> None:
    def run() -> None:
        found = inspection.profile(config_of(folder, "feed.steps_per_call = 1"), silent(), seconds=SECONDS)

        (one,) = [one for one in found.recommended if one.key == "feed.steps_per_call"]
        assert one.value == "auto"
        assert one.gain > 1.2

    undisturbed(run)


def test_images_larger_than_what_is_on_disk_are_found_out(folder: Path, tmp_path: Path) -> None:
    (folder / "digits.toml").write_text(
        'source = { name = "ScikitLearn", dataset = "digits", as_images = true }\nlabel = "digit"\n'
        "[prepare]\nimage_size = [32, 32]\n"
    )
    digits = load_config(folder / "digits.toml")
    made = inspection.prepared(digits, silent())
    images = originals(made["ingest"] / "rows.arrow", most=5)
    found = limits(Store(made["prepare"] / "train"), images.encoded, (32, 32, 1), 0.05)

    assert (images.columns, len(images.encoded), images.median_size) == (1, 5, (8, 8))
    assert found.decode_images is not None
    assert found.decode_images > 10
    large = replace(MEASURED, pixels=(32, 32, 1), original=images.median_size, feed=9000.0)
    (one,) = recommendations(digits, large, tmp_path)
    assert (one.key, one.value, one.gain) == ("prepare.image_size", [8, 8], 16)


@given(st.integers(1, 40))
@settings(max_examples=12, deadline=None)
def test_the_rows_of_a_stream_are_counted(folder: Path, steps: int) -> None:
    from pipeline.profiling.rates import _rows_of

    feed = feed_of(config_of(folder))
    sizes = [len(label) for _, label in feed.dataset(steps).take(steps).as_numpy_iterator()]

    assert _rows_of(feed, steps) == sum(sizes)


def test_shorter_blocks_hold_the_same_batches(folder: Path) -> None:
    from pipeline.profiling.rates import in_short_blocks

    feed = feed_of(config_of(folder, 'train.augment = ["Noise", "sleepy_steps:Sleepy"]'))
    short = in_short_blocks(feed, 0.5)

    assert short is not feed
    assert short.steps_per_block < feed.steps_per_block
    pairs = zip(feed.dataset(2).as_numpy_iterator(), short.dataset(2).as_numpy_iterator(), strict=True)
    for (features, label), (others, other) in pairs:
        assert (label == other).all()
        assert all((features[name] == others[name]).all() for name in features)


def test_a_known_speed_is_measured(folder: Path) -> None:
    """Steps of 16 rows that take 2 ms and nothing else: 8,000 rows/s."""
    from pipeline.profiling.rates import from_memory, measure

    def consume(batches: Any, steps: int) -> None:
        until = time.perf_counter() + 0.002 * steps
        for _ in range(steps):
            next(batches)
        time.sleep(max(until - time.perf_counter(), 0))

    stream = from_memory(feed_of(config_of(folder)), consume)

    def run() -> None:
        found = measure({"known": stream, "again": stream}, 0.9)

        assert found["known"] == pytest.approx(8000, rel=0.25)
        assert found["again"] == pytest.approx(8000, rel=0.25)

    undisturbed(run)


def test_the_section_feed_makes_nothing_stale(folder: Path) -> None:
    changed = config_of(folder, "feed.threads = 3", "feed.steps_per_call = 5")

    assert fingerprints(changed, "source") == fingerprints(config_of(folder), "source")


def test_threads_and_calls_change_no_bit_of_a_training(folder: Path) -> None:
    from pipeline.runner import run

    quick = ("tune.trials = 0", "train.epochs = 2", 'train.augment = ["Noise"]')
    others = ("feed.threads = 3", "feed.steps_per_call = 5")
    names = [
        run(config_of(folder, *quick, f'name = "{name}"', *more), silent(), until="train").stages[-1].directory
        for name, more in (("one", ()), ("other", others))
    ]
    histories = [json.loads((name / "history.json").read_text()) for name in names]

    assert histories[0] == histories[1]


def test_encoded_images_that_starve_the_model_should_be_pixels(folder: Path, tmp_path: Path) -> None:
    encoded = config_of(folder, 'prepare.cache = "encoded"')
    starved = replace(MEASURED, pixels=(160, 160, 3), original=(375, 500))

    (one,) = recommendations(encoded, starved, tmp_path)
    assert (one.key, one.value) == ("prepare.cache", "pixels")
    assert one.gain == pytest.approx(5000 / 900)
    assert "0.77 GB" in one.reason
    assert not recommendations(encoded, replace(starved, feed=9000.0), tmp_path)  # nobody waits
    full = replace(starved, num_rows=shutil.disk_usage(tmp_path).free // (160 * 160 * 3))
    assert not recommendations(encoded, full, tmp_path)  # nor is there room


def test_pixels_that_outgrow_memory_should_be_encoded(folder: Path, tmp_path: Path) -> None:
    large = replace(
        MEASURED,
        pixels=(320, 320, 3),
        original=(375, 500),
        store_bytes=20 << 30,
        limits=replace(LIMITS, disk_bytes=1e8, decode_images_all=3000.0),
    )

    (one,) = recommendations(config_of(folder), large, tmp_path)
    assert (one.key, one.value) == ("prepare.cache", "encoded")
    assert one.gain == pytest.approx(3000 / 900)


def test_what_gains_little_is_not_recommended(folder: Path, tmp_path: Path) -> None:
    assert recommendations(config_of(folder), replace(MEASURED, threads={4: 950.0}), tmp_path) == []
    (one,) = recommendations(config_of(folder), replace(MEASURED, threads={2: 1000.0, 4: 2950.0, 8: 3000.0}), tmp_path)
    assert one.value == 4  # the fewest that are nearly the best


LINES = st.sampled_from(
    ["# a comment", "", "seed = 3", 'features.drop = ["a", "b"] # dotted', "prepare = { min_count = 3 } # inline"]
)


@given(st.lists(LINES, unique=True), st.booleans(), st.integers(1, 64))
@settings(max_examples=60, deadline=None)
def test_apply_changes_single_keys(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], table: bool, threads: int
) -> None:
    path = tmp_path_factory.mktemp("apply") / "one.toml"
    section = ["[feed] # section", "threads = 7 # seven", ""] if table else []
    text = "\n".join(['source = "rows.csv" # rows', *lines, "", *section, "[train] # last", "epochs = 3 # few", ""])
    path.write_text(text)
    before = tomllib.loads(text)
    changes = apply(path, [("feed.threads", threads), ("prepare.image_size", [8, 8])])
    after = tomllib.loads(path.read_text())

    assert changes[-1] == Change("prepare.image_size", None, [8, 8])
    assert after["feed"].pop("threads") == threads
    assert after["prepare"].pop("image_size") == [8, 8]
    before.get("feed", {}).pop("threads", None)
    assert {key: value for key, value in after.items() if value} == {
        key: value for key, value in before.items() if value
    }
    for comment in [line[line.index("#") :] for line in text.splitlines() if "#" in line]:
        assert comment in path.read_text()
    assert apply(path, [("feed.threads", threads)]) == []


def test_apply_writes_no_config_that_would_not_load(tmp_path: Path) -> None:
    path = tmp_path / "one.toml"
    path.write_text(TABLE)
    for key, value in (("feed.threads", 0), ("feed.thread", 2), ("label.x", 1)):
        with pytest.raises(ConfigError):
            apply(path, [(key, value)])
    assert path.read_text() == TABLE
    assert [found.name for found in tmp_path.iterdir()] == ["one.toml"]


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e9])
def test_seconds_that_make_no_measurement_are_refused(folder: Path, seconds: float) -> None:
    with pytest.raises(ConfigError, match="--seconds"):
        inspection.profile(config_of(folder), silent(), seconds=seconds)


def test_the_limits_of_the_machine(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path, 200_000, {"numeric": ("float32", (16,)), "label": ("int32", ())})
    writer.append({"numeric": np.ones((200_000, 16)), "label": np.zeros(200_000)})
    writer.close()
    found = limits(Store(tmp_path), (), None, 0.05)

    assert found.decode_images is None
    assert found.memory_copy_bytes > 1e8
    assert 1e5 < found.gather_rows < 1e10
    assert found.disk_bytes is not None
    assert found.disk_bytes > 1e6
    # Nothing is gathered faster than memory is copied, give or take what caches do.
    assert found.gather_rows * 68 < 4 * found.memory_copy_bytes


def test_changes_are_shown_old_and_new() -> None:
    changes = [Change("feed.threads", None, 2), Change("prepare.cache", "encoded", "pixels")]
    shown = io.StringIO()
    show_changes(Path("[x].toml"), changes, Console(file=shown, highlight=False))
    show_changes(Path("y.toml"), [], Console(file=shown, highlight=False))

    assert shown.getvalue().splitlines() == [
        "[x].toml: feed.threads: not set -> 2",
        '[x].toml: prepare.cache: "encoded" -> "pixels"',
        "y.toml: nothing to change",
    ]


@pytest.mark.parametrize("name", ["profiling.toml_edit", "profiling.shares"])
def test_examples_run(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"pipeline.{name}"))

    assert result.attempted
    assert not result.failed
