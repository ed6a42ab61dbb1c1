"""Augmentations: what becomes of a row is a function of its own key, wherever it stands and however it is run."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.config import parse
from pipeline.data import augment
from pipeline.data.augment.examples import Examples
from pipeline.data.augment.keyed import beta, fold, normal, uniform
from pipeline.errors import ConfigError
from pipeline.spec import Bag, Spec

ROOT = Path(__file__).parents[1]
ROWS = 48
# The strength at which nothing may change.
OFF: dict[str, dict[str, Any]] = {
    "Brightness": {"fraction": 0.0},
    "Colour": {"saturation": 0.0, "hue": 0.0},
    "Contrast": {"fraction": 0.0},
    "Crop": {"fraction": 0.0},
    "CutMix": {"alpha": 0.0},
    "Erase": {"fraction": 0.0},
    "Flip": {"fraction": 0.0},
    "Mask": {"fraction": 0.0},
    "MixUp": {"alpha": 0.0},
    "Noise": {"scale": 0.0},
    "RandAugment": {"magnitude": 0.0},
    "Rotate": {"degrees": 0.0},
    "Shift": {"fraction": 0.0},
    "SwapNoise": {"fraction": 0.0},
    "WordDropout": {"fraction": 0.0},
    "WordSwap": {"fraction": 0.0},
    "Zoom": {"fraction": 0.0},
}
SPEC = Spec(
    "multiclass",
    3,
    num_numeric=5,
    edges=((0.0, 1.0),) * 3,
    vocabulary_sizes=(7, 9),
    image_shape=(12, 10, 3),
    bags=(Bag(50, 6), Bag(20, 3)),
)


def rows(number: int = ROWS, channels: int = 3) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Features of every part, and soft labels."""
    random = np.random.default_rng(0)
    bags = np.concatenate([random.integers(1, 50, (number, 6)), random.integers(1, 20, (number, 3))], axis=1)
    bags[::3, 4:6] = 0
    features = {
        "numeric": random.normal(size=(number, 5)).astype(np.float32),
        "categorical": np.stack([random.integers(0, 7, number), random.integers(0, 9, number)], axis=1).astype(
            np.int32
        ),
        "bags": bags.astype(np.int32),
        "image": random.integers(0, 256, (number, 12, 10, channels), np.uint8),
    }
    return features, np.eye(3, dtype=np.float32)[np.arange(number) % 3]


FEATURES, LABELS = rows()
KEYS = fold(tf.constant(np.arange(ROWS), tf.uint64), 5)


def apply(operation: Any, keys: tf.Tensor, chosen: Any = slice(None), channels: int = 3) -> dict[str, Any]:
    """The changed rows; partners come from all rows, as in a feed."""
    features, labels = (FEATURES, LABELS) if channels == 3 else rows(channels=channels)

    def taken(places: Any) -> Examples:
        return Examples(
            {name: tf.gather(column, places) for name, column in features.items()},
            tf.gather(labels, places),
            SPEC,
            partners,
        )

    def partners(keys: tf.Tensor) -> Examples:
        return taken(tf.cast(keys % ROWS, tf.int32))

    places = tf.range(ROWS)[chosen] if isinstance(chosen, slice) else tf.cast(chosen, tf.int32)
    found = operation(taken(places), keys)
    return {**found.features, "label": found.label}


def arrays(found: dict[str, Any]) -> dict[str, np.ndarray]:
    return {name: np.asarray(column) for name, column in found.items()}


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def digest(parallelism: int | None) -> str:
    """Of what all operations do inside `Dataset.map`; called in another process, too."""
    found = hashlib.blake2b()
    for name in augment.__all__:
        operation = getattr(augment, name)()
        starts = tf.data.Dataset.range(0, ROWS, 7)
        changed = starts.map(
            lambda start, operation=operation: apply(
                operation,
                KEYS[start : start + 7],
                tf.range(start, tf.minimum(start + 7, ROWS)),
            ),
            num_parallel_calls=parallelism,
        )
        for batch in changed.as_numpy_iterator():
            for part in sorted(batch):
                found.update(np.ascontiguousarray(batch[part]).tobytes())
    return found.hexdigest()


