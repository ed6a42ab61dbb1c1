"""From a file to prepared stores: every value checked, twins found, split, leaks and statistics, fitted, encoded."""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.report import Result, note, peak_bytes, report, timed
from benchmarks.tables import write_table

_SIZE = 64


def prepare(source: Path, folder: Path) -> None:
    """`pipeline run --until prepare`, in this process, with nothing done before."""
    from pipeline.config import parse
    from pipeline.progress import silent
    from pipeline.runner import run

    runs = folder / "runs"
    shutil.rmtree(runs, ignore_errors=True)
    label = None if source.is_dir() else "label"
    tree = {"name": "benchmark", "source": str(source), "label": label, "runs": str(runs)}
    if source.is_dir():
        tree["prepare"] = {"image_size": [_SIZE, _SIZE]}
    run(parse(tree, origin="benchmark"), silent(), until="prepare")


def read_csv(file: Path) -> None:
    import pyarrow.csv

    pyarrow.csv.read_csv(file)


def make_csv_dataset(file: Path) -> None:
    import tensorflow as tf

    dataset = tf.data.experimental.make_csv_dataset(str(file), 256, label_name="label", num_epochs=1, shuffle=False)
    for _ in dataset:
        pass


def decode_and_resize(folder: Path) -> None:
    import tensorflow as tf

    def load(path: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        return tf.cast(tf.image.resize(image, [_SIZE, _SIZE]), tf.uint8)

    paths = sorted(str(path) for path in folder.rglob("*.jpg"))
    dataset = tf.data.Dataset.from_tensor_slices(paths).map(load, num_parallel_calls=tf.data.AUTOTUNE).batch(256)
    for _ in dataset:
        pass


def seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def in_turns(first: Callable[[], None], second: Callable[[], None], times: int) -> tuple[float, float, float]:
    """Medians of both, and of their ratios, after one round that does not count."""
    pairs = [(seconds(first), seconds(second)) for _ in range(times + 1)][1:]
    columns = [[one for one, _ in pairs], [other for _, other in pairs], [one / other for one, other in pairs]]
    return tuple(statistics.median(column) for column in columns)  # type: ignore[return-value]


def of_tables(file: Path, folder: Path, times: int, num_rows: int) -> list[Result]:
    ours, read, ratio = in_turns(lambda: prepare(file, folder), lambda: read_csv(file), times)
    note("make_csv_dataset once: this takes a while")
    slow = seconds(lambda: make_csv_dataset(file))
    return [
        Result(f"table of {num_rows:,} rows: file to stores", ours, "s"),
        Result("pyarrow.csv.read_csv of the same file", read, "s"),
        Result("ours / read_csv", ratio, "x", "<= 5.0"),
        Result("make_csv_dataset iterated once", slow, "s"),
        Result("make_csv_dataset / ours", slow / ours, "x", ">= 20.0"),
    ]


def of_large_tables(small: Path, large: Path, factor: int, folder: Path) -> list[Result]:
    """Each in a process of its own, so that its peak of memory is its own."""
    measured = []
    for file in (small, large):
        note(f"{file.name} in a process of its own")
        _, _, said = timed([sys.executable, "-m", "benchmarks.data_in", "--child", file, folder], folder)
        measured.append(json.loads(said.splitlines()[-1]))
    times, peaks = [found["seconds"] for found in measured], [found["peak_bytes"] for found in measured]
    return [
        Result(f"{factor} times the rows", times[1], "s"),
        Result(f"time of {factor} times the rows / time", times[1] / times[0], "x", f"<= {1.1 * factor:g}"),
        Result("peak memory of the smaller", peaks[0] / 2**30, "GiB"),
        Result("peak memory of the larger", peaks[1] / 2**30, "GiB", "<= 2.0"),
    ]


def child(file: Path, folder: Path) -> None:
    prepare_seconds = seconds(lambda: prepare(file, folder / "child"))
    print(json.dumps({"seconds": prepare_seconds, "peak_bytes": peak_bytes()}))


def of_images(photos: Path, folder: Path, times: int) -> list[Result]:
    count = sum(1 for _ in photos.rglob("*.jpg"))
    ours, bare, ratio = in_turns(lambda: prepare(photos, folder), lambda: decode_and_resize(photos), times)
    return [
        Result("photos: hashed, checked, twins, encoded", count / ours, "images/s"),
        Result("bare tf.data decode + resize", count / bare, "images/s"),
        Result("speed of ours / bare", 1 / ratio, "x", ">= 0.8"),
    ]


def write_photos(folder: Path, count: int) -> None:
    """Smooth noise in the sizes of photos, in two classes."""
    random = np.random.default_rng(0)
    for number in range(count):
        small = Image.fromarray(random.integers(0, 256, (24, 32, 3), np.uint8))
        target = folder / "ab"[number % 2] / f"{number:05}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        small.resize((400, 300), Image.Resampling.BICUBIC).save(target, quality=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a tenth of the rows, three repetitions instead of seven")
    parser.add_argument("--photos", type=Path, help="a folder of class folders of JPEG files; default: made ones")
    parser.add_argument("--child", nargs=2, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(*arguments.child)
        return
    times, num_rows = (3, 100_000) if arguments.short else (7, 1_000_000)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        small, large = folder / "small.csv", folder / "large.csv"
        write_table(small, num_rows)
        write_table(large, 10 * num_rows)
        photos = arguments.photos or folder / "photos"
        if arguments.photos is None:
            write_photos(photos, 200 if arguments.short else 1000)
        results = of_large_tables(small, large, 10, folder)
        results = [*of_tables(small, folder, times, num_rows), *results, *of_images(photos, folder, times)]
    report("data_in", results)


if __name__ == "__main__":
    main()
