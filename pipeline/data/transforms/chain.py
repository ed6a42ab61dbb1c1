"""Steps for numbers, one after another, ending in a scaler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from pipeline.data.kinds import Kind
from pipeline.data.transforms.impute import Impute
from pipeline.data.transforms.numerics import clip, library_of
from pipeline.data.transforms.standardize import LIMIT, NumberLearner, Standardize, floats_of, is_wide
from pipeline.data.transforms.step import FittedStep, Step, check_order, is_scaler
from pipeline.data.transforms.transform import Transform

if TYPE_CHECKING:
    import tensorflow as tf

# If the train values lose more than this share of their differences in float32, clients send float64.
_MAX_LOST_FRACTION = 0.1


@dataclass(frozen=True)
class Chain:
    """Steps for numbers: each is fitted on what those before it make of a sample of train.

    What is missing takes no part until `impute`, and does not count in what steps learn.

    Args:
      steps: the last one a scaler.
      impute: what becomes of missing numbers.
      impute_at: before which of the steps.

    Example:
      >>> from pipeline.data.transforms import Clip, RobustScale
      >>> from pipeline.data.transforms.transform import fit_on
      >>> fitted = fit_on(Chain.of([Clip(minimum=0.0), RobustScale()]), pa.array([-9.0, 1.0, 2.0, 3.0, 4.0]))
      >>> fitted(pa.array([2.0, 4.0, None])).tolist()
      [[0.0], [1.0], [0.0]]
    """

    steps: tuple[Step, ...]
    impute: Impute
    impute_at: int
    kinds: ClassVar[tuple[Kind, ...]] = ("numeric",)

    @staticmethod
    def of(steps: Sequence[Any], key: str = "transforms") -> Transform:
        """A chain, with what it does not name: `Standardize` at its end, and `Impute` right before the scaler.

        Args:
          steps: `Impute` at most once, a scaler at the end alone.
          key: where they stand in the config, for errors.

        Returns:
          A `Chain`; `Standardize` alone stays what it is.

        Raises:
          ConfigError: the order does not fit, or one of them is no step.
        """
        if list(steps) == [Standardize()]:
            return Standardize()
        check_order(steps, key)
        imputes = [place for place, step in enumerate(steps) if isinstance(step, Impute)]
        others = [step for step in steps if not isinstance(step, Impute)]
        if not others or not is_scaler(others[-1]):
            others.append(Standardize())
        if imputes:
            return Chain(tuple(others), steps[imputes[0]], imputes[0])
        return Chain(tuple(others), Impute(getattr(others[-1], "typical", "mean")), len(others) - 1)

    def learner(self) -> NumberLearner:
        """What must see train."""
        return NumberLearner()

    def fit(self, learner: NumberLearner) -> FittedChain:
        """From a sample of the train values; whether anything is missing, from all of them."""
        values = _with_ends(learner)
        dtype = "float64" if _loses_in_float32(learner.moments, values) else "float32"
        fitted: list[FittedStep] = []
        fill = 0.0
        for place, step in enumerate(self.steps):
            if place == self.impute_at:
                fill = self.impute.value_of(values)
            fitted.append(step.fit_values(values))
            values = fitted[-1](values)
        indicator = self.impute.indicator_of(learner.moments)
        return FittedChain(tuple(fitted), fill, self.impute_at, indicator, dtype)


@dataclass(frozen=True)
class FittedChain:
    """The steps in their order; what comes out of the scaler is cut at -20 and 20, as `Standardize` does it.

    Attributes:
      steps: fitted.
      fill: what becomes of a missing or not-finite number.
      fill_at: before which of the steps.
      indicator: whether a second column tells what was missing.
      dtype: of the raw column when serving; float64 where float32 would lose what distinguishes values.
    """

    steps: tuple[FittedStep, ...]
    fill: float
    fill_at: int
    indicator: bool
    dtype: str
    part: ClassVar[str] = "numeric"
    lead: ClassVar[int] = 1

    @property
    def width(self) -> int:
        """The number of columns."""
        return 1 + self.indicator

    def __call__(self, column: pa.Array) -> np.ndarray:
        """Encodes a stored column, float64 with null where missing: float32 [rows, width]."""
        with np.errstate(over="ignore"):  # beyond the range of float32 is not finite: missing, as in serving
            raw = floats_of(column).astype(self.dtype).astype(np.float64)
        missing = ~np.isfinite(raw)
        with np.errstate(over="ignore"):
            scaled = self._apply(np.where(missing, 0.0, raw), missing)
        return np.stack([scaled, missing] if self.indicator else [scaled], axis=1).astype(np.float32)

    def layer(self) -> Any:
        """The same in TensorFlow: `dtype` [rows] -> float32 [rows, width], bit for bit equal."""
        import tensorflow as tf

        class Layer(tf.Module):
            """The serving form."""

            def __call__(_, values: tf.Tensor) -> tf.Tensor:
                raw = tf.cast(values, tf.float64)
                missing = tf.logical_not(tf.math.is_finite(raw))
                scaled = self._apply(tf.where(missing, tf.constant(0.0, tf.float64), raw), missing)
                columns = [scaled, tf.cast(missing, tf.float64)] if self.indicator else [scaled]
                return tf.cast(tf.stack(columns, axis=1), tf.float32)

        return Layer()

    def _apply(self, values: Any, missing: Any) -> Any:
        """float64 [rows]; up to `fill_at` a missing value passes as 0, which is then replaced."""
        for place, step in enumerate(self.steps):
            if place == self.fill_at:
                library = library_of(values)
                values = library.where(missing, library.zeros_like(values) + self.fill, values)
            values = step(values)
        return clip(values, -LIMIT, LIMIT)


def _with_ends(learner: NumberLearner) -> np.ndarray:
    """The sample; where it is not all of train, with the smallest and the largest of train."""
    values, moments = learner.values(), learner.moments
    return values if len(values) == moments.count else np.append(values, [moments.minimum, moments.maximum])


def _loses_in_float32(moments: Any, values: np.ndarray) -> bool:
    if is_wide(moments):
        return True
    with np.errstate(over="ignore"):
        kept = len(np.unique(values.astype(np.float32)))
    return kept < (1 - _MAX_LOST_FRACTION) * len(np.unique(values))
