"""A convolutional network for text in the order of its words."""

from __future__ import annotations

import keras
import tensorflow as tf

from pipeline.errors import ConfigError
from pipeline.models.bags import split_bags
from pipeline.models.embeddings import inputs
from pipeline.models.regularization import Penalty, kernel
from pipeline.models.text_head import head, other_columns
from pipeline.models.text_sizes import check_sizes, check_text, embedding_penalty
from pipeline.spec import Spec

_WIDTH = 128


@keras.saving.register_keras_serializable(package="pipeline")
class TokenVectors(keras.layers.Layer):
    """The trained vectors of a row's tokens in their order; zeros where there is none (index 0).

    The gradient is a `tf.IndexedSlices` of the vectors of the batch, each of them once, as in `EmbeddingBag`.

    Args:
      size: the number of tokens, padding included.
      width: of a vector.
      dropout: while training each token is left out, as if it were padding, with this probability.
      regularizer: of the vectors; it sees those of the batch only.

    Call with int32 [rows, slots]; returns float32 [rows, slots, width].

    Example:
      >>> TokenVectors(10, 4)(keras.ops.array([[3, 5, 0]])).numpy().any(axis=2).tolist()
      [[True, True, False]]
    """

    def __init__(
        self,
        size: int,
        width: int,
        *,
        dropout: float = 0.0,
        regularizer: keras.regularizers.Regularizer | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.size, self.width, self.dropout = size, width, dropout
        self.regularizer = keras.regularizers.get(regularizer)
        if dropout:
            self.seed_generator = keras.random.SeedGenerator()

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the vectors."""
        start = keras.initializers.RandomUniform(-0.25, 0.25)  # of Kim's paper, see `text_conv`
        self.embeddings = self.add_weight((self.size, self.width), start, autocast=False, name="embeddings")

    def call(self, tokens: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Embeds a batch."""
        if training and self.dropout:
            drawn = keras.random.uniform(tf.shape(tokens), seed=self.seed_generator)
            tokens = tf.where(drawn < self.dropout, 0, tokens)
        different, place = tf.unique(tf.reshape(tokens, [-1]))
        vectors = tf.gather(self.embeddings.value, different)
        if training and self.regularizer is not None:
            self.add_loss(self.regularizer(vectors))
        vectors = tf.cast(vectors, self.compute_dtype) * tf.cast(different != 0, self.compute_dtype)[:, tf.newaxis]
        return tf.gather(vectors, tf.reshape(place, tf.shape(tokens)))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, int | None, int]:
        """[rows, slots, width]."""
        return (input_shape[0], input_shape[1], self.width)

    def get_config(self) -> dict[str, object]:
        """Its arguments, for serialization."""
        regularizer = keras.regularizers.serialize(self.regularizer) if self.regularizer else None
        own = {"size": self.size, "width": self.width, "dropout": self.dropout, "regularizer": regularizer}
        return {**super().get_config(), **own}


def text_conv(
    spec: Spec,
    *,
    width: int | None = None,
    depth: int | None = None,
    sizes: tuple[int, ...] = (1, 2, 3),
    dropout: float = 0.5,
    word_dropout: float = 0.1,
    l1: Penalty = 0.0,
    l2: Penalty = 0.0,
    proximal: bool = False,
) -> keras.Model:
    """Convolutions over the words of a text, of each the strongest answer, the other columns beside them.

    From Kim, "Convolutional Neural Networks for Sentence Classification" (EMNLP 2014). It reads neighbors in `bags` as
    neighbors in the text: of `Tokenize(ngrams=1)` they are, of `HashedText` and of tags they are not.

    Args:
      spec: what the data look like; it must have a bag.
      width: of the word vectors, and filters of each size; None: 128.
      depth: hidden layers of `width` units behind the convolutions; None: 0 for text alone, 1 beside other columns.
      sizes: words that a convolution sees at once.
      dropout: rate after the convolutions, and after each hidden layer.
      word_dropout: each word of a text is left out with this probability at each training step.
      l1, l2: penalties on every kernel; on the vectors of a batch's words where a table names "embedding".
      proximal: whether l1 makes exact zeros; of kernels, not of vectors.

    Returns:
      An uncompiled model from features (see `Spec`) to logits, float32 [rows, spec.num_outputs].

    Raises:
      ConfigError: the data have no text whose words are in order, or an argument is out of range.

    Example:
      >>> from pipeline.spec import Bag
      >>> text_conv(Spec("binary", 2, bags=(Bag(size=99, slots=40, ordered=True),)), width=8).output_shape
      (None, 1)
    """
    check_text(spec, "text_conv")
    _check_order(spec)
    check_sizes(width=width, depth=depth, word_dropout=word_dropout, sizes=min(sizes, default=0))
    features, width = inputs(spec), width or _WIDTH
    penalty, parts = embedding_penalty(l1, l2), []
    for place, (bag, slots) in enumerate(zip(spec.bags, split_bags(features["bags"], spec.bags), strict=True)):
        layer = TokenVectors(bag.size, width, dropout=word_dropout, regularizer=penalty, name=f"tokens_{place}")
        vectors = layer(slots)
        parts += [_strongest(vectors, width, size, kernel(l1, l2, "convolution", proximal)) for size in sizes]
    others = other_columns(features, spec)
    units = (width,) * (bool(others) if depth is None else depth)
    output = head(parts + others, spec, units=units, dropout=dropout, l1=l1, l2=l2, proximal=proximal)
    return keras.Model(features, output, name="text_conv")


def _strongest(
    vectors: keras.KerasTensor, filters: int, size: int, penalty: keras.regularizers.Regularizer | None
) -> keras.KerasTensor:
    """The most that each filter answers anywhere: [rows, slots, width] -> [rows, filters]."""
    convolution = keras.layers.Conv1D(
        filters, size, padding="same", activation="relu", kernel_initializer="he_normal", kernel_regularizer=penalty
    )
    return keras.layers.GlobalMaxPooling1D()(convolution(vectors))


def _check_order(spec: Spec) -> None:
    if not any(bag.ordered for bag in spec.bags):
        raise ConfigError(
            '"model.name" is text_conv, which reads words in their order, but the texts are bags of n-grams.',
            expected="a text prepared word by word",
            fix='Set prepare.defaults.text = "Tokenize", or model.name = "text_bag".',
        )
