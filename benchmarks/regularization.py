"""What each regularizer does: L1, L2, dropout, early stopping, label smoothing and augmentation, each against none.

It prints the tables of docs/regularization.md in Markdown; with `--pictures FOLDER` it draws its pictures.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.regularization_runs import NEAR, Problem, Trained, adult, digits, mean, runs
from benchmarks.report import Result, note, report

_L1 = (3e-5, 1e-4, 3e-4, 1e-3)
_L2 = (1e-4, 1e-3, 1e-2)
_RATES = (0.0, 0.1, 0.3, 0.5)
_SMOOTHING = (0.0, 0.05, 0.1, 0.2)
_SHIFTS = (0.0, 0.05, 0.1, 0.2, 0.35)
_PATIENCE = 5
# Learning rates of Adam that suit the models.
_SPEEDS = {"mlp": 1e-3, "convnet": 3e-3}


@dataclass(frozen=True)
class Table:
    """Numbers of one part on one problem.

    Attributes:
      part, problem: what it is about.
      columns: names of the numbers.
      rows: by the name of the way to train.
    """

    part: str
    problem: str
    columns: tuple[str, ...]
    rows: dict[str, tuple[float, ...]]

    def column(self, name: str) -> list[float]:
        """Its numbers, from the first row on."""
        return [row[self.columns.index(name)] for row in self.rows.values()]

    def markdown(self) -> str:
        """As it stands in the documentation."""
        lines = [[f"{self.part}, {self.problem}", *self.columns]]
        lines += [[name, *(_shown(value) for value in row)] for name, row in self.rows.items()]
        head, *body = [f"| {' | '.join(line)} |\n" for line in lines]
        return head + "|" + "---|" * len(lines[0]) + "\n" + "".join(body)

    def results(self) -> Iterator[Result]:
        """One for each number."""
        for name, row in self.rows.items():
            for column, value in zip(self.columns, row, strict=True):
                yield Result(f"{self.part}, {self.problem}: {name}: {column}", value, "")


def measure(
    part: str, problem: Problem, ways: dict[str, list[Trained]], measures: dict[str, Callable[[Trained], float]]
) -> Table:
    """Every measure of every way, the mean over its seeds."""
    rows = {way: tuple(mean(found, one) for one in measures.values()) for way, found in ways.items()}
    note(f"{part}, {problem.name}: done")
    return Table(part, problem.name, tuple(measures), rows)


def l1(problem: Problem, values: Sequence[float] = _L1) -> tuple[Table, dict[str, list[Trained]]]:
    """The plain penalty, and the proximal step of the same strength, by plain SGD: both then minimize the same sum.

    Adam divides the gradient of a penalty by its size, as it does with all; the proximal step comes after it.
    """
    from pipeline.training import SGD, Adam

    # Clipped, as single batches throw it off at a rate that does not fall.
    sgd = SGD(0.2, momentum=0.0, clip_norm=1.0)
    ways = {"none": runs(problem, sgd)}
    for value in values:
        ways[f"plain {value:g}"] = runs(problem, sgd, l1=value)
        ways[f"proximal {value:g}"] = runs(problem, sgd, l1=value, proximal=True)
    falling = replace(sgd, schedule="cosine")
    ways["cosine, proximal 0.001"] = runs(problem, falling, l1=1e-3, proximal=True)
    ways["Adam, plain 0.0003"] = runs(problem, Adam(1e-3), l1=3e-4)
    ways |= {f"Adam, proximal {one:g}": runs(problem, Adam(1e-3), l1=one, proximal=True) for one in (3e-4, 0.03)}
    measures: dict[str, Callable[[Trained], float]] = {
        "exact zeros": Trained.zeros,
        "near-zeros": lambda one: one.zeros(NEAR),
        "validation loss": _loss,
        "the same, thresholded": lambda one: one.on("validation", NEAR)["log_loss"],
    }
    return measure("L1", problem, ways, measures), ways


def l2(problem: Problem, values: Sequence[float] = _L2) -> Table:
    """Norms of the kernels; L1 beside L2; and a penalty for one kind of layer."""
    from pipeline.training import SGD

    sgd = SGD(0.05, "cosine")
    ways = {"none": runs(problem, sgd)} | {f"l2 = {value:g}": runs(problem, sgd, l2=value) for value in values}
    ways["l1 = 0.0001, l2 = 0.001"] = runs(problem, sgd, l1=1e-4, l2=1e-3)
    ways["l2 = {hidden = 0.001, output = 0.0}"] = runs(problem, sgd, l2={"hidden": 1e-3, "output": 0.0})
    layers = ("hidden_0", "hidden_1", "output")
    norms = {f"norm of {layer}": _norm_of(layer) for layer in layers}
    return measure("L2", problem, ways, {**norms, "near-zeros": lambda one: one.zeros(NEAR), **_gap_measures()})


def dropout(problem: Problem, model: str, rates: Sequence[float] = _RATES) -> Table:
    """Losses on train and validation, and what lies between; in a convnet whole channels are dropped, too."""
    ways = {f"dropout = {rate:g}": runs(problem, _adam(_SPEEDS[model]), model=model, dropout=rate) for rate in rates}
    return measure(f"dropout, {model}", problem, ways, _gap_measures())


def stopping(problem: Problem) -> tuple[Table, dict[str, list[Trained]]]:
    """Three times as many epochs as anywhere else, with and without patience."""
    from pipeline.training import Adam

    longer = replace(problem, epochs=3 * problem.epochs)
    ways = {name: runs(longer, Adam(1e-3), patience=patience)
            for name, patience in (("none", None), (f"patience = {_PATIENCE}", _PATIENCE))}  # fmt: skip
    measures: dict[str, Callable[[Trained], float]] = {
        "epochs": lambda one: len(one.history.loss),
        "validation loss after the last": lambda one: one.history.val_loss[-1],
        "of the weights that `fit` leaves": lambda one: one.history.best_val_loss,
    }
    return measure("early stopping", problem, ways, measures), ways


def smoothing(problem: Problem, values: Sequence[float] = _SMOOTHING) -> Table:
    """How sure the answers are, and how right."""
    ways = {f"label_smoothing = {value:g}": runs(problem, _adam(), label_smoothing=value) for value in values}
    names = {
        "accuracy": "accuracy", "mean largest probability": "largest",
        "calibration error": "calibration_error", "log loss": "log_loss",
    }  # fmt: skip
    return measure("label smoothing", problem, ways, {shown: _metric(name) for shown, name in names.items()})


def augmentation(problem: Problem, fractions: Sequence[float] = _SHIFTS) -> Table:
    """Images moved by up to so much."""
    from pipeline.data.augment import Shift

    optimizer = _adam(_SPEEDS["convnet"])
    ways = {f"fraction = {one:g}": runs(problem, optimizer, model="convnet", augment=[Shift(one)] if one else [])
            for one in fractions}  # fmt: skip
    return measure("Shift", problem, ways, _gap_measures())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="few epochs and one seed")
    parser.add_argument("--only", choices=_PART, action="append", help="a part; several times for several")
    parser.add_argument("--adult", type=Path, help="the census income table: a CSV file with the label income")
    parser.add_argument("--pictures", type=Path, help="a folder to draw into")
    arguments = parser.parse_args()
    short = {"epochs": 2, "seeds": 1} if arguments.short else {}
    problems = [digits(**short)]
    if arguments.adult is not None:
        problems.append(adult(arguments.adult, **({"epochs": 2} if arguments.short else {})))
    tables = [table for part in arguments.only or _PART for table in _PART[part](problems, arguments.pictures)]
    print("\n".join(table.markdown() for table in tables))
    report("regularization", [result for table in tables for result in table.results()])


def _l1(problems: list[Problem], pictures: Path | None) -> list[Table]:
    found = [l1(problem) for problem in problems]
    tables = [table for table, _ in found]
    _draw(pictures, "l1", tables, _L1, {name: ways[0].sizes() for name, ways in found[0][1].items()})
    return tables


def _l2(problems: list[Problem], pictures: Path | None) -> list[Table]:
    tables = [l2(problem) for problem in problems]
    _draw(pictures, "l2", tables, _L2)
    return tables


def _dropout(problems: list[Problem], pictures: Path | None) -> list[Table]:
    tables = [dropout(problem, "mlp") for problem in problems] + [dropout(problems[0], "convnet")]
    _draw(pictures, "dropout", tables, _RATES)
    return tables


def _stopping(problems: list[Problem], pictures: Path | None) -> list[Table]:
    found = [stopping(problem) for problem in problems]
    _draw(pictures, "stopping", {problem.name: ways for problem, (_, ways) in zip(problems, found, strict=True)})
    return [table for table, _ in found]


def _smoothing(problems: list[Problem], pictures: Path | None) -> list[Table]:
    tables = [smoothing(problem) for problem in problems]
    _draw(pictures, "smoothing", tables, _SMOOTHING)
    return tables


def _augmentation(problems: list[Problem], pictures: Path | None) -> list[Table]:
    tables = [augmentation(problems[0])]
    _draw(pictures, "augmentation", tables, _SHIFTS)
    return tables


_PART = {
    "l1": _l1, "l2": _l2, "dropout": _dropout, "stopping": _stopping, "smoothing": _smoothing,
    "augmentation": _augmentation,
}  # fmt: skip


def _adam(learning_rate: float = 1e-3) -> Any:
    from pipeline.training import Adam

    return Adam(learning_rate, "cosine")


def _metric(name: str, side: str = "validation") -> Callable[[Trained], float]:
    return lambda one: one.on(side)[name]


_loss = _metric("log_loss")


def _norm_of(layer: str) -> Callable[[Trained], float]:
    return lambda one: one.norm(layer)


def _gap_measures() -> dict[str, Callable[[Trained], float]]:
    on_train = _metric("log_loss", "train")
    return {
        "train loss": on_train,
        "validation loss": _loss,
        "gap": lambda one: _loss(one) - on_train(one),
        "accuracy": _metric("accuracy"),
    }


def _shown(value: float) -> str:
    return f"{value:.0f}" if value >= 10 and value == round(value) else f"{value:.3f}"


def _draw(folder: Path | None, name: str, *data: Any) -> None:
    if folder is not None:
        from benchmarks import regularization_pictures

        folder.mkdir(parents=True, exist_ok=True)
        getattr(regularization_pictures, name)(folder / f"regularization_{name}.png", *data)


if __name__ == "__main__":
    main()
