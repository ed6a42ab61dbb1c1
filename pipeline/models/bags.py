"""Any number of indices a row as one vector: tags, and the words of a text."""

from __future__ import annotations

import keras
import tensorflow as tf

from pipeline.errors import ConfigError
from pipeline.spec import Bag

_LIMIT = 0.05


@keras.saving.register_keras_serializable(package="pipeline")
class EmbeddingBag(keras.layers.Layer):
    """The sum of the trained vectors of a row's indices, divided by the square root of their number.

    Index 0 is padding and counts for nothing; a row of padding alone becomes zeros. The mean of word vectors is that of
    Joulin, Grave, Bojanowski and Mikolov, "Bag of Tricks for Efficient Text Classification" (EACL 2017); divided by the
    square root instead, rows of few and of many indices come out equally large.

    The work is that of the indices that are there: of 1,000 slots with 10 indices, ten vectors are read. The gradient
    is a `tf.IndexedSlices` of the vectors of the batch, each of them once, so that a step costs the same for any size.

    Args:
      size: the number of indices, that of padding included.
      width: of a vector.
      dropout: while training each index is left out with this probability; what is left counts as the whole row. So
        has Iyyer, Manjunatha, Boyd-Graber and Daumé, "Deep Unordered Composition Rivals Syntactic Methods for Text
        Classification" (ACL 2015) it.
      gain: what the result is multiplied by. An optimizer that scales gradients by their size, as Adagrad and Adam do,
        then moves a row's vector as many times faster than the weights of other layers.
      limit: vectors begin uniformly between -limit and limit; at 0 where it is 0.
      regularizer: of the vectors; it sees those of the batch only, since a penalty on all would cost all.

    Call with int32 [rows, slots]; returns float32 [rows, width].

    Raises:
      ConfigError: the dropout is out of range.

    Example:
      >>> EmbeddingBag(10, 4)(keras.ops.array([[3, 5, 0], [0, 0, 0]])).numpy().shape
      (2, 4)
    """

    def __init__(
        self,
        size: int,
        width: int,
        *,
        dropout: float = 0.0,
        gain: float = 1.0,
        limit: float = _LIMIT,
        regularizer: keras.regularizers.Regularizer | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        if not 0 <= dropout < 1:
            raise ConfigError(f"The dropout of indices is {dropout}.", expected="0 or more and below 1")
        self.size, self.width, self.dropout = size, width, dropout
        self.gain, self.limit = gain, limit
        self.regularizer = keras.regularizers.get(regularizer)
        if dropout:
            self.seed_generator = keras.random.SeedGenerator()

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the vectors, small enough that a row begins near 0."""
        # Without autocast: to convert the whole table for a few of its vectors would cost its size.
        self.embeddings = self.add_weight(
            shape=(self.size, self.width),
            initializer=keras.initializers.RandomUniform(-self.limit, self.limit),
            autocast=False,
            name="embeddings",
        )

    def call(self, indices: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Embeds a batch."""
        row, index = self._present(indices, bool(training))
        different, place = tf.unique(index)
        # Read from the variable itself: the gradient of that is the rows that were read, not a whole table.
        vectors = tf.gather(self.embeddings.value, different)
        if training and self.regularizer is not None:
            self.add_loss(self.regularizer(vectors))
        num_rows = tf.shape(indices)[0]
        total = _sum_of(tf.cast(vectors, self.compute_dtype), place, row, num_rows)
        count = tf.math.unsorted_segment_sum(tf.ones_like(row, total.dtype), row, num_rows)
        # Rounded alike for a row alone and for many, as `rsqrt` is not. TensorFlow puts that in the place of a division
        # by a root, if nothing stands between the two.
        return self.gain * total / tf.sqrt(tf.maximum(count, 1))[:, tf.newaxis]

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, int]:
        """[rows, width]."""
        return (input_shape[0], self.width)

    def get_config(self) -> dict[str, object]:
        """Its arguments, for serialization."""
        regularizer = keras.regularizers.serialize(self.regularizer) if self.regularizer else None
        own = {name: getattr(self, name) for name in ("size", "width", "dropout", "gain", "limit")}
        return {**super().get_config(), **own, "regularizer": regularizer}

    def _present(self, indices: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """Row and value of each index that counts, row by row: int64 and int32 [indices]."""
        places = tf.where(tf.not_equal(indices, 0))
        if training and self.dropout:
            drawn = keras.random.uniform(tf.shape(places)[:1], seed=self.seed_generator)
            places = tf.boolean_mask(places, drawn >= self.dropout)
        return places[:, 0], tf.gather_nd(indices, places)


def embed_bags(x: keras.KerasTensor, bags: tuple[Bag, ...]) -> list[keras.KerasTensor]:
    """A vector for every bag of every row: int32 [rows, slots of all bags] -> one [rows, width] a bag.

    The width grows slowly with the bag's size, up to 64, as that of categories does (see `embed_categories`).
    """
    widths = [min(64, round(1.6 * bag.size**0.56)) for bag in bags]
    parted = zip(bags, widths, split_bags(x, bags), strict=True)
    return [EmbeddingBag(bag.size, width, name=f"bag_{place}")(part) for place, (bag, width, part) in enumerate(parted)]


def split_bags(x: keras.KerasTensor, bags: tuple[Bag, ...]) -> list[keras.KerasTensor]:
    """The slots of each bag: int32 [rows, slots of all bags] -> one [rows, slots] a bag."""
    found, start = [], 0
    for bag in bags:
        found.append(x[:, start : start + bag.slots])
        start += bag.slots
    return found


def _sum_of(vectors: tf.Tensor, place: tf.Tensor, row: tf.Tensor, num_rows: tf.Tensor) -> tf.Tensor:
    """The sum of the vectors of each row.

    Args:
      vectors: [different, width], the different ones of a batch.
      place: int32 [indices], which of them each index is.
      row: int64 [indices], whose it is.
      num_rows: int32 [].

    Returns:
      [rows, width].
    """

    @tf.custom_gradient
    def total(vectors: tf.Tensor) -> tuple[tf.Tensor, object]:
        # TensorFlow's own gradient of a gather warns of a shape it does not know, and does the same.
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            return tf.math.unsorted_segment_sum(tf.gather(upstream, row), place, tf.shape(vectors)[0])

        return tf.math.unsorted_segment_sum(tf.gather(vectors, place), row, num_rows), gradient

    return total(vectors)
