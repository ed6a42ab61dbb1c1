"""Batches of text: ours encoded once into a store, theirs by `TextVectorization` in `map`, in every epoch anew."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from benchmarks.report import Result
from benchmarks.rounds import LOOPS, Way, compare

# A usual size for texts, and that of `train.batch_size` where a config names none.
BATCHES = (64, 256)
_MAX_TOKENS, _NUM_WORDS, _BUFFER = 20_000, 5_000, 100_000
# So many texts are taken in a round of ours, in whole epochs: some seconds' worth, so that the start, 0.1 s, weighs
# little.
_ROUND_TEXTS = 2_000_000


def of_text(folder: Path, file: Path | None, num_texts: int, times: int) -> list[Result]:
    """Texts of a file, if one is given, and generated sentences."""
    results = []
    if file is not None:
        table = pyarrow.csv.read_csv(file)
        results += _of_texts(folder / "file", file.parent.name, table["text"].to_pylist(), times)
    return results + _of_texts(folder / "generated", f"{num_texts:,} sentences", sentences(num_texts), times)


def sentences(count: int) -> list[str]:
    """Of 4 to 19 words, the first ones of the vocabulary far more often than the last ones."""
    random = np.random.default_rng(0)
    letters = np.array(list("abcdeilmnorstu"))
    words = np.array(["".join(random.choice(letters, 2 + place % 7)) for place in range(_NUM_WORDS)])
    lengths = 4 + np.arange(count) % 16
    drawn = words[(_NUM_WORDS * random.random(int(lengths.sum())) ** 3).astype(int)]
    return [" ".join(text) for text in np.split(drawn, np.cumsum(lengths)[:-1])]


def _of_texts(folder: Path, name: str, texts: list[str], times: int) -> list[Result]:

    _encoded(folder, texts[:1000])  # imports and traces
    started = time.perf_counter()
    store = _encoded(folder, texts)
    results = [Result(f"text, {name}: fit and encode once", len(texts) / (time.perf_counter() - started), "texts/s")]
    for batch_size in BATCHES:
        results += _of_batches(store, f"text, {name}, {batch_size} a batch", texts, batch_size, times)
    return results


def _of_batches(store: Any, what: str, texts: list[str], batch_size: int, times: int) -> list[Result]:
    from pipeline import data

    vectorized = {
        "TextVectorization": _vectorized(texts, batch_size),
        "the same, shuffled": _vectorized(texts, batch_size, shuffle=True),
    }
    seeds, epochs, results = itertools.count(), max(_ROUND_TEXTS // len(texts), 1), list[Result]()

    def ours() -> Any:
        return data.make_train(store, batch_size=batch_size, seed=next(seeds), epochs=epochs)

    for loop_name, loop in LOOPS.items():
        others = [
            Way(other, lambda dataset=dataset, loop=loop: loop(dataset, len(texts)), 10.0)
            for other, dataset in vectorized.items()
        ]
        way = Way("ours", lambda loop=loop: loop(ours(), epochs * len(texts)))
        results += compare(f"{what}, {loop_name}", "texts/s", way, others, times)
    return results


def _encoded(folder: Path, texts: list[str]) -> Any:
    """Words and pairs of words, hashed: what `prepare` makes of a column of text."""
    from pipeline.data.store import Store, StoreWriter
    from pipeline.data.transforms import HashedText
    from pipeline.data.transforms.transform import fit_on
    from pipeline.spec import Spec

    column = pa.array(texts)
    fitted = fit_on(HashedText(), column)
    spec = Spec("binary", 2, bags=(fitted.bag,), num_train=len(texts))
    columns = {"bags": ("int32", (fitted.bag.slots,)), "label": ("int32", ())}
    writer = StoreWriter(folder, len(texts), columns, spec=spec)
    writer.append({"bags": fitted(column), "label": _labels(texts)})
    writer.close()
    return Store(folder)


def _vectorized(texts: list[str], batch_size: int, shuffle: bool = False) -> Any:
    """Words and pairs of words, looked up in a vocabulary; as they come, or shuffled, as ours are."""
    import keras
    import tensorflow as tf

    vectorize = keras.layers.TextVectorization(max_tokens=_MAX_TOKENS, ngrams=2, output_mode="int")
    vectorize.adapt(tf.data.Dataset.from_tensor_slices(texts).batch(1024))
    slices = tf.data.Dataset.from_tensor_slices((texts, _labels(texts)))
    slices = slices.shuffle(_BUFFER) if shuffle else slices
    vectorized = slices.batch(batch_size).map(
        lambda text, label: (vectorize(text), label), num_parallel_calls=tf.data.AUTOTUNE
    )
    return vectorized.prefetch(tf.data.AUTOTUNE)


def _labels(texts: list[str]) -> np.ndarray:
    return np.arange(len(texts), dtype=np.int32) % 2
