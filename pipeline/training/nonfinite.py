"""A loss that is no number: which step, which batch, what is odd in it, and what to try."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.errors import TrainingError

# Standardized numbers are seldom beyond this; what is may well be the cause.
_LARGE = 1e3


@dataclass(frozen=True)
class Part:
    """One part of a batch: a feature tensor, the labels or the weights.

    Attributes:
      name: its key.
      low, high: of its finite values; NaN where it has none.
      num_nan, num_infinite: values that are none.
      column: where most of those are, or else the largest absolute value; None for a vector.
    """

    name: str
    low: float
    high: float
    num_nan: int
    num_infinite: int
    column: int | None

    @classmethod
    def of(cls, name: str, values: Any) -> Part:
        """Looks at values [rows, ...]; the last axis counts as columns.

        >>> print(Part.of("numeric", np.array([[1.0, np.nan], [2.0, 5.0]])))
        numeric 1 .. 5, 1 NaN, most in column 1
        """
        array = np.asarray(values).astype(np.float64)
        finite = np.isfinite(array)
        known = array[finite] if finite.any() else np.array([np.nan])
        column = None
        if array.ndim > 1 and array.size:
            flat = array.reshape(-1, array.shape[-1])
            odd = (~np.isfinite(flat)).sum(axis=0)
            column = int(odd.argmax() if odd.any() else np.abs(flat).max(axis=0).argmax())
        nan = np.isnan(array)
        return cls(name, float(known.min()), float(known.max()), int(nan.sum()), int((~finite & ~nan).sum()), column)

    @property
    def is_finite(self) -> bool:
        """Whether all values are numbers."""
        return not (self.num_nan or self.num_infinite)

    @property
    def is_large(self) -> bool:
        """Whether some value is far beyond what standardized ones are."""
        return bool(max(abs(self.low), abs(self.high)) > _LARGE)

    def __str__(self) -> str:
        found = f"{self.name} {self.low:g} .. {self.high:g}"
        found += f", {self.num_nan} NaN" if self.num_nan else ""
        found += f", {self.num_infinite} infinite" if self.num_infinite else ""
        if self.column is None or (self.is_finite and not self.is_large):
            return found
        return f"{found}, {'the largest' if self.is_finite else 'most'} in column {self.column}"


def parts_of(batch: tuple[Any, ...] | None) -> list[Part]:
    """Of a batch (features, label) or (features, label, sample_weight)."""
    if batch is None:
        return []
    features, label, *weights = batch
    found = [Part.of(name, values) for name, values in features.items()]
    return [*found, Part.of("label", label), *(Part.of("sample_weight", weight) for weight in weights)]


def not_finite(
    loss: float,
    *,
    step: int,
    epoch: int,
    before: float,
    optimizer: str,
    learning_rate: float,
    batch: tuple[Any, ...] | None,
) -> TrainingError:
    """The error that says all of it.

    Args:
      loss: nan or infinite.
      step, epoch: counted from 1.
      before: the loss of the step before, the last that was finite; NaN where there was none.
      optimizer: its name.
      learning_rate: at that step.
      batch: of that step; None where it cannot be made again.
    """
    parts = parts_of(batch)
    was = f"the loss of the step before was {before:g}" if np.isfinite(before) else "it was the first step"
    shown = "".join(f"\n  {part}" for part in parts)
    return TrainingError(
        f"The loss became {loss:g} at step {step}, in epoch {epoch} with {optimizer} at a learning rate of "
        f"{learning_rate:g}; {was}." + (f" The batch of that step:{shown}" if shown else ""),
        expected="finite losses",
        fix=_what_to_try(parts, learning_rate, is_first=not np.isfinite(before)),
    )


def bad_weights(
    names: list[str],
    *,
    steps: tuple[int, int],
    optimizer: str,
    learning_rate: float,
    batch: tuple[Any, ...] | None,
) -> TrainingError:
    """The error of weights that are no numbers, though the loss still is one.

    Args:
      names: of the weights.
      steps: the first and the last of those in which it happened, counted from 1.
      optimizer: its name.
      learning_rate: at the last of them.
      batch: that holds what is no number, or else the last one; None where it cannot be made again.
    """
    parts = parts_of(batch)
    at = f"at step {steps[0]}" if steps[0] == steps[1] else f"between step {steps[0]} and step {steps[1]}"
    shown = "".join(f"\n  {part}" for part in parts)
    return TrainingError(
        f"The weights {', '.join(names[:3])}{' and others' if len(names) > 3 else ''} became NaN or infinite {at} with "
        f"{optimizer} at a learning rate of {learning_rate:g}."
        + (f" The batch of step {steps[1]}:{shown}" if shown else ""),
        expected="finite weights",
        fix=_what_to_try(parts, learning_rate, is_first=False),
    )


def _what_to_try(parts: list[Part], learning_rate: float, *, is_first: bool) -> str:
    """The likeliest cause first."""
    gentler = (
        f"a lower learning rate, e.g. --set train.learning_rate={learning_rate / 10:g}; clipped gradients, e.g. "
        '--set train.optimizer.clip_norm=1.0; or --set train.schedule="warm_up".'
    )
    odd = [part.name for part in parts if not part.is_finite]
    if odd:
        return f"Values that are no numbers come in as {', '.join(odd)}: mend the data or the augmentation first."
    large = [part.name for part in parts if part.is_large and part.name not in ("image", "categorical", "bags")]
    if large:
        return f"Bring {', '.join(large)} to a smaller range (transforms Clip, Log, QuantileScale), or try {gentler}"
    if is_first:
        return f"The model's first answers are no numbers: look at its layers and their initializers; or try {gentler}"
    return f"Try {gentler}"
