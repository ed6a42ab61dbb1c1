"""Which columns of a batch belong to which feature."""

from __future__ import annotations

from typing import Any

from pipeline.data.transforms import Transforms


def places_of(transforms: Transforms) -> dict[str, list[int]]:
    """The places of every feature among the columns of its part; those of an image are its channels.

    Of numbers all values come first and what else there is after them, see `pipeline.spec.Spec`.

    Example:
      >>> import numpy as np, pyarrow as pa
      >>> from pipeline.data.transforms import ClassIndex, Standardize
      >>> from pipeline.data.transforms.transform import fit_on
      >>> gaps = fit_on(Standardize(), pa.array([1.0, 2.0, None]))
      >>> whole = fit_on(Standardize(), pa.array([1.0, 2.0, 3.0]))
      >>> target = ClassIndex().fit(np.array(["a", "b"], object))
      >>> places_of(Transforms((("age", gaps), ("hours", whole)), "label", target))
      {'age': [0, 2], 'hours': [1]}
    """
    places: dict[str, list[int]] = {name: [] for name, _ in transforms.features}
    for part in dict.fromkeys(fitted.part for _, fitted in transforms.features):
        here = [(name, fitted) for name, fitted in transforms.features if fitted.part == part]
        halves = [_first_half(fitted) for _, fitted in here], [_second_half(fitted) for _, fitted in here]
        start = 0
        for counts in halves:
            for (name, _), count in zip(here, counts, strict=True):
                places[name] += range(start, start + count)
                start += count
    return places


def _first_half(fitted: Any) -> int:
    return fitted.lead if fitted.part == "numeric" else 0


def _second_half(fitted: Any) -> int:
    if fitted.part == "numeric":
        return fitted.width - fitted.lead
    if fitted.part == "image":
        return fitted.shape[2]
    return fitted.bag.slots if fitted.part == "bags" else 1
