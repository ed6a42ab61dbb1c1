"""Handwritten digits of 8x8 pixels: what comes with scikit-learn, as a TFDS data set; nothing is downloaded."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

_DESCRIPTION = """
1,797 handwritten digits of 13 people, as grey images of 8x8 pixels: the test part of the UCI data set "Optical
Recognition of Handwritten Digits", as it comes with scikit-learn. Grey levels 0 to 16 are stretched to 0 to 255.

A fifth of the images is `test`. The side of an image follows from a hash of its pixels, so that equal images are on
one side, and an image stays on its side should others come or go.
"""
_CITATION = """
@misc{alpaydin1998optical,
  author = {Alpaydin, E. and Kaynak, C.},
  title = {Optical Recognition of Handwritten Digits},
  year = {1998},
  publisher = {UCI Machine Learning Repository},
  doi = {10.24432/C50P49}
}
"""
_TEST_FRACTION = 0.2


class Builder(tfds.core.GeneratorBasedBuilder):
    """Generates `image` (8x8x1, PNG) and `label` (0 to 9) with splits `train` and `test`."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First."}  # noqa: RUF012 (as TFDS declares it)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(8, 8, 1), encoding_format="png"),
                    "label": tfds.features.ClassLabel(names=[str(digit) for digit in range(10)]),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://archive.ics.uci.edu/dataset/80",
            citation=_CITATION,
            license="CC BY 4.0 (UCI); distributed with scikit-learn under BSD-3-Clause",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[str, dict[str, Any]]]]:
        return {"train": self._generate_examples(test=False), "test": self._generate_examples(test=True)}

    def _generate_examples(self, test: bool) -> Iterator[tuple[str, dict[str, Any]]]:
        import sklearn.datasets

        bunch: Any = sklearn.datasets.load_digits()
        for place, (levels, label) in enumerate(zip(bunch.images, bunch.target, strict=True)):
            pixels = np.round(levels * (255 / 16)).astype(np.uint8)
            key = hashlib.blake2b(pixels.tobytes(), digest_size=8).digest()
            if (int.from_bytes(key, "big") / 2**64 < _TEST_FRACTION) == test:
                # Encoded here and not by TFDS, which would import TensorFlow to do it.
                yield f"{key.hex()}-{place}", {"image": _png(pixels), "label": int(label)}


def _png(pixels: np.ndarray) -> io.BytesIO:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    buffer.seek(0)
    return buffer
