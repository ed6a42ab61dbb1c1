"""Long tails drawn in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pipeline.data.kinds import Kind
from pipeline.data.transforms.numerics import library_of, log1p


@dataclass(frozen=True)
class Log:
    """sign(x) * log(1 + |x|): increasing, defined for every number, and 0 at 0.

    Learns nothing: it is its own fitted form.

    Example:
      >>> Log()(np.array([0.0, np.e - 1, 1 - np.e])).round(12).tolist()
      [0.0, 1.0, -1.0]
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("numeric",)
    scales: ClassVar[bool] = False

    def fit_values(self, values: np.ndarray) -> Log:
        """Itself."""
        return self

    def __call__(self, values: Any) -> Any:
        """float64 [rows], arrays and tensors."""
        library = library_of(values)
        return library.sign(values) * log1p(library.abs(values))
