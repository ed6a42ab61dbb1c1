"""What each optimizer and schedule does, on digits (dense) and on sentences (sparse), and what a step of it costs.

With `--pictures FOLDER` it draws the pictures of docs/optimizers.md.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import optimizers_steps
from benchmarks.optimizers_data import Problem, digits, sentences
from benchmarks.report import Result, note, report

_BATCH, _EPOCHS = 32, 15
_SHORT_EPOCHS = 2
# Every optimizer is shown at the rate at which its validation loss gets lowest; rates must reach beyond that on both
# sides, or a method is shown at a rate that does not suit it.
_RATES = {
    "sgd": (0.03, 0.1, 0.3, 1.0, 3.0),
    "adam": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
    "adagrad": (0.01, 0.03, 0.1, 0.3, 1.0, 3.0),
}
_GRID_SIZES, _GRID_RATES = (8, 16, 32, 64, 128, 256), tuple(2.0**power for power in range(-7, 4))
_PARTS = ("losses", "grid", "schedules", "safety", "steps", "sparse")


@dataclass(frozen=True)
class Curve:
    """One training.

    Attributes:
      name: for people.
      loss, val_loss: by epoch; empty where the loss was not finite.
    """

    name: str
    loss: list[float]
    val_loss: list[float]

    @property
    def best(self) -> float:
        """The lowest validation loss; infinite where the training failed."""
        return min(self.val_loss, default=np.inf)


def train(
    name: str, problem: Problem, optimizer: Any, epochs: int, *, batch_size: int = _BATCH, ema: float | None = None
) -> Curve:
    """Trains the problem's model anew."""
    from pipeline import training
    from pipeline.errors import TrainingError

    batches = problem.train(batch_size, epochs)
    try:
        history = training.fit(
            problem.model(), batches, problem.validation(),
            spec=problem.spec, optimizer=optimizer, epochs=epochs, ema=ema,
        )  # fmt: skip
    except TrainingError:
        return Curve(name, [], [])
    return Curve(name, history.loss, history.val_loss)


def kinds() -> dict[str, tuple[Any, str]]:
    """The six methods, and which rates suit them."""
    from pipeline.training.optimizers import SGD, Adagrad, Adam, AdamW

    return {
        "SGD": (SGD(momentum=0.0), "sgd"),
        "SGD with momentum": (SGD(nesterov=False), "sgd"),
        "Nesterov": (SGD(), "sgd"),
        "Adam": (Adam(), "adam"),
        "AdamW": (AdamW(), "adam"),
        "Adagrad": (Adagrad(), "adagrad"),
    }


def losses(problem: Problem, epochs: int, short: bool) -> list[Curve]:
    """Every optimizer at its best rate."""
    found = []
    for name, (optimizer, group) in kinds().items():
        rates = _RATES[group][:1] if short else _scaled(problem, group)
        curves = [train(f"{name}, {r:g}", problem, replace(optimizer, learning_rate=r), epochs) for r in rates]
        found.append(min(curves, key=lambda curve: curve.best))
        note(f"{problem.name}: {found[-1].name}: {found[-1].best:.3f}")
    return found


def _scaled(problem: Problem, group: str) -> tuple[float, ...]:
    """A row of a table gets a part of a gradient, and only when its word occurs: plain methods need higher rates."""
    factor = {"sgd": 10.0, "adam": 3.0, "adagrad": 3.0}[group] if problem.name == "sentences" else 1.0
    return tuple(rate * factor for rate in _RATES[group])


def grid(problem: Problem, epochs: int, short: bool) -> np.ndarray:
    """float64 [batch sizes, rates]: validation loss of plain SGD after as many epochs; NaN: it failed."""
    from pipeline.training.optimizers import SGD

    sizes, rates = (_GRID_SIZES[:2], _GRID_RATES[:2]) if short else (_GRID_SIZES, _GRID_RATES)
    found = np.full((len(_GRID_SIZES), len(_GRID_RATES)), np.nan)
    for row, size in enumerate(sizes):
        for column, rate in enumerate(rates):
            curve = train("", problem, SGD(rate, momentum=0.0), epochs, batch_size=size)
            found[row, column] = curve.val_loss[-1] if curve.val_loss else np.nan
        note(f"batch {size}: {np.round(found[row], 3)}")
    return found


