"""Values on their way as short texts for people; line breaks and control characters are left to whoever shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from pipeline.data.transforms import Transforms
from pipeline.data.transforms.target import FittedClassIndex

# Of what is long, so much is shown: values of a column, learnt values of a transform, letters of a text.
_VALUES, _LEARNT, _LETTERS = 8, 3, 200
# A soft label names classes from this share on.
_SHARE = 0.005
_JPEG = b"\xff\xd8"


def label_text(transforms: Transforms, label: Any) -> str:
    """A label of a batch for people: the class, or shares of classes, or the quantity in its own unit."""
    target = transforms.target
    if not isinstance(target, FittedClassIndex):
        return f"{float(target.inverse(float(label))):.6g}"
    if np.ndim(label) == 0:
        return target.names[int(label)]
    shares = sorted(((float(share), name) for share, name in zip(label, target.names, strict=True)), reverse=True)
    return " + ".join(f"{share:.2f} {name}" for share, name in shares if share >= _SHARE)


def raw_text(value: Any) -> str:
    r"""A stored raw value in short; nothing where it is missing.

    >>> raw_text(None), raw_text(39.0), raw_text(["jazz", "live"]), raw_text(b"\x89PNG....")
    ('', '39', 'jazz | live', 'PNG, 8 bytes')
    """
    if value is None:
        return ""
    if isinstance(value, bytes):
        return f"{'JPEG' if value.startswith(_JPEG) else 'PNG'}, {len(value):,} bytes"
    if isinstance(value, float):
        return f"{value:.10g}"
    text = " | ".join(value) if isinstance(value, list) else str(value)
    return text if len(text) <= _LETTERS else f"{text[: _LETTERS - 1]}…"


def encoded_text(part: str, values: np.ndarray) -> str:
    """The values of one feature of one row.

    >>> encoded_text("numeric", np.array([0.25, 1.0])), encoded_text("bags", np.array([5, 9, 0, 0]))
    ('0.25 1', '5 9 (2 of 4 slots)')
    """
    if part == "image":
        return f"{values.dtype} {' x '.join(map(str, values.shape))}, {values.min()} to {values.max()}"
    present = values[values != 0] if part == "bags" else values
    more = f" … ({len(values)} columns)" if part == "numeric" and len(present) > _VALUES else ""
    if part == "bags":
        more = f" ({len(present)} of {len(values)} slots)"
    return " ".join(f"{value:.4g}" for value in present[:_VALUES]) + more


def described(thing: Any) -> str:
    """A dataclass on one line, what is long cut.

    >>> from pipeline.data.transforms.vocabulary import FittedVocabulary
    >>> described(FittedVocabulary(("a", "b", "c", "d", "e")))
    'FittedVocabulary(tokens=(a, b, c, … 2 more))'
    """
    if is_dataclass(thing) and not isinstance(thing, type):
        inside = ", ".join(f"{field.name}={described(getattr(thing, field.name))}" for field in fields(thing))
        return f"{type(thing).__name__}({inside})"
    if isinstance(thing, tuple | list):
        return f"({', '.join(_cut([described(item) for item in thing]))})"
    if isinstance(thing, dict):
        return f"({', '.join(_cut([f'{key}={described(item)}' for key, item in thing.items()]))})"
    return f"{thing:.4g}" if isinstance(thing, float) else str(thing)


def _cut(items: Sequence[str]) -> list[str]:
    more = len(items) - _LEARNT
    return [*items[:_LEARNT], f"… {more} more"] if more > 1 else list(items)
