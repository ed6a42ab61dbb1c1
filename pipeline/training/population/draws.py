"""Random numbers of many trials, each from a seed of its own: drawn beside one another, and not in a loop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf
from tensorflow.python.ops.parallel_for import pfor  # its converters are registered nowhere else

# What TensorFlow's stateless generators of random numbers are made of.
_OPERATIONS = (
    "StatelessRandomGetKeyCounter",
    "StatelessRandomUniformV2",
    "StatelessRandomNormalV2",
    "StatelessTruncatedNormalV2",
    "StatelessRandomUniformIntV2",
    "StatelessRandomUniformFullIntV2",
)


@contextmanager
def drawn_beside() -> Iterator[None]:
    """Inside, `tf.vectorized_map` makes of a generator that has a seed in each trial one operation a trial.

    It knows no other way for them than a loop over the trials, of which a turn costs more than drawing a small mask:
    with seeds of their own 64 small trials took a third longer for a step.

    Example:
      >>> seeds = tf.constant([[1, 2], [3, 4]])
      >>> def draw(seed):
      ...     return tf.random.stateless_uniform([3], seed)
      >>> with drawn_beside():
      ...     found = tf.function(lambda seeds: tf.vectorized_map(draw, seeds))(seeds)
      >>> bool(tf.reduce_all(found == tf.stack([draw(seed) for seed in seeds])))
      True
    """
    known = pfor._pfor_converter_registry
    lent = [name for name in _OPERATIONS if name not in known]
    known |= dict.fromkeys(lent, _convert)
    try:
        yield
    finally:
        for name in lent:
            del known[name]


def _convert(given: Any) -> Any:
    """One operation for each trial."""
    found = tf.get_static_value(given.pfor.loop_len_vector)
    if found is None:
        return pfor._fallback_converter(given)
    num = int(found[0])
    columns = [tf.unstack(x, num=num) if stacked else [x] * num for x, stacked, _ in given.inputs]
    dtypes = [output.dtype for output in given.outputs]
    attributes = given.op.node_def.attr
    trials = [pfor._create_op(given.op_type, [*one], dtypes, attributes).outputs for one in zip(*columns, strict=True)]
    return tuple(pfor.wrap(tf.stack(parts), True) for parts in zip(*trials, strict=True))
