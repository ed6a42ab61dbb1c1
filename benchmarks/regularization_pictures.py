"""The pictures of docs/regularization.md, small enough to lie in the repository."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.optimizers_pictures import _axes as new_axes
from benchmarks.optimizers_pictures import save

if TYPE_CHECKING:
    from benchmarks.regularization import Table
    from benchmarks.regularization_runs import Trained

_SMALLEST = 1e-7


def l1(path: Path, tables: list[Table], values: Sequence[float], sizes: dict[str, np.ndarray]) -> None:
    """How large the weights are on the left, what part of them is 0 on the right."""
    figure, (left, right) = new_axes(2)
    bins = np.logspace(np.log10(_SMALLEST), 0.5, 60)
    for name in ("none", f"plain {values[-2]:g}", f"proximal {values[-2]:g}"):
        left.hist(np.maximum(sizes[name], _SMALLEST), bins, histtype="step", label=name)
    left.set(xscale="log", yscale="log", xlabel=f"size of a weight; 0 stands at {_SMALLEST:g}", ylabel="weights",
             title=tables[0].problem)  # fmt: skip
    left.legend(fontsize=8, loc="upper left")
    for color, table in enumerate(tables):
        for way, column, style in (("plain", "exact zeros", ":"), ("plain", "near-zeros", "--"),
                                   ("proximal", "exact zeros", "-")):  # fmt: skip
            place = table.columns.index(column)
            parts = [table.rows[f"{way} {value:g}"][place] for value in values]
            right.plot(values, parts, style, color=f"C{color}", label=f"{table.problem}, {way}: {column}")
    right.set(xscale="log", xlabel="l1", ylabel="fraction of the weights", ylim=(-0.05, 1))
    right.legend(fontsize=8)
    save(figure, path)


def l2(path: Path, tables: list[Table], values: Sequence[float]) -> None:
    """Norms of the kernels, one panel for each problem."""
    figure, axes = new_axes(len(tables))
    names = ["none", *(f"l2 = {value:g}" for value in values)]
    for axis, table in zip(axes, tables, strict=True):
        for place, column in enumerate(table.columns):
            if column.startswith("norm"):
                axis.plot(
                    names, [table.rows[name][place] for name in names], "o-", label=column.removeprefix("norm of ")
                )
        axis.set(title=table.problem, ylabel="norm of the kernel", ylim=(0, None))
        axis.legend(fontsize=8)
    save(figure, path)


def dropout(path: Path, tables: list[Table], rates: Sequence[float]) -> None:
    """Losses by rate, one panel for each model."""
    _losses(path, tables, rates, "dropout")


def augmentation(path: Path, tables: list[Table], fractions: Sequence[float]) -> None:
    """Losses by strength."""
    _losses(path, tables, fractions, "fraction")


def stopping(path: Path, found: dict[str, dict[str, list[Trained]]]) -> None:
    """The validation loss of one seed; a dot where patience ends it, a ring around the best epoch."""
    figure, axes = new_axes(len(found))
    for axis, (name, (whole, stopped)) in zip(
        axes, ((name, ways.values()) for name, ways in found.items()), strict=True
    ):
        losses, best = whole[0].history.val_loss, stopped[0].history.best_epoch
        axis.plot(range(1, len(losses) + 1), losses, label="validation loss")
        epochs = len(stopped[0].history.loss)
        axis.plot(epochs, stopped[0].history.val_loss[-1], "o", color="red", label="patience ends it")
        axis.plot(best + 1, stopped[0].history.val_loss[best], "o", color="red", markersize=12,
                  markerfacecolor="none", label="its best epoch")  # fmt: skip
        axis.set(title=name, xlabel="epoch", yscale="log")
        axis.legend(fontsize=8)
    save(figure, path)


def smoothing(path: Path, tables: list[Table], values: Sequence[float]) -> None:
    """Accuracy beside the mean largest probability: where they are equal, an answer is as sure as it is right."""
    figure, axes = new_axes(len(tables))
    for axis, table in zip(axes, tables, strict=True):
        for column in ("accuracy", "mean largest probability"):
            axis.plot(values, table.column(column), "o-", label=column)
        axis.set(title=table.problem, xlabel="label_smoothing")
        axis.legend(fontsize=8)
    save(figure, path)


def _losses(path: Path, tables: list[Table], values: Sequence[float], what: str) -> None:
    figure, axes = new_axes(len(tables))
    for axis, table in zip(axes, tables, strict=True):
        for column in ("train loss", "validation loss"):
            axis.plot(values, table.column(column), "o-", label=column)
        axis.fill_between(values, table.column("train loss"), table.column("validation loss"), alpha=0.15)
        axis.set(title=f"{table.problem}, {table.part.removeprefix('dropout, ')}", xlabel=what)
        axis.legend(fontsize=8)
    save(figure, path)
