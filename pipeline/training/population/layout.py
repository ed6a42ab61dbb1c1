"""The trainable weights of a model as one long row, so that a population's are one matrix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipeline.training.population.lent import lending


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
        own = {id(layer.embeddings) for layer in _embeddings(model)}
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
        # Slices: `tf.split` along the second axis took a fifth of a step of 16 small trials.
        ends = np.cumsum(self.sizes).tolist()
        parts = [rows[:, end - size : end] for end, size in zip(ends, self.sizes, strict=True)]
        return [tf.reshape(part, [-1, *shape]) for part, shape in zip(parts, self.shapes, strict=True)]

    def rows(self, variables: Sequence[tf.Tensor]) -> tf.Tensor:
        """One [trials, *shape] a variable -> [trials, weights]."""
        return tf.concat([tf.reshape(one, [-1, size]) for one, size in zip(variables, self.sizes, strict=True)], axis=1)

    def touched(self, named: Sequence[tf.Tensor], regularized: tf.Tensor | None) -> tf.Tensor | None:
        """What a step may change, bool [trials, weights]; None: everything.

        A row of a table that no row of the batch named is left as it is by the optimizers, and so are its moments (see
        `kernels.py`). One that was named moves even where its gradient is 0. With a penalty on it a table has a
        gradient everywhere.

        Args:
          named: see `naming`; of all trials.
          regularized: bool [trials, variables]; None: nothing is.
        """
        if not self.tables:
            return None
        parts, rows_of = [], dict(zip(self.tables, named, strict=True))
        for place, size in enumerate(self.sizes):
            if place not in rows_of:
                parts.append(tf.ones([tf.shape(named[0])[0], size], tf.bool))
                continue
            rows = rows_of[place]
            if regularized is not None:
                rows |= regularized[:, place, tf.newaxis]
            parts.append(tf.repeat(rows, self.shapes[place][1], axis=1))
        return tf.concat(parts, axis=1)

    @contextmanager
    def naming(self, model: keras.Model) -> Iterator[list[tf.Tensor]]:
        """Afterwards the list holds which rows of each table were looked up inside, bool [rows of the table] each.

        Args:
          model: whose embeddings are lent another `call`.

        Example:
          >>> inputs = keras.Input((2,), dtype="int32")
          >>> model = keras.Model(inputs, keras.layers.Embedding(3, 4)(inputs))
          >>> with Layout.of(model).naming(model) as named:
          ...     _ = model(tf.constant([[0, 2], [2, 2]]))
          >>> named[0].numpy().tolist()
          [True, False, True]
        """
        named: list[tf.Tensor] = []
        looked_up: dict[int, list[tf.Tensor]] = {}
        calls = {
            layer: partial(_call, layer, looked_up.setdefault(id(layer.embeddings), [])) for layer in _embeddings(model)
        }
        with lending(calls):
            yield named
        for place in self.tables:
            seen = [tf.reshape(one, [-1]) for one in looked_up[id(model.trainable_variables[place])]]
            rows = tf.concat([tf.zeros(0, tf.int32), *seen], axis=0)
            named.append(tf.math.unsorted_segment_sum(tf.ones_like(rows), rows, self.shapes[place][0]) > 0)


def _embeddings(model: keras.Model) -> list[Any]:
    return [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.Embedding)]


def _call(layer: Any, seen: list[tf.Tensor], inputs: tf.Tensor) -> tf.Tensor:
    seen.append(tf.cast(inputs, tf.int32))
    return type(layer).call(layer, inputs)
