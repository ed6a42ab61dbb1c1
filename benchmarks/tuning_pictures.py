"""The pictures of docs/tuning.md: how a population trains, and the page of a search. Needs chromium for the second.

python -m benchmarks.tuning_pictures docs/pictures
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.optimizers_pictures import save
from benchmarks.report import note
from pipeline import runner
from pipeline.config import Config
from pipeline.progress import silent
from pipeline.runs import read_json

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_WIDTH, _HEIGHT = 1180, 1500
_ADAM, _SGD, _GRAY = "#0072b2", "#d55e00", "#666666"
# The parts of a row: name, width, opacity.
_VARIABLES = (("hidden kernel", 4.0, 0.35), ("", 0.8, 0.6), ("output kernel", 2.4, 0.35), ("", 0.8, 0.6))


def config(runs: Path) -> Config:
    """A search whose trials are all of one group, with learning rates that some of them do not survive."""
    return Config.model_validate(
        {
            "name": "digits",
            "runs": str(runs),
            "source": {"name": "ScikitLearn", "dataset": "digits"},
            "model": {"name": "mlp", "width": 64, "depth": 1},
            "tune": {
                "trials": 40,
                "epochs": 30,
                "patience": 4,
                "space": {
                    "train.optimizer": ["AdamW", "SGD"],
                    "train.learning_rate": {"min": 1e-3, "max": 10.0, "log": True},
                    "train.optimizer.momentum": {"min": 0.0, "max": 0.99, "when": {"train.optimizer": "SGD"}},
                    "model.dropout": {"min": 0.1, "max": 0.5, "step": 0.1},
                    "model.l2": {"min": 1e-6, "max": 1e-1, "log": True},
                },
            },
        }
    )


def population(path: Path, trials: Sequence[dict[str, Any]]) -> None:
    """A step of all trials above; below, for how many epochs each trial of a real search was one of them."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (above, below) = pyplot.subplots(2, 1, figsize=(12, 10), height_ratios=(1.3, 1), layout="constrained")
    _step(above)
    _leaving(below, trials)
    save(figure, path)


def page(path: Path, html: Path) -> bool:
    """A browser's view of the upper part of a page; False where there is no browser."""
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None:
        return False
    view = [f"--screenshot={path.absolute()}", f"--window-size={_WIDTH},{_HEIGHT}", html.absolute().as_uri()]
    with tempfile.TemporaryDirectory() as profile:
        own = [f"--user-data-dir={profile}", "--no-sandbox", "--headless", "--disable-gpu", "--hide-scrollbars"]
        subprocess.run([browser, *own, *view], check=True, capture_output=True, timeout=120)
    _shrink(path)
    return True


def _step(axis: Any) -> None:
    """From a batch and the matrix of weights to the next matrix."""
    axis.set(xlim=(0, 27), ylim=(-3.2, 10))
    axis.axis("off")
    axis.set_title("One step: one program, however many trials", fontsize=14)
    _matrix(axis, 4.0, [_ADAM] * 5 + [_SGD] * 3)
    _box(axis, (0.1, 2.4), (3.0, 3.2), "a batch\nof each trial,\nby its seed")
    _box(
        axis,
        (13.2, 1.0),
        (4.0, 6.0),
        "forward, loss,\nbackward of\none trial,\nmade a program\nfor all rows\n\ndropout masks\nby its seed",
    )
    _box(axis, (18.2, 1.5), (3.6, 5.0), "gradients\n[trials, weights]\n\nlosses\n[trials]")
    _box(axis, (22.9, 3.1), (4.0, 4.7), "Adam, AdamW:\ntheir step", _ADAM)
    _box(axis, (22.9, 0.0), (4.0, 2.8), "SGD:\nits step", _SGD)
    for begin, end, at in ((3.1, 3.9, 4), (12.1, 13.1, 4), (17.2, 18.1, 4), (21.8, 22.8, 5.2), (21.8, 22.8, 1.9)):
        _arrow(axis, (begin, at), (end, at))
    axis.plot([24.9, 24.9, 8.0], [-0.1, -1.5, -1.5], color=_GRAY, linewidth=1)
    _arrow(axis, (8.0, -1.5), (8.0, -0.1))
    axis.text(
        16.4, -2.5, "each row by its own learning rate, schedule, coefficients, l1 and l2", ha="center", fontsize=12
    )