def schedules(problem: Problem, epochs: int) -> list[Curve]:
    """SGD with momentum at a high rate, by every schedule."""
    from pipeline.training.optimizers import SGD
    from pipeline.training.schedules import SCHEDULES

    return [train(name, problem, SGD(0.2, name, nesterov=False), epochs) for name in SCHEDULES]  # type: ignore[arg-type]


def safety(problem: Problem, epochs: int) -> list[Curve]:
    """What clipping and averaging do where the rate is too high."""
    from pipeline.training.optimizers import SGD

    ways: list[tuple[str, Any, float | None]] = [
        ("rate 1", SGD(1.0, nesterov=False), None),
        ("rate 1, clip_norm 0.5", SGD(1.0, nesterov=False, clip_norm=0.5), None),
        ("rate 0.2", SGD(0.2, nesterov=False), None),
        ("rate 0.2, ema 0.99", SGD(0.2, nesterov=False), 0.99),
    ]
    return [train(name, problem, optimizer, epochs, ema=ema) for name, optimizer, ema in ways]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="few epochs and rates")
    parser.add_argument("--only", choices=_PARTS, action="append", help="a part; several times for several")
    parser.add_argument(
        "--sparse", action="append_const", const="sparse", dest="only", help="the same as --only sparse"
    )
    parser.add_argument("--texts", type=Path, help="a CSV file with the columns text and label, for the sparse problem")
    parser.add_argument("--pictures", type=Path, help="a folder to draw into")
    arguments = parser.parse_args()
    epochs = _SHORT_EPOCHS if arguments.short else _EPOCHS
    parts = arguments.only or _PARTS
    results = [result for part in parts for result in _PART[part](arguments, epochs)]
    report("optimizers", results)


def _losses(arguments: Any, epochs: int) -> list[Result]:
    problems = [digits(), sentences(arguments.texts)]
    found = {problem.name: losses(problem, epochs, arguments.short) for problem in problems}
    _draw(arguments, "losses", found)
    return [_result(problem, curve) for problem, curves in found.items() for curve in curves]


def _grid(arguments: Any, epochs: int) -> list[Result]:
    found = grid(digits(), epochs, arguments.short)
    _draw(arguments, "grid", found, _GRID_SIZES, _GRID_RATES)
    best = [(size, _GRID_RATES[int(np.nanargmin(row))], np.nanmin(row))
            for size, row in zip(_GRID_SIZES, found, strict=True) if not np.isnan(row).all()]  # fmt: skip
    return [
        result
        for size, rate, loss in best
        for result in (
            Result(f"batches of {size}: best rate", rate, ""),
            Result(f"batches of {size}: validation loss there", float(loss), ""),
        )
    ]


def _schedules(arguments: Any, epochs: int) -> list[Result]:
    problem = digits()
    found = schedules(problem, epochs)
    _draw(arguments, "schedules", found, problem.num_train // _BATCH)
    return [_result("schedule", curve) for curve in found]


def _safety(arguments: Any, epochs: int) -> list[Result]:
    found = safety(digits(), epochs)
    _draw(arguments, "safety", found)
    return [_result("digits", curve) for curve in found]


def _steps(arguments: Any, epochs: int) -> list[Result]:
    return optimizers_steps.dense(*((1, 20) if arguments.short else (30, 100)))


def _sparse(arguments: Any, epochs: int) -> list[Result]:
    return optimizers_steps.sparse(*((1, 5) if arguments.short else (25, 64)))


_PART = {
    "losses": _losses, "grid": _grid, "schedules": _schedules, "safety": _safety, "steps": _steps, "sparse": _sparse,
}  # fmt: skip


def _result(problem: str, curve: Curve) -> Result:
    return Result(f"{problem}: {curve.name}: best validation loss", curve.best, "")


def _draw(arguments: Any, name: str, *data: Any) -> None:
    if arguments.pictures is not None:
        from benchmarks import optimizers_pictures

        arguments.pictures.mkdir(parents=True, exist_ok=True)
        getattr(optimizers_pictures, name)(arguments.pictures / f"optimizers_{name}.png", *data)


if __name__ == "__main__":
    main()
