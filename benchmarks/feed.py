"""Batches for training, ours beside what a good Keras user writes today: tables, training, photos, images, text."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.feed_images import of_photos, of_small_images, write_photos
from benchmarks.feed_tables import child, of_tables
from benchmarks.feed_text import of_text
from benchmarks.feed_training import of_training
from benchmarks.report import Result, note, report


def interpreter_with_torch(python: str) -> str | None:
    """The interpreter, or None where PyTorch cannot be imported by it."""
    done = subprocess.run([python, "-c", "import numpy, torch, PIL"], capture_output=True, text=True, check=False)
    if done.returncode:
        note(f"PyTorch is left out: {python} says {done.stderr.strip().splitlines()[-1]}")
    return None if done.returncode else python


def main() -> None:
    arguments = _arguments()
    if arguments.child:
        child(arguments.child)
        return
    short = arguments.short
    times = arguments.repetitions or (1 if short else 5)
    torch = interpreter_with_torch(arguments.torch_python)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)

        def photos() -> Path:
            if arguments.photos is None:
                write_photos(folder / "files", 200 if short else 2000)
            return arguments.photos or folder / "files"

        parts: dict[str, Callable[[], list[Result]]] = {
            "tables": lambda: of_tables(folder, 100_000 if short else 1_000_000, times),
            "training": lambda: of_training(folder, 50_000 if short else 400_000, times, torch),
            "photos": lambda: of_photos(folder, photos(), times, torch),
            "small_images": lambda: of_small_images(folder, arguments.idx, 6_000 if short else 60_000, times),
            "text": lambda: of_text(folder, arguments.text, 10_000 if short else 100_000, times),
        }
        chosen = arguments.only or list(parts)
        report("feed", [result for name in chosen for result in parts[name]()])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a tenth of the rows, each side once")
    parser.add_argument("--repetitions", type=int, metavar="N", help="rounds that count; default: 5")
    parser.add_argument(
        "--only", action="append", choices=["tables", "training", "photos", "small_images", "text"],
        help="this part; may be given several times",
    )  # fmt: skip
    parser.add_argument("--photos", type=Path, help="a folder of class folders of JPEG files; default: made ones")
    parser.add_argument("--idx", type=Path, help="a folder of packed IDX files of 28 x 28 pixels; default: random ones")
    parser.add_argument("--text", type=Path, help="a CSV file with a column text, besides generated sentences")
    parser.add_argument("--torch-python", default=sys.executable, help="an interpreter with torch, NumPy and Pillow")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
