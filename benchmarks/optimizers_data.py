"""What the benchmark of the optimizers learns: images of digits, which are dense, and sentences, which are sparse."""

from __future__ import annotations

import csv
import itertools
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

# Rows of the table that words and pairs of words are hashed to; row 0 is for no word.
_TABLE_ROWS, _TOKENS, _WIDTH = 1 << 16, 40, 16
_MIN_WORDS = 4


@dataclass(frozen=True)
class Problem:
    """Rows to learn from, and rows to look at.

    Attributes:
      name: for people.
      x: float32 [rows, 64], or int32 [rows, tokens]: places in a table.
      y: int32 [rows], classes from 0.
      num_train: the first rows are for training, the others for validation.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    num_train: int

    @property
    def spec(self) -> Any:
        """What `training.fit` is told of the label."""
        from pipeline.spec import Spec

        return Spec("multiclass", int(self.y.max()) + 1, num_numeric=self.x.shape[1])

    def model(self) -> Any:
        """Two hidden layers of 64 for numbers; the mean of the rows of a table for words. The same at every call."""
        import keras

        keras.utils.set_random_seed(7)
        given = keras.Input((self.x.shape[1],), dtype=self.x.dtype.name, name="x")
        hidden = bag(given, _TABLE_ROWS, _WIDTH) if self.x.dtype == np.int32 else _hidden(given)
        return keras.Model({"x": given}, keras.layers.Dense(int(self.y.max()) + 1)(hidden))

    def train(self, batch_size: int, epochs: int) -> Any:
        """Batches of all epochs, each in an order of its own."""
        random = np.random.default_rng(7)
        count = self.num_train // batch_size * batch_size
        order = np.concatenate([random.permutation(self.num_train)[:count] for _ in range(epochs)])
        return self._batches(order, batch_size)

    def validation(self) -> Any:
        """All the other rows, in one batch."""
        return self._batches(np.arange(self.num_train, len(self.x)), len(self.x))

    def _batches(self, order: np.ndarray, batch_size: int) -> Any:
        import tensorflow as tf

        x, y = tf.constant(self.x), tf.constant(self.y)
        batches = tf.data.Dataset.from_tensor_slices(order).batch(batch_size)
        return batches.map(lambda rows: ({"x": tf.gather(x, rows)}, tf.gather(y, rows)))


def digits() -> Problem:
    """1,797 images of 8x8 pixels that come with scikit-learn."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return _shuffled("digits", (x / 16.0).astype(np.float32), y.astype(np.int32))


def sentences(path: Path | None = None) -> Problem:
    """The words and pairs of words of sentences.

    Args:
      path: of a CSV file with the columns text and label; None: the sentences of the descriptions of scikit-learn's
        data sets, and which data set each is about.
    """
    texts, labels = zip(*(_described() if path is None else _read(path)), strict=True)
    classes = sorted(set(labels))
    x = np.stack([_tokens(text) for text in texts])
    return _shuffled("sentences", x, np.array([classes.index(label) for label in labels], np.int32))


def bag(given: Any, num_rows: int, width: int) -> Any:
    """The mean of the rows of a table, read as a table should be: only the rows that are looked up."""
    import keras
    import tensorflow as tf

    class Bag(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.table = self.add_weight(shape=(num_rows, width), initializer="random_uniform")

        def call(self, indices: Any) -> Any:
            there = tf.cast(indices > 0, tf.float32)[..., None]
            rows = tf.gather(self.table.value, indices)
            return tf.reduce_sum(rows * there, axis=1) / tf.maximum(tf.reduce_sum(there, axis=1), 1.0)

    return Bag()(given)


def _hidden(given: Any) -> Any:
    import keras

    return keras.layers.Dense(64, "relu")(keras.layers.Dense(64, "relu")(given))


def _shuffled(name: str, x: np.ndarray, y: np.ndarray) -> Problem:
    order = np.random.default_rng(0).permutation(len(x))
    return Problem(name, x[order], y[order], num_train=len(x) * 4 // 5)


def _described() -> Iterator[tuple[str, str]]:
    for page in sorted(resources.files("sklearn.datasets.descr").iterdir(), key=lambda page: page.name):
        if page.name.endswith(".rst"):
            for sentence in re.split(r"[.;:]\s+|\n\s*\n", page.read_text(encoding="utf-8")):
                if len(_words(sentence)) >= _MIN_WORDS:
                    yield sentence, page.name


def _read(path: Path) -> Iterator[tuple[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield row["text"], row["label"]


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def _tokens(text: str) -> np.ndarray:
    """int32 [tokens]: words, and then pairs of words, each at the place that its hash says."""
    words = _words(text)
    names = [*words, *(" ".join(pair) for pair in itertools.pairwise(words))][:_TOKENS]
    found = [1 + zlib.crc32(name.encode()) % (_TABLE_ROWS - 1) for name in names]
    return np.array(found + [0] * (_TOKENS - len(found)), np.int32)
