"""Encoded images to pixels: sizes, modes, what is learnt of channels, and stores that keep images encoded."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import keras
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from PIL import Image

from pipeline import data
from pipeline.data.encoded import EncodedImages, EncodedWriter, encoded_column, encoded_form
from pipeline.data.images import look_all
from pipeline.data.kinds import Kind
from pipeline.data.pixels import Mode
from pipeline.data.rows import IMAGE_ABOUT, image_column, pixels_name
from pipeline.data.transforms import ClassIndex, ResizeImage, Transforms
from pipeline.data.transforms.image_learner import SAMPLE_ROWS, ImageLearner
from pipeline.data.transforms.resize_image import FittedResizeImage
from pipeline.errors import ConfigError, DataError
from pipeline.models import convnet, mlp
from pipeline.spec import Spec

MODES: tuple[Mode, ...] = get_args(Mode)


def image_bytes(pixels: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def random_image(height: int, width: int, channels: int = 3, kind: str = "PNG", seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    return image_bytes(pixels, kind)


IMAGES = [
    random_image(8, 8, 1),
    random_image(9, 5, seed=1),
    random_image(30, 20, kind="JPEG", seed=2),
    random_image(3, 40, 1, "JPEG", seed=3),
    random_image(1, 1, 1),
    random_image(200, 90, kind="JPEG", seed=4),
]


def batch_of(images: list[bytes | None], size: tuple[int, int] | None = None) -> pa.RecordBatch:
    """As `ingest` stores a column "photo"."""
    looks = list(look_all(images, size))
    columns = {"photo": pa.array(images, pa.binary())}
    columns |= {
        f"photo.{part}": pa.array([getattr(one, part, None) for one in looks], pa.int32()) for part in IMAGE_ABOUT
    }
    if size is not None:
        kept = pa.array([getattr(one, "pixels", None) for one in looks], pa.large_binary())
        columns[pixels_name("photo", *size)] = kept
    return pa.RecordBatch.from_pydict(columns)


def fit(transform: ResizeImage, images: list[bytes | None], size: tuple[int, int] | None = None) -> FittedResizeImage:
    learner = transform.learner()
    learner.add(image_column(batch_of(images, size), "photo"))
    return transform.fit(learner)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(8, 8, 1), (5, 7, 3), (1, 1, 3)])
def test_serving_equals_preparing_bit_for_bit(mode: Mode, shape: tuple[int, int, int]) -> None:
    images = [*IMAGES, None, b""]
    fitted = FittedResizeImage(*shape, mode)
    expected = fitted(pa.array(images))
    raw = tf.constant([image or b"" for image in images])
    layer = fitted.layer()
    for call in (layer, tf.function(layer, input_signature=[tf.TensorSpec([None], tf.string)])):
        assert np.array_equal(call(raw).numpy(), expected)
        assert call(raw[:0]).shape == (0, *shape)
    for row, image in enumerate(images):
        assert np.array_equal(fitted(pa.array([image], pa.binary()))[0], expected[row])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", MODES)
def test_an_image_of_the_right_size_keeps_its_pixels(channels: int, mode: Mode) -> None:
    encoded = random_image(4, 6, channels)
    expected = np.asarray(Image.open(io.BytesIO(encoded))).reshape(4, 6, channels)
    assert np.array_equal(FittedResizeImage(4, 6, channels, mode)(pa.array([encoded]))[0], expected)


def striped(height: int, width: int) -> bytes:
    """Three equal parts along the longer side: 50, 100, 200."""
    parts = np.repeat([50, 100, 200], max(height, width) // 3).astype(np.uint8)
    return image_bytes(np.broadcast_to(parts[None] if width > height else parts[:, None], (height, width)).copy())


@pytest.mark.parametrize(("height", "width"), [(30, 90), (90, 30)])
def test_modes_differ_in_what_becomes_of_other_proportions(height: int, width: int) -> None:
    def pixels(mode: Mode) -> np.ndarray:
        found = FittedResizeImage(30, 30, 1, mode)(pa.array([striped(height, width)]))[0, :, :, 0]
        return found if width > height else found.T  # the stripes side by side

    assert (pixels("crop") == 100).all()  # the middle alone
    assert pixels("stretch")[:, [2, 15, 28]].tolist() == [[50, 100, 200]] * 30
    padded = pixels("pad")
    assert not padded[:10].any()
    assert not padded[20:].any()
    assert padded[10:20, [2, 15, 28]].tolist() == [[50, 100, 200]] * 10


@pytest.mark.parametrize("mode", MODES)
def test_a_jpeg_that_is_much_too_large_looks_as_one_that_is_resized_in_full(mode: Mode) -> None:
    ramp = np.linspace(0, 255, 640)[None, :] * np.linspace(0.2, 1, 400)[:, None]
    encoded = image_bytes(ramp.astype(np.uint8), "JPEG", quality=95)
    lossless = image_bytes(ramp.astype(np.uint8))
    found = FittedResizeImage(32, 32, 1, mode)(pa.array([encoded, lossless])).astype(int)
    assert np.abs(found[0] - found[1]).max() <= 6


def test_paths_and_bytes_give_the_same_pixels(tmp_path: Path) -> None:
    paths = [tmp_path / f"{row}.img" for row in range(len(IMAGES))]
    for path, encoded in zip(paths, IMAGES, strict=True):
        path.write_bytes(encoded)
    resize = FittedResizeImage(6, 5, 3)
    column = pa.array([str(path) for path in paths])
    assert np.array_equal(resize(column), resize(pa.array(IMAGES)))
    assert resize.encoded(column)[:, 0].tolist() == IMAGES


def test_images_stay_in_their_order() -> None:
    encoded = [random_image(8, 8, 1, seed=seed) for seed in range(50)]
    resize = FittedResizeImage(8, 8, 1)
    assert np.array_equal(resize(pa.array(encoded)), np.concatenate([resize(pa.array([one])) for one in encoded]))


def test_a_smaller_image_keeps_its_brightness() -> None:
    half_dark = np.zeros((64, 64), np.uint8)
    half_dark[::2] = 255
    pixels = FittedResizeImage(8, 8, 1)(pa.array([image_bytes(half_dark)])).astype(float)
    assert np.abs(pixels - 127.5).max() < 20  # without antialiasing rows would be 0 or 255


@pytest.mark.parametrize("content", [b"no image", IMAGES[2][:60]])
@pytest.mark.parametrize("work", [FittedResizeImage.__call__, FittedResizeImage.encoded])
def test_a_damaged_image_is_named(tmp_path: Path, content: bytes, work: Any) -> None:
    (tmp_path / "good.png").write_bytes(IMAGES[0])
    (tmp_path / "bad.png").write_bytes(content)
    resize = FittedResizeImage(8, 8, 1, "crop")
    with pytest.raises(DataError, match=r"bad\.png cannot be decoded"):
        work(resize, pa.array([str(tmp_path / "good.png"), None, str(tmp_path / "bad.png")]))
    with pytest.raises(DataError, match="image 2 cannot be decoded"):
        work(resize, pa.array([IMAGES[0], content]))
    with pytest.raises(DataError, match=r"gone\.png cannot be decoded"):
        work(resize, pa.array([str(tmp_path / "gone.png")]))


def test_a_missing_image_is_black_and_takes_no_place_of_another() -> None:
    resize = FittedResizeImage(8, 8, 1)
    found = resize(pa.array([None, IMAGES[0], b"", IMAGES[1]]))
    assert not found[[0, 2]].any()
    assert np.array_equal(found[[1, 3]], resize(pa.array([IMAGES[0], IMAGES[1]])))
    assert resize(pa.array([None, ""], pa.string())).shape == (2, 8, 8, 1)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_that_ingest_kept_are_used_only_where_they_are_the_same(mode: Mode, channels: int) -> None:
    images = [*IMAGES, None, random_image(60, 60, 1, seed=7), random_image(72, 48, seed=8)]
    fitted = FittedResizeImage(36, 24, channels, mode)
    plain = fitted(pa.array(images))
    kept = batch_of(images, (36, 24))
    assert np.array_equal(fitted.of_batch(kept, "photo"), plain)
    assert np.array_equal(fitted.of_batch(batch_of(images, (24, 24)), "photo"), plain)  # of another size
    assert np.array_equal(fitted.of_batch(kept.slice(3, 4), "photo"), plain[3:7])
    # That of the right proportions is taken from what was kept, and an image that is not is decoded again.
    place = kept.schema.get_field_index(pixels_name("photo", 36, 24))
    black = pa.array([bytes(36 * 24 * 3) if one is not None else None for one in kept.column(place).to_pylist()])
    changed = fitted.of_batch(kept.set_column(place, kept.schema.names[place], black.cast(pa.large_binary())), "photo")
    taken = [row for row in range(len(images)) if not changed[row].any() and plain[row].any()]
    expected = {"stretch": [0, 1, 2, 3, 4, 5, 7, 8], "crop": [2, 8], "pad": [2, 8]}[mode]
    assert taken == (expected if channels == 3 else [row for row in expected if row in (0, 3, 4, 7)])


def test_size_and_colors_are_learnt_from_train() -> None:
    small = [random_image(9, 7, 1, seed=seed) for seed in range(3)]
    assert fit(ResizeImage(), small).shape == (9, 7, 1)
    assert fit(ResizeImage(), [*small, IMAGES[1]]).shape == (64, 64, 3)
    assert fit(ResizeImage(), [random_image(65, 65)]).shape == (64, 64, 3)
    assert fit(ResizeImage(12, 10, channels=3), small).shape == (12, 10, 3)
    assert fit(ResizeImage(), []).shape == (64, 64, 3)
    assert fit(ResizeImage(mode="pad"), small).mode == "pad"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kept", [None, (20, 20)])
def test_mean_and_deviation_are_those_of_the_train_pixels(mode: Mode, kept: tuple[int, int] | None) -> None:
    images = [*IMAGES, None, *(random_image(40, 30, seed=seed) for seed in range(9))]
    fitted = fit(ResizeImage(20, 20, mode=mode), images, kept)
    there = fitted(pa.array([image for image in images if image])).astype(np.float64)
    assert fitted.mean == pytest.approx(there.mean(axis=(0, 1, 2)), rel=1e-12)
    assert fitted.scale == pytest.approx(there.std(axis=(0, 1, 2)), rel=1e-12)
    assert fit(ResizeImage(normalize="none"), images).mean == ()


def test_what_varies_nowhere_is_not_divided_by_zero() -> None:
    assert fit(ResizeImage(), [image_bytes(np.full((4, 4), 7, np.uint8))]).scale == (127.5,)
    assert fit(ResizeImage(), [None]).mean == ()


def test_of_many_images_evenly_spread_ones_are_kept_whatever_the_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [image_bytes(np.full((2, 2), row % 256, np.uint8)) for row in range(SAMPLE_ROWS * 2 + 10)]
    column = image_column(batch_of(list(images)), "photo")
    whole, portions = ImageLearner(), ImageLearner()
    whole.add(column)
    for start in range(0, len(column), 997):
        portions.add(column[start : start + 997])
    sample = pa.concat_arrays(whole.sample())
    assert sample.field("image").to_pylist() == images[::4]
    assert pa.concat_arrays(portions.sample()).equals(sample)
    monkeypatch.setattr("pipeline.data.transforms.image_learner._SAMPLE_BYTES", 20_000)
    few = ImageLearner()
    few.add(column)
    assert 50 < sum(map(len, few.sample())) < 300


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"height": 8}, "height is 8, width is None"),
        ({"height": 0, "width": 8}, "height is 0"),
        ({"channels": 4}, "channels is 4"),
        ({"mode": "cover"}, 'mode is "cover"'),
        ({"normalize": "all"}, 'normalize is "all"'),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        ResizeImage(**arguments)
    assert caught.value.expected


def bundle(*images: FittedResizeImage) -> Transforms:
    features = tuple((f"photo {place}", image) for place, image in enumerate(images))
    return Transforms(features, "y", ClassIndex().fit(np.array(["a", "b"], object)), ("image",) * len(images))


def test_the_spec_knows_the_moments_of_every_channel() -> None:
    grey = FittedResizeImage(8, 8, 1, mean=(9.0,), scale=(3.0,))
    color = FittedResizeImage(8, 8, 3)
    spec = bundle(grey, color).spec("binary", 9, {})
    assert spec.image_shape == (8, 8, 4)
    assert spec.image_mean == (9.0, 127.5, 127.5, 127.5)
    assert spec.image_scale == (3.0, 127.5, 127.5, 127.5)
    assert bundle(color).spec("binary", 9, {}).image_mean == ()
    assert Transforms.from_json(bundle(grey, color).to_json()) == bundle(grey, color)
    with pytest.raises(ConfigError, match=r'"photo 0" 8x8, "photo 1" 9x8'):
        bundle(grey, replace(color, height=9)).spec("binary", 9, {})


@pytest.mark.parametrize("build", [convnet, mlp])
def test_models_normalize_by_the_spec(build: Any) -> None:
    plain = Spec("binary", 2, image_shape=(8, 8, 2))
    known = replace(plain, image_mean=(100.0, 20.0), image_scale=(50.0, 4.0))
    image = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 2), np.uint8)

    def normalized(spec: Spec) -> np.ndarray:
        model = build(spec, width=4, depth=1)
        first = next(layer for layer in model.layers if isinstance(layer, keras.layers.Rescaling))
        return np.asarray(first(image))

    assert normalized(plain) == pytest.approx(image / 127.5 - 1, abs=1e-6)
    assert normalized(known) == pytest.approx((image - np.array([100, 20])) / np.array([50, 4]), abs=1e-4)
    assert len(normalized(known)) == 5


def encoded_store(folder: Path, columns: list[tuple[FittedResizeImage, list[bytes | None]]]) -> EncodedImages:
    writer = EncodedWriter(folder, "image")
    rows = np.concatenate([fitted.encoded(pa.array(images, pa.binary())) for fitted, images in columns], axis=1)
    for start in range(0, len(rows), 3):
        writer.append(rows[start : start + 3])
    writer.close()
    height, width, _ = columns[0][0].shape
    shape = (height, width, sum(fitted.channels for fitted, _ in columns))
    form = encoded_form(shape, [(fitted.channels, fitted.mode) for fitted, _ in columns])
    return encoded_column(folder, "image", len(rows), form)


@pytest.mark.parametrize("mode", MODES)
def test_images_kept_encoded_give_the_same_pixels_bit_for_bit(tmp_path: Path, mode: Mode) -> None:
    first, second = FittedResizeImage(9, 11, 3, mode), FittedResizeImage(9, 11, 1)
    images = [*IMAGES, None]
    backwards = images[::-1]
    store = encoded_store(tmp_path, [(first, images), (second, backwards)])
    pixels = np.concatenate([first(pa.array(images)), second(pa.array(backwards))], axis=-1)
    assert len(store) == 7
    assert store.nbytes == sum(path.stat().st_size for path in tmp_path.iterdir())
    assert np.array_equal(store[np.arange(7)], pixels)
    assert np.array_equal(store[2:5], pixels[2:5])
    assert store[np.array([], np.int64)].shape == (0, 9, 11, 4)

    rows = np.array([6, 0, 3, 3, 5, 1])
    dataset = tf.data.Dataset.from_tensor_slices(rows).batch(4).map(store.decode, num_parallel_calls=tf.data.AUTOTUNE)
    assert dataset.element_spec == tf.TensorSpec((None, 9, 11, 4), tf.uint8)
    assert np.array_equal(np.concatenate(list(dataset.as_numpy_iterator())), pixels[rows])


def test_no_images_at_all_can_be_kept_encoded(tmp_path: Path) -> None:
    resize = FittedResizeImage(2, 2, 1)
    assert not encoded_store(tmp_path, [(resize, [None, b""])])[np.array([0, 1])].any()
    empty = encoded_store(tmp_path, [(resize, [])])
    assert (len(empty), empty[:].shape) == (0, (0, 2, 2, 1))


def test_stores_of_pixels_and_of_encoded_images_feed_the_same_batches(tmp_path: Path) -> None:
    photos = [random_image(70, 66, kind="JPEG" if row % 2 else "PNG", seed=row) for row in range(40)]
    table = pa.table({"photo": photos, "age": np.arange(40.0), "y": ["a", "b"] * 20})
    sizes, found = [], []
    for cache in ("pixels", "encoded"):
        source = data.sources.ArrowTable(table, label="y")
        kinds: dict[str, Kind] = {"photo": "image"}
        splits = data.prepare(source, directory=tmp_path / cache, kinds=kinds, image_size=(48, 48), cache=cache)
        train = data.make_train(splits.train, batch_size=5, seed=1, epochs=2, augment=[data.augment.Flip()])
        batches = [*train, *data.make_eval(splits.test, batch_size=3), *data.make_eval(splits.validation)]
        found.append([features["image"].numpy() for features, _ in batches])
        found[-1] += [
            splits.train[np.array([3, 0])]["image"],
            train.feed.examples(np.array([1]), 0)[0]["image"].numpy(),
        ]
        sizes.append(splits.train.num_bytes)
        assert len(splits.spec.image_mean) == 3
    assert all(np.array_equal(one, other) for one, other in zip(*found, strict=True))
    assert sizes[0] != sizes[1]
