"""Which columns of a batch are values of their own."""

from __future__ import annotations

import tensorflow as tf

from pipeline.data.augment.examples import Examples


def split_values(examples: Examples) -> tuple[tf.Tensor, tf.Tensor]:
    """`numeric` as its scaled values and what follows them: cyclic and one-hot columns, indicators.

    Returns:
      float32 [rows, values] and float32 [rows, others].
    """
    numeric = examples.features["numeric"]
    num_values = len(examples.spec.edges)
    return numeric[:, :num_values], numeric[:, num_values:]