def _matrix(axis: Any, left: float, colors: Sequence[str]) -> None:
    from matplotlib.patches import Rectangle

    axis.text(left + 4, 9.1, "weights [trials, weights]", ha="center", fontsize=12)
    for row, color in enumerate(colors):
        bottom, at = len(colors) - 1 - row, left
        for name, width, alpha in _VARIABLES:
            style = {"facecolor": color, "alpha": alpha, "edgecolor": "white"}
            axis.add_patch(Rectangle((at, bottom), width, 0.86, **style))
            if row == 0:
                axis.text(at + width / 2, bottom + 1.05, name, ha="center", fontsize=10, color=_GRAY)
            at += width
        axis.text(left + 0.2, bottom + 0.4, f"trial {row}", va="center", fontsize=11)


def _box(axis: Any, corner: tuple[float, float], size: tuple[float, float], text: str, color: str = _GRAY) -> None:
    from matplotlib.patches import FancyBboxPatch

    form = {"boxstyle": "round,pad=0,rounding_size=0.25", "facecolor": "white", "edgecolor": color}
    axis.add_patch(FancyBboxPatch(corner, *size, **form))
    axis.text(corner[0] + size[0] / 2, corner[1] + size[1] / 2, text, ha="center", va="center", fontsize=11)


def _arrow(axis: Any, begin: tuple[float, float], end: tuple[float, float]) -> None:
    axis.annotate("", xy=end, xytext=begin, arrowprops={"arrowstyle": "->", "color": _GRAY})


def _leaving(axis: Any, trials: Sequence[dict[str, Any]]) -> None:
    """A bar a trial, as long as it was trained; the longest above."""
    rows = sorted(trials, key=lambda trial: (-len(trial["history"]), trial["number"]))
    for place, trial in enumerate(rows):
        length, failed = len(trial["history"]), trial["error"] is not None
        axis.barh(-place, max(length, 0.15), color=_color(trial), alpha=0.3 if failed else 0.75)
        if failed:
            axis.text(length + 0.3, -place, "diverged", va="center", fontsize=9, color=_GRAY)
    axis.set(yticks=[], xlim=(0, None))
    axis.set_xlabel("epoch", fontsize=12)
    axis.set_ylabel(f"{len(rows)} trials", fontsize=12)
    axis.set_title("A real search: who has no lower loss for 4 epochs, or none that is finite, is over", fontsize=14)
    for color, name in ((_ADAM, "AdamW"), (_SGD, "SGD")):
        axis.bar(0, 0, color=color, alpha=0.75, label=name)
    axis.legend(fontsize=11, loc="lower right")


def _color(trial: dict[str, Any]) -> str:
    """Of its optimizer: a name, or in the first trial, which is the config itself, a table."""
    optimizer = trial["overrides"]["train.optimizer"]
    name = optimizer if isinstance(optimizer, str) else optimizer["name"]
    return _SGD if name == "SGD" else _ADAM


def _shrink(path: Path) -> None:
    """Few colors are enough for lines and letters, and make a small file."""
    from PIL import Image

    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(64, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the pictures go")
    folder = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as runs:
        done = runner.run(config(Path(runs)), silent(), until="tune").stages[-1]
        population(folder / "tuning_population.png", read_json(done.directory / "trials.json"))
        if not page(folder / "tuning_page.png", done.directory / "tuning.html"):
            note("tuning_page.png is left out: there is no chromium")
            sys.exit(1)


if __name__ == "__main__":
    main()
