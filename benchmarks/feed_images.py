"""Batches of images: photos in files, decoded once by us, and small images that fit in memory; both augmented."""

from __future__ import annotations

import gzip
import itertools
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.report import Result, timed
from benchmarks.rounds import Way, compare, in_python

SIZE, PHOTO_BATCH, SMALL_BATCH = 160, 32, 128
_FRACTION = 0.1
_LATER_EPOCHS, _SMALL_EPOCHS = 12, 4
_CHUNK = 256


def write_photos(folder: Path, count: int) -> None:
    """Noise on every scale, as photos have it, in their sizes and in five classes."""
    random = np.random.default_rng(0)
    for number in range(count):
        width, height = int(random.integers(320, 501)), int(random.integers(240, 334))
        layers = np.zeros((height, width, 3), np.float32)
        for side in (4, 8, 16, 32, 64, 128, 256):
            noise = Image.fromarray(random.integers(0, 256, (side, side, 3), np.uint8))
            layers += (
                (np.asarray(noise.resize((width, height), Image.Resampling.BICUBIC), np.float32) - 128) * 2 / side**0.5
            )
        target = folder / f"class_{number % 5}" / f"{number:05}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(layers + 128, 0, 255).astype(np.uint8)).save(target, quality=90)


def write_images(folder: Path, label: np.ndarray, parts: Iterator[np.ndarray], shape: tuple[int, int, int]) -> Any:
    """A store of uint8 images [n, height, width, channels] and their classes."""
    from pipeline.data.store import Store, StoreWriter
    from pipeline.spec import Spec

    shutil.rmtree(folder, ignore_errors=True)
    spec = Spec("multiclass", int(label.max()) + 1, image_shape=shape, num_train=len(label))
    writer = StoreWriter(folder, len(label), {"image": ("uint8", shape), "label": ("int32", ())}, spec=spec)
    start = 0
    for images in parts:
        writer.append({"image": images, "label": label[start : start + len(images)]})
        start += len(images)
    writer.close()
    return Store(folder)


def of_photos(folder: Path, photos: Path, times: int, torch_python: str | None) -> list[Result]:
    """The first epoch, which begins with files, and every later one."""
    paths = sorted(photos.glob("*/*.jpg"))
    classes = sorted({path.parent.name for path in paths})
    label = np.asarray([classes.index(path.parent.name) for path in paths], np.int32)
    count, last = len(paths), dict[str, list[float]]()

    def store() -> Any:
        from pipeline.data.pixels import pixels_of
        from pipeline.data.sources.ordered import ordered_map

        texts = [str(path) for path in paths]
        chunks = (texts[start : start + _CHUNK] for start in range(0, count, _CHUNK))
        # Decoded beside the writing, as `prepare` does it.
        parts = ordered_map(lambda chunk: pixels_of(chunk, SIZE, SIZE, 3), chunks)
        return write_images(folder / "photos", label, parts, (SIZE, SIZE, 3))

    def first() -> float:
        shutil.rmtree(folder / "photos", ignore_errors=True)  # what an earlier round left; to remove it takes time, too
        started = time.perf_counter()
        for _ in _ours(store(), PHOTO_BATCH, epochs=1):
            pass
        return count / (time.perf_counter() - started)

    def torch(python: str, epoch: int) -> float:
        """Both epochs are measured at once, as workers live on."""
        if epoch == 0:
            last["torch"] = _torch(python, photos)
        return last["torch"][epoch]

    plain, cached = _keras_photos(photos, cache=False), _keras_photos(photos, cache=True)
    keras = Way("image_dataset_from_directory", lambda: in_python(plain, count), 0.95)
    others = [keras, *([Way("PyTorch, 2 workers", lambda: torch(torch_python, 0), 0.95)] if torch_python else [])]
    results = compare("photos, first epoch", "images/s", Way("ours", first), others, times)

    kept, seeds = store(), itertools.count()
    later = Way("ours", lambda: in_python(_ours(kept, PHOTO_BATCH, _LATER_EPOCHS, next(seeds)), _LATER_EPOCHS * count))
    others = [
        Way("image_dataset_from_directory", lambda: in_python(plain, count), 10.0),
        Way("the same with cache()", lambda: in_python(cached, count)),
    ]
    if torch_python:
        python = torch_python
        others.append(Way("PyTorch, 2 workers", lambda: _torch(python, photos)[1], 10.0))
    return results + compare("photos, later epochs", "images/s", later, others, times)


def of_small_images(folder: Path, idx: Path | None, num_images: int, times: int) -> list[Result]:
    """Images of 28 x 28 pixels, mirrored and moved."""
    import tensorflow as tf

    images, label = _read_idx(idx) if idx else _random_images(num_images)
    store = write_images(folder / "small", label, iter([images]), images.shape[1:])
    augment = _keras_layers("RandomTranslation", _FRACTION, _FRACTION)
    slices = tf.data.Dataset.from_tensor_slices((images, label)).shuffle(len(label)).batch(SMALL_BATCH)
    theirs = slices.map(augment, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
    seeds = itertools.count()

    def ours() -> float:
        return in_python(_ours(store, SMALL_BATCH, _SMALL_EPOCHS, next(seeds), "Shift"), _SMALL_EPOCHS * len(label))

    other = Way("slices, map of Random layers", lambda: in_python(theirs, len(label)), 5.0)
    return compare("small images", "images/s", Way("ours", ours), [other], times)


def _ours(store: Any, batch_size: int, epochs: int, seed: int = 7, second: str = "Crop") -> Any:
    from pipeline import data

    operations = [data.augment.Flip(), getattr(data.augment, second)(_FRACTION)]
    return data.make_train(store, batch_size=batch_size, seed=seed, epochs=epochs, augment=operations)


def _keras_photos(photos: Path, cache: bool) -> Any:
    """Larger by what is cut away, since `RandomCrop` does not resize."""
    import keras
    import tensorflow as tf

    size = round(SIZE / (1 - _FRACTION))
    images = keras.utils.image_dataset_from_directory(
        photos, batch_size=PHOTO_BATCH, image_size=(size, size), seed=7, verbose=False
    )
    images = images.cache() if cache else images
    augment = _keras_layers("RandomCrop", SIZE, SIZE)
    return images.map(augment, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def _keras_layers(name: str, *arguments: float) -> Any:
    import keras

    layers = keras.Sequential([keras.layers.RandomFlip("horizontal"), getattr(keras.layers, name)(*arguments)])
    return lambda image, label: (layers(image, training=True), label)


def _torch(python: str, photos: Path) -> list[float]:
    script = Path(__file__).with_name("feed_torch.py")
    command = [python, script, "photos", photos.absolute(), str(SIZE), str(PHOTO_BATCH), "2"]
    speeds: list[float] = json.loads(timed(command, script.parent)[2].splitlines()[-1])["speeds"]
    return speeds


def _read_idx(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The train images and classes of a folder as MNIST comes, e.g. `train-images-idx3-ubyte.gz`."""
    content = [gzip.decompress(next(folder.glob(f"train-{part}-*.gz")).read_bytes()) for part in ("images", "labels")]
    images = np.frombuffer(content[0], np.uint8, offset=16).reshape(-1, 28, 28, 1)
    return images, np.frombuffer(content[1], np.uint8, offset=8).astype(np.int32)


def _random_images(count: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.integers(0, 256, (count, 28, 28, 1), np.uint8), random.integers(0, 10, count, np.int32)
