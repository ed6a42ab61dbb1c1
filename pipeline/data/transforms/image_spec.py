"""Several image columns as one image: what a model must know of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.errors import ConfigError

_CENTER = 127.5


def image_shape(images: Mapping[str, Any]) -> tuple[int, int, int] | None:
    """The shape of all image columns, their channels one after another; None without any.

    Args:
      images: name -> fitted transform, with a `shape`.

    Raises:
      ConfigError: their sizes differ.
    """
    if not images:
        return None
    sizes = {name: fitted.shape[:2] for name, fitted in images.items()}
    if len(set(sizes.values())) > 1:
        shown = ", ".join(f'"{name}" {height}x{width}' for name, (height, width) in sizes.items())
        raise ConfigError(
            f"The image columns come in several sizes: {shown}.",
            expected="one size, since a model sees them as channels of one image",
            fix="Set prepare.image_size, or the same height and width for each in prepare.transforms.",
        )
    height, width = next(iter(sizes.values()))
    return height, width, sum(fitted.shape[2] for fitted in images.values())


def image_moments(images: Sequence[Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """What a model subtracts from each channel and divides by; empty where no transform learned its `mean`.

    >>> from pipeline.data.transforms.resize_image import FittedResizeImage
    >>> image_moments([FittedResizeImage(8, 8, 1, mean=(9.0,), scale=(3.0,)), FittedResizeImage(8, 8, 1)])
    ((9.0, 127.5), (3.0, 127.5))
    """
    if not any(getattr(fitted, "mean", ()) for fitted in images):
        return (), ()
    mean, scale = ([_of_channels(fitted, name) for fitted in images] for name in ("mean", "scale"))
    return sum(mean, ()), sum(scale, ())


def _of_channels(fitted: Any, name: str) -> tuple[float, ...]:
    found: tuple[float, ...] = getattr(fitted, name, ()) or (_CENTER,) * fitted.shape[2]
    return found
