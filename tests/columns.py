"""Columns for tests of transforms: as they come, as `ingest` stores them, and as a client sends them."""

from __future__ import annotations

import datetime
import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf
from hypothesis import strategies as st
from PIL import Image

from pipeline.data.missing import MISSING
from pipeline.data.transforms.transform import fit_on
from pipeline.export.raw import raw_column

STORED_TYPES = {
    "numeric": pa.float64(),
    "categorical": pa.string(),
    "datetime": pa.timestamp("us"),
    "tags": pa.list_(pa.string()),
    "text": pa.string(),
    "image": pa.binary(),
}


def image_bytes(width: int, height: int, mode: str = "L", kind: str = "PNG", seed: int = 0) -> bytes:
    shape = (height, width) if mode == "L" else (height, width, 3)
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8), mode).save(buffer, kind)
    return buffer.getvalue()


IMAGES = [
    image_bytes(8, 8),
    image_bytes(5, 9, "RGB", seed=1),
    image_bytes(20, 30, "RGB", "JPEG", seed=2),
    image_bytes(40, 3, "L", "JPEG", seed=3),
    image_bytes(1, 1),
]

# Subnormal numbers apart, which TensorFlow takes for 0.
FLOATS = (
    st.floats(width=32, allow_subnormal=False)
    | st.sampled_from([float("nan"), float("inf"), 1e300, -1e300, 1e9 + 0.1, 0.0, 1.0, 1.0, 2.0, -7.5])
    | st.integers(-20, 20).map(float)
)
TEXTS = st.sampled_from(
    ["a", " a ", "b\t", "\x0bc\r\n", "?", "", " NaN", "nan", "ä", "\u00a0a", "never seen"]
) | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4)
TIMES = st.datetimes(datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31, 23, 59, 59, 999_999)) | st.none()
RAW: dict[str, st.SearchStrategy[Any]] = {
    "numeric": FLOATS,
    "categorical": TEXTS,
    "datetime": TIMES,
    "tags": st.none() | st.lists(TEXTS, max_size=5),
    "text": st.none() | TEXTS | st.lists(TEXTS, max_size=8).map(" ".join),
    "image": st.sampled_from([*IMAGES, b"", None]),
}


def stored(values: list[Any], kind: str) -> pa.Array:
    """A column as `ingest` stores it."""
    column = pa.array(values, STORED_TYPES[kind])
    if kind == "numeric":
        return pc.if_else(pc.is_finite(column), column, pa.scalar(None, pa.float64()))
    if kind in ("categorical", "text"):
        stripped = pc.ascii_trim_whitespace(column)
        return pc.if_else(pc.is_in(stripped, value_set=pa.array(MISSING)), pa.scalar(None, pa.string()), stripped)
    return column


def learnable(values: list[Any], kind: str) -> pa.Array:
    """A stored column as a learner takes it: images with their sizes."""
    column = stored(values, kind)
    if kind != "image":
        return column
    sizes = [None if not image else Image.open(io.BytesIO(image)) for image in values]
    about = [
        pa.array([None if one is None else one.height for one in sizes], pa.int32()),
        pa.array([None if one is None else one.width for one in sizes], pa.int32()),
        pa.array([None if one is None else len(one.getbands()) for one in sizes], pa.int32()),
    ]
    return pa.StructArray.from_arrays([column, *about], names=["image", "height", "width", "channels"])


def fitted_on(transform: Any, values: list[Any], kind: str) -> Any:
    """A configured transform, fitted on a column as it came."""
    return fit_on(transform, learnable(values, kind))


def encoded(fitted: Any, values: list[Any], kind: str) -> np.ndarray:
    """What training sees of a column."""
    found: np.ndarray = fitted(stored(values, kind))
    return found


def sent(fitted: Any, values: list[Any], kind: str) -> tf.Tensor:
    """The column as a client sends it."""
    if kind in ("categorical", "text"):  # as they came, before they were stripped
        return tf.constant([value or "" for value in values], tf.string, shape=[len(values)])
    if kind == "numeric":
        with np.errstate(over="ignore"):
            return tf.constant(np.asarray(values, np.float64).astype(fitted.dtype))
    column = raw_column(stored(values, kind), fitted.dtype, is_image=kind == "image")
    return tf.constant(column.tolist(), fitted.dtype, shape=[len(values)])
