"""Any number of indices a row as one vector: tags, and the words of a text."""

from __future__ import annotations

import keras

from pipeline.spec import Bag


@keras.saving.register_keras_serializable(package="pipeline")
class EmbeddingBag(keras.layers.Layer):
    """The sum of the trained vectors of a row's indices, divided by the square root of their number.

    Index 0 is padding and counts for nothing; a row of padding alone becomes zeros. The mean of word vectors is that of
    Joulin, Grave, Bojanowski and Mikolov, "Bag of Tricks for Efficient Text Classification" (EACL 2017); divided by the
    square root instead, rows of few and of many indices come out equally large.

    Args:
      size: the number of indices, that of padding included.
      width: of a vector.

    Call with int32 [rows, slots]; returns float32 [rows, width].

    Example:
      >>> EmbeddingBag(10, 4)(keras.ops.array([[3, 5, 0], [0, 0, 0]])).numpy().shape
      (2, 4)
    """

    def __init__(self, size: int, width: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.size, self.width = size, width

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the vectors, small enough that a row begins near 0."""
        self.embeddings = self.add_weight(
            shape=(self.size, self.width),
            initializer=keras.initializers.RandomUniform(-0.05, 0.05),
            name="embeddings",
        )

    def call(self, indices: keras.KerasTensor) -> keras.KerasTensor:
        """Embeds a batch."""
        present = keras.ops.cast(keras.ops.not_equal(indices, 0), self.compute_dtype)
        vectors = keras.ops.take(self.embeddings, indices, axis=0)
        total = keras.ops.einsum("rs,rsw->rw", present, vectors)
        count = keras.ops.maximum(keras.ops.sum(present, axis=1, keepdims=True), 1.0)
        return total * keras.ops.rsqrt(count)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, int]:
        """[rows, width]."""
        return (input_shape[0], self.width)

    def get_config(self) -> dict[str, object]:
        """Its arguments, for serialization."""
        return {**super().get_config(), "size": self.size, "width": self.width}


def embed_bags(x: keras.KerasTensor, bags: tuple[Bag, ...]) -> list[keras.KerasTensor]:
    """A vector for every bag of every row: int32 [rows, slots of all bags] -> one [rows, width] a bag.

    The width grows slowly with the bag's size, up to 64, as that of categories does (see `embed_categories`).
    """
    found, start = [], 0
    for place, bag in enumerate(bags):
        width = min(64, round(1.6 * bag.size**0.56))
        found.append(EmbeddingBag(bag.size, width, name=f"bag_{place}")(x[:, start : start + bag.slots]))
        start += bag.slots
    return found