@pytest.mark.parametrize("name", augment.__all__)
class TestEveryAugmentation:
    def test_it_keeps_the_spec(self, name: str) -> None:
        for operation in (getattr(augment, name)(), getattr(augment, name)(**OFF[name])):
            found = apply(operation, KEYS)
            for part, column in {**FEATURES, "label": LABELS}.items():
                assert (found[part].dtype.as_numpy_dtype, tuple(found[part].shape)) == (column.dtype, column.shape)
            assert found.keys() == {*FEATURES, "label"}

    def test_a_key_decides_and_another_key_decides_otherwise(self, name: str) -> None:
        operation = getattr(augment, name)()
        first = arrays(apply(operation, KEYS))
        assert same(first, arrays(apply(operation, KEYS)))
        assert not same(first, arrays(apply(operation, fold(KEYS, 1))))
        assert not same(first, {**FEATURES, "label": LABELS})

    def test_what_becomes_of_a_row_does_not_depend_on_its_batch(self, name: str) -> None:
        operation = getattr(augment, name)()
        whole = arrays(apply(operation, KEYS))
        order = np.random.default_rng(1).permutation(ROWS)
        permuted = arrays(apply(operation, tf.gather(KEYS, order), order))
        assert same(permuted, {part: column[order] for part, column in whole.items()})
        pieces = [arrays(apply(operation, KEYS[start : start + 1], slice(start, start + 1))) for start in range(9)]
        for start, piece in enumerate(pieces):
            assert same(piece, {part: column[start : start + 1] for part, column in whole.items()})

    def test_the_graph_equals_eager(self, name: str) -> None:
        operation = getattr(augment, name)()
        graph = tf.function(lambda keys: apply(operation, keys), input_signature=[tf.TensorSpec([None], tf.uint64)])
        assert same(arrays(graph(KEYS)), arrays(apply(operation, KEYS)))

    def test_at_no_strength_it_changes_nothing(self, name: str) -> None:
        assert same(arrays(apply(getattr(augment, name)(**OFF[name]), KEYS)), {**FEATURES, "label": LABELS})

    def test_no_rows_stay_no_rows(self, name: str) -> None:
        found = apply(getattr(augment, name)(), KEYS[:0], slice(0, 0))
        assert {part: tuple(column.shape) for part, column in found.items()} == {
            part: (0, *column.shape[1:]) for part, column in {**FEATURES, "label": LABELS}.items()
        }

    @pytest.mark.parametrize("channels", [1, 6])
    def test_images_may_have_any_number_of_channels(self, name: str, channels: int) -> None:
        operation = getattr(augment, name)()
        found = arrays(apply(operation, KEYS, channels=channels))
        assert (found["image"].shape, found["image"].dtype) == ((ROWS, 12, 10, channels), np.uint8)
        if operation.part in ("image", "any") and name != "Colour":
            assert not np.array_equal(found["image"], rows(channels=channels)[0]["image"])

    @pytest.mark.parametrize("value", [-0.1, 1000.0, float("nan"), "much"])
    def test_a_strength_that_is_none_is_refused(self, name: str, value: Any) -> None:
        argument = next(iter(OFF[name]))
        with pytest.raises(ConfigError, match=f"{name}: {argument} is"):
            getattr(augment, name)(**{argument: value})


def test_neither_parallelism_nor_the_process_changes_a_bit() -> None:
    code = "import sys; sys.path.insert(0, 'tests'); import test_augment as t; print(t.digest(2))"
    elsewhere = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {digest(1), digest(2), digest(tf.data.AUTOTUNE), elsewhere.stdout.strip()} == {digest(None)}


def test_keyed_numbers_are_spread_as_they_should_be() -> None:
    keys = tf.constant(np.arange(50_000), tf.uint64)  # neighbors: the hardest case
    numbers = uniform(keys, 2, -1.0, 3.0).numpy()
    assert (numbers.min() >= -1, numbers.max() < 3) == (True, True)
    counts = np.histogram(numbers, 50, (-1, 3))[0]
    assert ((counts - 2000) ** 2 / 2000).sum() < 90  # chi-squared of 49 degrees of freedom, p = 0.0003
    flat = numbers.ravel()
    for first, second in ((numbers[:, 0], numbers[:, 1]), (numbers[:-1, 0], numbers[1:, 0]), (flat[:-2], flat[2:])):
        assert abs(np.corrcoef(first, second)[0, 1]) < 0.02
    noise = normal(keys, 1).numpy()
    assert (noise.mean(), noise.std()) == (pytest.approx(0, abs=0.02), pytest.approx(1, abs=0.02))
    weights = beta(keys, 0.2).numpy()
    assert (weights.mean(), weights.var()) == (pytest.approx(0.5, abs=0.01), pytest.approx(0.25 / 1.4, abs=0.005))
    assert len(np.unique(fold(keys, 3).numpy())) == 50_000


