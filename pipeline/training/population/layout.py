"""The trainable weights of a model as one long row, so that a population's are one matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf


@dataclass(frozen=True)
class Layout:
    """Where each trainable variable lies in the row.

    Attributes:
      shapes: of the variables.
      tables: variables that are tables of embeddings, of which a step changes the rows that the batch names.

    Example:
      >>> layout = Layout(((2, 3), (3,)), ())
      >>> layout.num_weights, layout.segments.tolist()
      (9, [0, 0, 0, 0, 0, 0, 1, 1, 1])
    """

    shapes: tuple[tuple[int, ...], ...]
    tables: tuple[int, ...]

    @classmethod
    def of(cls, model: keras.Model) -> Layout:
        """Of a model's trainable variables, in their order."""
        variables = model.trainable_variables
        layers = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.Embedding)]
        own = {id(layer.embeddings) for layer in layers}
        tables = tuple(place for place, variable in enumerate(variables) if id(variable) in own)
        return cls(tuple(tuple(variable.shape) for variable in variables), tables)

    @property
    def sizes(self) -> list[int]:
        """Weights of each variable."""
        return [int(np.prod(shape)) for shape in self.shapes]

    @property
    def num_weights(self) -> int:
        """Of all of them."""
        return sum(self.sizes)

    @property
    def segments(self) -> np.ndarray:
        """The variable of each weight, int32 [weights]."""
        return np.repeat(np.arange(len(self.shapes), dtype=np.int32), self.sizes)

    @property
    def decays(self) -> np.ndarray:
        """Whether AdamW's decay is for it, bool [weights]: not for what has one dimension."""
        return np.repeat(np.asarray([len(shape) > 1 for shape in self.shapes], bool), self.sizes)

    def row(self, values: Sequence[np.ndarray]) -> np.ndarray:
        """The values of all variables as one row, float32 [weights]."""
        return np.concatenate([np.asarray(value, np.float32).reshape(-1) for value in values])

    def variables(self, rows: tf.Tensor) -> list[tf.Tensor]:
        """The inverse for many: [trials, weights] -> one [trials, *shape] a variable."""
        parts = tf.split(rows, self.sizes, axis=1)
        return [tf.reshape(part, [-1, *shape]) for part, shape in zip(parts, self.shapes, strict=True)]

    def touched(self, gradient: tf.Tensor, regularized: tf.Tensor | None) -> tf.Tensor | None:
        """What a step may change, bool [trials, weights]; None: everything.

        Where the whole row of a table has no gradient, no row of the batch named it; the optimizers leave such a row
        and its moments as they are (see `kernels.py`). With a penalty on it a table has a gradient everywhere.

        Args:
          gradient: float32 [trials, weights], without penalties.
          regularized: bool [trials, variables]; None: nothing is.
        """
        if not self.tables:
            return None
        parts = []
        for place, part in enumerate(tf.split(gradient, self.sizes, axis=1)):
            if place not in self.tables:
                parts.append(tf.ones_like(part, tf.bool))
                continue
            num_rows, width = self.shapes[place]
            rows = tf.reduce_any(tf.reshape(part, [-1, num_rows, width]) != 0, axis=2)
            if regularized is not None:
                rows |= regularized[:, place, tf.newaxis]
            parts.append(tf.repeat(rows, width, axis=1))
        return tf.concat(parts, axis=1)
