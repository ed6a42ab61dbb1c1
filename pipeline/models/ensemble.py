"""Many networks in one, that share all large weights: BatchEnsemble, in the small form of TabM.

Inside the network the members stand first, [members, rows, width]: then all shared layers are one large matrix product
over members times rows, and what each member has of its own is a batch of small ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf


@keras.saving.register_keras_serializable(package="pipeline")
class MemberInputs(keras.layers.Layer):
    """Each member's view of the same row: the row times numbers of its own.

    From Wen, Tran and Ba, "BatchEnsemble: an Alternative Approach to Efficient Ensemble and Lifelong Learning" (ICLR
    2020); that one such layer before the shared ones is enough, and that its numbers should begin far apart, is TabM's
    finding ("TabM-mini", cited at `PiecewiseEmbedding`).

    Args:
      members: of the ensemble.
      signs: whether the numbers begin as -1 or 1, else normally distributed; signs suit plain columns, of which none
        must be nearly lost to a member.
      sections: the width of every column's vector; all numbers of a column begin as one, so that a member sees more or
        less of a column, and not a distorted vector of it (California housing, 16 members: validation error 0.1398
        after 0.1424). None: each number begins on its own.

    Call with float32 [rows, width]; returns float32 [members, rows, width].

    Example:
      >>> MemberInputs(3)(keras.ops.ones((5, 2))).shape
      TensorShape([3, 5, 2])
    """

    def __init__(
        self, members: int, signs: bool = False, sections: Sequence[int] | None = None, **kwargs: object
    ) -> None:
        super().__init__(**kwargs)
        self.members, self.signs, self.sections = members, signs, sections and list(sections)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the numbers."""
        sections = self.sections or [1] * (input_shape[-1] or 0)
        column = np.repeat(np.arange(len(sections)), sections)
        normal = keras.initializers.RandomNormal(0.0, 1.0)

        def draw(shape: tuple[int, ...], dtype: object = None) -> keras.KerasTensor:
            drawn = keras.ops.take(normal((*shape[:-1], len(sections)), dtype), column, axis=-1)
            return keras.ops.sign(drawn) if self.signs else drawn

        self.scale = self.add_weight(shape=(self.members, 1, input_shape[-1]), initializer=draw, name="scale")

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """The views of a batch."""
        return self.scale * x[None]

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """[members, rows, width]."""
        return (self.members, *input_shape)

    def get_config(self) -> dict[str, object]:
        """Its arguments, for serialization."""
        own = {"members": self.members, "signs": self.signs, "sections": self.sections}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="pipeline")
class MemberDropout(keras.layers.Dropout):
    """Dropout that draws random numbers for one member, and gives each other member those of another row.

    Every unit of every row of every member is dropped with the same probability, and no member drops for a row what
    another one drops for it; only the mask of row 3 in one member is that of row 7 in another. Of an ensemble of 32
    members, plain dropout spent half of a training step on drawing random numbers.

    Args:
      rate: part of the units that are dropped.

    Call with float32 [members, rows, width]; returns the same shape.

    Example:
      >>> dropped = MemberDropout(0.5)(keras.ops.ones((4, 8, 3)), training=True)
      >>> sorted(set(dropped.numpy().ravel().tolist()))
      [0.0, 2.0]
    """

    def call(self, inputs: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """Drops while training, else nothing."""
        return self.drop(inputs, self.rate) if training and self.rate > 0 else inputs

    def drop(self, inputs: keras.KerasTensor, rate: float | tf.Tensor) -> keras.KerasTensor:
        """Drops at a rate that may be a tensor, of the dtype of the inputs."""
        members, (rows, width) = inputs.shape[0], tf.unstack(tf.shape(inputs)[1:])
        kept = keras.random.uniform((rows, width), seed=self.seed_generator)
        mask = tf.cast(kept >= tf.cast(rate, kept.dtype), inputs.dtype) * tf.cast(1 / (1 - rate), inputs.dtype)
        shift = tf.range(members) * rows // members
        return inputs * tf.gather(mask, (tf.range(rows) + shift[:, tf.newaxis]) % rows)


@keras.saving.register_keras_serializable(package="pipeline")
class MemberOutputs(keras.layers.Layer):
    """A linear layer of its own for each member, and the rows first again.

    Args:
      units: outputs of each member.
      kernel_regularizer: of all members' weights.

    Call with float32 [members, rows, width]; returns float32 [rows, members, units].

    Example:
      >>> MemberOutputs(2)(keras.ops.ones((3, 5, 4))).shape
      TensorShape([5, 3, 2])
    """

    def __init__(
        self, units: int, kernel_regularizer: keras.regularizers.Regularizer | None = None, **kwargs: object
    ) -> None:
        super().__init__(**kwargs)
        self.units, self.kernel_regularizer = units, keras.regularizers.get(kernel_regularizer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the weights."""
        members, _, width = input_shape
        self.kernel = self.add_weight(
            shape=(members, width, self.units),
            initializer=keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform"),
            regularizer=self.kernel_regularizer,
            name="kernel",
        )
        self.bias = self.add_weight(shape=(members, 1, self.units), initializer="zeros", name="bias")

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """The outputs of a batch."""
        return tf.transpose(tf.matmul(x, self.kernel) + self.bias, [1, 0, 2])

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """[rows, members, units]."""
        return (input_shape[1], input_shape[0], self.units)

    def get_config(self) -> dict[str, object]:
        """Its arguments, for serialization."""
        regularizer = keras.regularizers.serialize(self.kernel_regularizer)
        return {**super().get_config(), "units": self.units, "kernel_regularizer": regularizer}