def test_a_flip_mirrors_and_a_half_of_the_rows_about_half() -> None:
    image = FEATURES["image"]
    assert np.array_equal(apply(augment.Flip(1.0), KEYS)["image"], image[:, :, ::-1])
    assert np.array_equal(apply(augment.Flip(0.0, 1.0), KEYS)["image"], image[:, ::-1])
    assert np.array_equal(apply(augment.Flip(1.0, 1.0), KEYS)["image"], image[:, ::-1, ::-1])
    found = apply(augment.Flip(0.5), KEYS)["image"].numpy()
    flipped = (found == image[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (flipped ^ (found == image).all(axis=(1, 2, 3))).all()
    assert 12 <= flipped.sum() <= 36


def test_a_shift_moves_by_whole_pixels_and_repeats_the_border() -> None:
    found = apply(augment.Shift(0.2), KEYS)["image"].numpy()
    moves = set()
    for row in range(ROWS):
        for down in range(-2, 3):
            for right in range(-2, 3):
                ys, xs = np.clip(np.arange(12) + down, 0, 11), np.clip(np.arange(10) + right, 0, 9)
                if np.array_equal(found[row], FEATURES["image"][row][ys][:, xs]):
                    moves.add((down, right))
                    break
    assert {down for down, _ in moves} == {right for _, right in moves} == {-2, -1, 0, 1, 2}


def images(pixels: np.ndarray) -> Examples:
    return Examples({"image": tf.constant(pixels)}, tf.zeros(len(pixels)), SPEC, lambda keys: images(pixels))


def test_a_crop_enlarges_without_leaving_the_image() -> None:
    ramp = np.broadcast_to(np.arange(0, 200, 10, dtype=np.uint8)[None, :, None, None], (ROWS, 20, 20, 1)).copy()
    found = augment.Crop(0.5)(images(ramp), KEYS).features["image"].numpy().astype(float)
    slopes = (found[:, -3, 0, 0] - found[:, 2, 0, 0]) / 15
    assert (slopes.min() >= 4.5, slopes.max() <= 10.5, slopes.max() - slopes.min() > 3) == (True, True, True)


def test_a_quarter_turn_and_a_zoom_leave_the_center() -> None:
    pixels = np.zeros((ROWS, 11, 11, 1), np.uint8)
    pixels[:, 5, 5] = 255
    for operation in (augment.Rotate(90), augment.Zoom(0.3)):
        found = operation(images(pixels), KEYS).features["image"].numpy()
        assert (found[:, 5, 5] > 200).all()
    line = np.zeros((1, 11, 11, 1), np.uint8)
    line[:, 5, :] = 200
    from pipeline.data.augment.rotate import turn

    out = np.empty_like(line[0])
    turn(line[0], np.asarray([90.0]), out)
    assert np.array_equal(out[..., 0], line[0, ..., 0].T)


def test_brightness_and_contrast_are_arithmetic() -> None:
    grey = np.tile(np.asarray([100, 140], np.uint8).reshape(1, 1, 2, 1), (ROWS, 2, 1, 1))
    light = augment.Brightness(0.1)(images(grey), KEYS).features["image"].numpy().astype(int)
    assert (light[..., 1, 0] - light[..., 0, 0] == 40).all()
    assert 74 <= light[..., 0, 0].min() < 90 < 110 < light[..., 0, 0].max() <= 126
    strong = augment.Contrast(0.5)(images(grey), KEYS).features["image"].numpy().astype(int)
    assert (strong.sum(axis=(1, 2, 3)) == 480).all()
    distance = strong[:, 0, 1, 0] - strong[:, 0, 0, 0]
    assert (distance.min() >= 20, distance.max() <= 60, len(set(distance)) > 5) == (True, True, True)


def test_without_saturation_a_picture_is_grey_and_a_whole_turn_changes_nothing() -> None:
    from pipeline.data.augment.colour import recolour

    pixels = FEATURES["image"][0]
    out = np.empty_like(pixels)
    recolour(pixels, 0.0, 0.0, out)
    grey = pixels @ np.asarray([0.299, 0.587, 0.114])
    assert np.abs(out - grey[..., None]).max() <= 1
    recolour(pixels, 1.0, 1.0, out)
    assert np.abs(out.astype(int) - pixels).max() <= 1


def test_a_hole_has_the_mean_colour_and_its_area_is_bounded() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (ROWS, 20, 20, 1), np.uint8)
    found = augment.Erase(1.0, area=0.25)(images(pixels), KEYS).features["image"].numpy()
    mean = np.rint(pixels.mean(axis=(1, 2))).astype(int)
    for row in range(ROWS):
        changed = found[row] != pixels[row]
        assert changed.mean() <= 0.3
        assert set(found[row][changed].tolist()) <= {int(mean[row, 0])}


def test_mixup_blends_what_can_be_blended_and_the_label_with_it() -> None:
    found = apply(augment.MixUp(1.0), KEYS)
    partner = (fold(KEYS, 0) % ROWS).numpy().astype(int)
    others = partner != np.arange(ROWS)
    before, after = FEATURES["numeric"][:, 0].astype(np.float64), found["numeric"].numpy()[:, 0]
    own = np.where(others, (after - before[partner]) / np.where(others, before - before[partner], 1.0), 1.0)
    assert ((own[others] >= 0.499) & (own[others] <= 1.001)).all()
    assert len(np.unique(own.round(3))) > ROWS / 2
    expected = own[:, None] * LABELS + (1 - own[:, None]) * LABELS[partner]
    assert np.allclose(found["label"].numpy()[others], expected[others], atol=1e-4)
    pixels = own[:, None, None, None] * FEATURES["image"] + (1 - own)[:, None, None, None] * FEATURES["image"][partner]
    assert np.abs(found["image"].numpy()[others] - pixels[others]).max() <= 0.51
    for part in ("categorical", "bags"):
        from_own = (found[part].numpy() == FEATURES[part]).all(axis=1)
        assert (from_own | (found[part].numpy() == FEATURES[part][partner]).all(axis=1)).all()
        assert 0 < (~from_own).sum() < ROWS / 2


def test_the_label_after_cutmix_is_the_share_of_the_area() -> None:
    found = apply(augment.CutMix(1.0), KEYS)
    partner = (fold(KEYS, 0) % ROWS).numpy().astype(int)
    for row in range(ROWS):
        pasted = (found["image"].numpy()[row] != FEATURES["image"][row]).any(axis=-1).mean()
        if LABELS[row].argmax() != LABELS[partner[row]].argmax():
            assert found["label"].numpy()[row, LABELS[partner[row]].argmax()] == pytest.approx(pasted, abs=0.03)
            assert found["label"].numpy()[row].sum() == pytest.approx(1)


def test_noise_and_masks_touch_values_only() -> None:
    noisy = apply(augment.Noise(0.5), KEYS)["numeric"].numpy()
    assert np.array_equal(noisy[:, 3:], FEATURES["numeric"][:, 3:])
    assert (noisy - FEATURES["numeric"])[:, :3].std() == pytest.approx(0.5, abs=0.1)
    masked = arrays(apply(augment.Mask(0.5), KEYS))
    hidden = masked["numeric"] != FEATURES["numeric"]
    assert (hidden[:, 3:].any(), (masked["numeric"][hidden] == 0).all()) == (False, True)
    assert hidden[:, :3].mean() == pytest.approx(0.5, abs=0.15)
    unknown = masked["categorical"] != FEATURES["categorical"]
    assert (masked["categorical"][unknown] == 1).all()
    assert 0.2 < unknown.mean() < 0.6


def test_swapped_values_are_those_of_other_rows_in_the_same_column() -> None:
    found = arrays(apply(augment.SwapNoise(0.5), KEYS))
    for part in ("numeric", "categorical"):
        for column in range(FEATURES[part].shape[1]):
            assert set(found[part][:, column].tolist()) <= set(FEATURES[part][:, column].tolist())
    assert 0.3 < (found["numeric"] != FEATURES["numeric"])[:, :3].mean() < 0.7


def test_dropped_words_are_gone_and_no_text_is_emptied() -> None:
    found = apply(augment.WordDropout(0.9), KEYS)["bags"].numpy()
    assert ((found == FEATURES["bags"]) | (found == 0)).all()
    assert (found != 0).any(axis=1).all()
    light = apply(augment.WordDropout(0.3), KEYS)["bags"].numpy()
    assert (light == 0).mean() - (FEATURES["bags"] == 0).mean() == pytest.approx(
        0.3 * (FEATURES["bags"] != 0).mean(), abs=0.06
    )


def test_swapped_words_stay_in_their_bag_and_none_is_lost() -> None:
    found = apply(augment.WordSwap(1.0), KEYS)["bags"].numpy()
    for bag in (slice(0, 6), slice(6, 9)):
        assert np.array_equal(np.sort(found[:, bag], axis=1), np.sort(FEATURES["bags"][:, bag], axis=1))
        assert not np.array_equal(found[:, bag], FEATURES["bags"][:, bag])
    assert np.array_equal(found == 0, FEATURES["bags"] == 0)


def config(*augmentations: Any) -> Any:
    return parse(
        {"name": "x", "source": "a.csv", "label": "y", "train": {"augment": list(augmentations)}}, origin="test"
    )


def test_a_strength_is_a_key_of_the_config() -> None:
    changed = config("Shift", {"name": "Flip", "fraction": 0.3}).override({"train.augment.Shift.fraction": 0.2})
    assert [component.arguments for component in changed.train.augment] == [{"fraction": 0.2}, {"fraction": 0.3}]
    with pytest.raises(ConfigError, match='there is no "Shfit".*\n.*Shift'):
        config("Shift").override({"train.augment.Shfit.fraction": 0.2})
    with pytest.raises(ConfigError, match="names no argument"):
        config("Shift").override({"train.augment.Shift": 0.2})


def test_a_component_of_several_has_a_name_in_any_case_and_a_number() -> None:
    assert config("shift").override({"train.augment.Shift.fraction": 0.2}).train.augment[0].arguments["fraction"] == 0.2
    twice = config("Shift", {"name": "Shift"})
    changed = twice.override({"train.augment.1.fraction": 0.2})
    assert [component.arguments for component in changed.train.augment] == [{}, {"fraction": 0.2}]
    assert twice == config("Shift", "Shift")  # nothing was changed in place
    with pytest.raises(ConfigError, match='"Shift" comes 2 times.*\n.*0 or 1'):
        twice.override({"train.augment.Shift.fraction": 0.2})
    with pytest.raises(ConfigError, match='there is no "2"'):
        twice.override({"train.augment.2.fraction": 0.2})


@pytest.mark.parametrize(
    ("space", "refused"),
    [
        ({"train.augment.Noise.scale": {"min": 0.01, "max": 0.5, "log": True}}, None),
        ({"train.augment": [["Noise"], []]}, None),
        ({"train.augment.Noise.scal": [0.1, 0.2]}, 'has no argument "scal"'),
        ({"train.augment.Noise.scale": [0.1, 20.0]}, "Noise: scale is 20"),
        ({"train.augment.Mask.fraction": [0.1, 0.2]}, 'there is no "Mask"'),
        ({"train.augment": [["Flip"], []]}, "Flip changes images"),
    ],
)
def test_strengths_are_hyperparameters_and_are_checked_before_anything_runs(space: Any, refused: str | None) -> None:
    from pipeline.components import check_training

    tree = {"name": "x", "source": "a.csv", "label": "y", "train": {"augment": ["Noise"]}}
    tuned = parse({**tree, "tune": {"trials": 2, "space": space}}, origin="test")
    if refused is None:
        check_training(tuned, has_images=False)
    else:
        with pytest.raises(ConfigError, match=refused):
            check_training(tuned, has_images=False)


def test_a_thing_of_ones_own_that_is_no_augmentation_is_refused() -> None:
    from pipeline.components import augmentations_of

    with pytest.raises(ConfigError, match="fractions:Fraction is no augmentation: it has no part"):
        augmentations_of(config("fractions:Fraction"))


def test_augmentations_of_what_the_data_do_not_hold_are_refused() -> None:
    from pipeline.components import augmentations_of, check_augmentations

    table = Spec("binary", 2, num_numeric=1, edges=((0.0, 1.0),))
    check_augmentations(augmentations_of(config("Noise", "Mask", "SwapNoise", "MixUp")), table)
    for name in ("Flip", "WordDropout"):
        with pytest.raises(ConfigError, match=f"{name} changes"):
            check_augmentations(augmentations_of(config(name)), table)
    with pytest.raises(ConfigError, match="Nosie"):
        augmentations_of(config("Nosie"))


@pytest.mark.parametrize(
    "operation", [augment.Flip(0.5, 0.5), augment.Shift(0.5), augment.Brightness(1.0), augment.Contrast(1.0)]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_small_images_changed_all_at_once_are_those_changed_one_by_one(
    operation: Any, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = arrays(apply(operation, KEYS, channels=channels))
    monkeypatch.setattr("pipeline.data.augment.images.SMALL_BYTES", 0)
    assert same(at_once, arrays(apply(operation, KEYS, channels=channels)))
