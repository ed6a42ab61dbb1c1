"""The pictures of docs/optimizers.md, small enough to lie in the repository."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from benchmarks.optimizers import Curve

_DPI = 60
_TOP = 0.2


def losses(path: Path, found: dict[str, list[Curve]]) -> None:
    """Training loss by epoch: dense on the left, sparse on the right."""
    figure, axes = _axes(len(found))
    for axis, (name, curves) in zip(axes, found.items(), strict=True):
        _curves(axis, curves, "loss")
        axis.set(title=name, ylabel="training loss", yscale="log")
    save(figure, path)


def grid(path: Path, found: np.ndarray, sizes: Sequence[int], rates: Sequence[float]) -> None:
    """Validation loss as a color, batch size against learning rate; the best rate of each size has a ring."""
    figure, (axis,) = _axes(1)
    shown = np.log10(np.minimum(found, 2.5))
    image = axis.imshow(shown, aspect="auto", cmap="viridis_r", origin="lower")
    for row, values in enumerate(found):
        if not np.isnan(values).all():
            axis.plot(int(np.nanargmin(values)), row, "o", markersize=14, markerfacecolor="none", color="red")
    axis.set_xticks(range(len(rates)), [f"1/{1 / rate:g}" if rate < 1 else f"{rate:g}" for rate in rates])
    axis.set_yticks(range(len(sizes)), [str(size) for size in sizes])
    axis.set(xlabel="learning rate", ylabel="batch size")
    figure.colorbar(image, ax=axis, label="log10 of the validation loss")
    save(figure, path)


def schedules(path: Path, curves: list[Curve], steps_per_epoch: int) -> None:
    """The rate by step on the left, the validation loss by epoch on the right."""
    from pipeline.training.schedules import Progress, Rate, plateau_factor

    figure, (left, right) = _axes(2)
    for curve in curves:
        num_steps = steps_per_epoch * len(curve.loss)
        steps = np.arange(num_steps)
        rates = np.array([float(Rate(_TOP, curve.name, Progress.of_steps(num_steps))(step)) for step in steps])  # type: ignore[arg-type]
        if curve.name == "reduce_on_plateau":
            falls = [plateau_factor(curve.val_loss[:epoch], 0.5, 3) for epoch in range(len(curve.loss))]
            rates *= np.repeat(falls, steps_per_epoch)
        left.plot(steps, rates, label=curve.name)
    left.set(xlabel="step", ylabel="learning rate")
    left.legend(fontsize=8)
    _curves(right, curves, "val_loss")
    right.set(ylabel="validation loss", yscale="log")
    save(figure, path)


def safety(path: Path, curves: list[Curve]) -> None:
    """Clipping on the left, averaging on the right."""
    figure, (left, right) = _axes(2)
    _curves(left, curves[:2], "val_loss")
    left.set(title="clipping", ylabel="validation loss", yscale="log")
    _curves(right, curves[2:], "val_loss")
    right.set(title="weight averaging", ylabel="validation loss", yscale="log")
    save(figure, path)


def _axes(count: int) -> tuple[Any, Any]:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, count, figsize=(5.5 * max(count, 1.4), 3.8), layout="constrained")
    return figure, np.atleast_1d(axes)


def _curves(axis: Any, curves: list[Curve], what: str) -> None:
    for curve in curves:
        values = getattr(curve, what)
        failed = "" if values else " (not finite)"
        axis.plot(range(1, len(values) + 1), values, label=curve.name + failed)
    axis.set_xlabel("epoch")
    axis.legend(fontsize=8)


def save(figure: Any, path: Path) -> None:
    from matplotlib import pyplot

    figure.savefig(path, dpi=_DPI)
    pyplot.close(figure)
