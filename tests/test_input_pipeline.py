"""Every batch is a function of seed and step, every epoch is a permutation, and augmentations keep the spec."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data import augment, input_pipeline
from pipeline.data.input_pipeline import make_eval, make_train, num_steps
from pipeline.data.store import Store, StoreWriter
from pipeline.errors import ConfigError

ROOT = Path(__file__).parents[1]
ROWS = 23


def write_store(folder: Path, rows: int = ROWS) -> Store:
    """Row i holds i in every column, so that columns can be seen to stay together."""
    index = np.arange(rows)
    columns = {
        "numeric": np.stack([index, -index], axis=1).astype(np.float32),
        "categorical": index[:, None].astype(np.int32),
        "image": np.broadcast_to(index[:, None, None, None], (rows, 4, 6, 3)).astype(np.uint8),
        "label": index.astype(np.int32),
    }
    writer = StoreWriter(folder, rows, {name: (str(v.dtype), v.shape[1:]) for name, v in columns.items()})
    for start in range(0, rows, 10):
        writer.append({name: values[start : start + 10] for name, values in columns.items()})
    writer.close()
    return Store(folder)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_store(tmp_path_factory.mktemp("store"))


def arrays(dataset: tf.data.Dataset) -> list[dict[str, np.ndarray]]:
    """The batches, the label among the columns."""
    return [{**features, "label": label} for features, label in dataset.as_numpy_iterator()]


def labels(dataset: tf.data.Dataset) -> list[list[int]]:
    return [label.tolist() for _, label in dataset.as_numpy_iterator()]


def flat(batches: list[list[int]]) -> list[int]:
    return [label for batch in batches for label in batch]


def same(first: list[dict[str, np.ndarray]], second: list[dict[str, np.ndarray]]) -> bool:
    return len(first) == len(second) and all(
        a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) and a[name].dtype == b[name].dtype for name in a)
        for a, b in zip(first, second, strict=True)
    )


def all_augmentations() -> list[Any]:
    return [getattr(augment, name)() for name in augment.__all__]


def digest_of_augmented_batches(folder: str) -> str:
    """Called in another process, too."""
    batches = arrays(make_train(Store(Path(folder)), batch_size=5, seed=3, epochs=2, augment=all_augmentations()))
    digest = hashlib.blake2b()
    for batch in batches:
        for name in sorted(batch):
            digest.update(batch[name].tobytes())
    return digest.hexdigest()


def test_a_store_gives_back_what_was_written(store: Store) -> None:
    rows = np.asarray([22, 0, 7, 7])
    found = store[rows]
    assert len(store) == ROWS
    assert found["numeric"].tolist() == [[22, -22], [0, 0], [7, -7], [7, -7]]
    assert (found["label"].dtype, found["image"].shape) == (np.int32, (4, 4, 6, 3))
    assert store.num_bytes == ROWS * (8 + 4 + 72 + 4)


def test_a_store_that_was_not_filled_cannot_be_closed(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path, 3, {"label": ("int32", ())})
    writer.append({"label": np.zeros(2)})
    with pytest.raises(ValueError, match="2 rows were written of 3"):
        writer.close()
    assert not (tmp_path / "store.json").exists()


@pytest.mark.parametrize("forms", [{"label": ("int32", ())}, {"numeric": ("float32", (0,)), "label": ("int32", ())}])
def test_a_store_may_have_no_rows_or_no_columns_in_a_part(tmp_path: Path, forms: Any) -> None:
    StoreWriter(tmp_path, 0, forms).close()
    assert len(Store(tmp_path)) == 0
    assert Store(tmp_path).columns["label"].shape == (0,)


@settings(max_examples=10, deadline=None)
@given(rows=st.integers(1, 30), batch_size=st.integers(1, 40), seed=st.integers(0, 2**31 - 1), epochs=st.integers(1, 3))
def test_every_epoch_holds_every_row_once(rows: int, batch_size: int, seed: int, epochs: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        small = write_store(Path(folder), rows)
        dataset = make_train(small, batch_size=batch_size, seed=seed, epochs=epochs)
        found = labels(dataset)
    steps = num_steps(rows, min(batch_size, rows))
    assert int(dataset.cardinality()) == len(found) == epochs * steps
    for epoch in range(epochs):
        batches = found[epoch * steps : (epoch + 1) * steps]
        assert sorted(flat(batches)) == list(range(rows))
        assert [len(batch) for batch in batches[:-1]] == [min(batch_size, rows)] * (steps - 1)


def test_the_columns_of_a_row_stay_together(store: Store) -> None:
    for batch in arrays(make_train(store, batch_size=5, seed=1)):
        index = batch["label"]
        assert np.array_equal(batch["numeric"], np.stack([index, -index], axis=1))
        assert np.array_equal(batch["categorical"][:, 0], index)
        assert np.array_equal(batch["image"], np.broadcast_to(index[:, None, None, None], batch["image"].shape))


def test_every_epoch_and_every_seed_has_an_order_of_its_own(store: Store) -> None:
    orders = [flat(labels(make_train(store, batch_size=ROWS, seed=seed, epochs=3))) for seed in range(3)]
    epochs = [tuple(order[start : start + ROWS]) for order in orders for start in range(0, 3 * ROWS, ROWS)]
    assert len(set(epochs)) == 9
    assert tuple(range(ROWS)) not in epochs


def test_an_order_is_shuffled_all_over(store: Store) -> None:
    found = np.asarray(labels(make_train(store, batch_size=ROWS, seed=0, epochs=60)))
    assert np.abs(found.mean(axis=0) - (ROWS - 1) / 2).max() < 4  # 4.6 standard errors
    assert all(len(set(found[:, place].tolist())) > ROWS / 2 for place in range(ROWS))


def test_the_same_seed_gives_the_same_batches_in_another_process(store: Store) -> None:
    code = (
        "import sys; sys.path.insert(0, 'tests'); import test_input_pipeline as t;"
        "print(t.digest_of_augmented_batches(sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, str(store.directory)]
    elsewhere = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert elsewhere.stdout.strip() == digest_of_augmented_batches(str(store.directory))


@pytest.mark.parametrize("first_step", [0, 1, 4, 5, 7, 15])
def test_a_first_step_is_as_good_as_skipping_the_batches_before_it(store: Store, first_step: int) -> None:
    arguments: dict[str, Any] = {"batch_size": 5, "seed": 2, "epochs": 3, "augment": all_augmentations()}
    whole = arrays(make_train(store, **arguments))
    later = make_train(store, **arguments, first_step=first_step)
    assert int(later.cardinality()) == len(whole) - first_step
    assert same(arrays(later), whole[first_step:])


def test_evaluation_sees_every_row_once_in_order(store: Store) -> None:
    dataset = make_eval(store, batch_size=5)
    assert labels(dataset) == [list(range(start, min(start + 5, ROWS))) for start in range(0, ROWS, 5)]
    assert int(dataset.cardinality()) == 5


def test_the_memory_map_gives_the_same_batches_as_memory(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def both() -> list[tf.data.Dataset]:
        return [
            make_train(store, batch_size=5, seed=4, epochs=2, augment=all_augmentations()),
            make_eval(store, batch_size=5),
        ]

    in_memory = both()
    monkeypatch.setattr(input_pipeline, "IN_MEMORY_BYTES", 0)
    mapped = both()
    for first, second in zip(in_memory, mapped, strict=True):
        assert same(arrays(first), arrays(second))
        assert first.element_spec == second.element_spec
        assert first.cardinality() == second.cardinality()


def test_a_batch_size_beyond_the_rows_is_one_batch(store: Store) -> None:
    assert [len(batch) for batch in labels(make_train(store, batch_size=1000, seed=0, epochs=2))] == [ROWS, ROWS]


def test_augmentations_are_applied_in_their_order_with_seeds_of_their_own(store: Store) -> None:
    seeds = []

    def add(features: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        return {**features, "numeric": features["numeric"] + 1.0, "first": seed}

    def double(features: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        return {**features, "numeric": features["numeric"] * 2.0, "second": seed}

    for batch in arrays(make_train(store, batch_size=5, seed=0, epochs=2, augment=[add, double])):
        assert np.array_equal(batch["numeric"][:, 0], (batch["label"] + 1) * 2)
        seeds += [tuple(batch["first"].tolist()), tuple(batch["second"].tolist())]
    assert len(set(seeds)) == len(seeds) == 20


# augmentations


@pytest.fixture(
    scope="module", params=[(1, (5, 9, 1)), (8, (12, 12, 3)), (3, (1, 1, 1))], ids=["grey", "colour", "pixel"]
)
def batch(request: pytest.FixtureRequest) -> dict[str, tf.Tensor]:
    rows, shape = request.param
    pixels = np.random.default_rng(0).integers(0, 256, (rows, *shape), np.uint8)
    return {"image": tf.constant(pixels), "numeric": tf.random.stateless_normal([rows, 2], [0, 0])}


@pytest.fixture(scope="module")
def large() -> dict[str, tf.Tensor]:
    """Enough images that two seeds cannot agree by chance."""
    return {"image": tf.constant(np.random.default_rng(1).integers(0, 256, (64, 16, 16, 3), np.uint8))}


def seed(number: int) -> tf.Tensor:
    return tf.constant([7, number], tf.int64)


@pytest.mark.parametrize("name", augment.__all__)
def test_an_augmentation_keeps_the_spec_and_changes_the_image_only(name: str, batch: dict[str, tf.Tensor]) -> None:
    before = {key: value.numpy() for key, value in batch.items()}
    found = getattr(augment, name)()(batch, seed(1))
    assert found.keys() == batch.keys()
    assert (found["image"].shape, found["image"].dtype) == (batch["image"].shape, tf.uint8)
    assert found["numeric"] is batch["numeric"]
    assert all(np.array_equal(batch[key].numpy(), before[key]) for key in before)


@pytest.mark.parametrize("name", augment.__all__)
def test_an_augmentation_in_the_graph_equals_the_eager_one(name: str, batch: dict[str, tf.Tensor]) -> None:
    change = getattr(augment, name)()
    spec = {key: tf.TensorSpec([None, *value.shape[1:]], value.dtype) for key, value in batch.items()}
    in_graph = tf.function(change, input_signature=[spec, tf.TensorSpec([2], tf.int64)])
    for number in range(5):
        found = in_graph(batch, seed(number))["image"]
        assert np.array_equal(found, change(batch, seed(number))["image"])
    assert in_graph.get_concrete_function().structured_outputs["image"].shape.as_list() == [
        None,
        *batch["image"].shape[1:],
    ]


@pytest.mark.parametrize("name", augment.__all__)
def test_an_augmentation_follows_its_seed(name: str, large: dict[str, tf.Tensor]) -> None:
    change = getattr(augment, name)()
    first, again, other = (change(large, seed(number))["image"].numpy() for number in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, large["image"].numpy())


@pytest.mark.parametrize("name", augment.__all__)
def test_the_images_of_a_batch_are_changed_independently(name: str) -> None:
    one = np.random.default_rng(2).integers(0, 256, (1, 16, 16, 1), np.uint8)
    found = getattr(augment, name)()({"image": tf.constant(np.repeat(one, 64, axis=0))}, seed(1))["image"].numpy()
    assert len({image.tobytes() for image in found}) > 1


@pytest.mark.parametrize("name", augment.__all__)
def test_a_fraction_of_zero_is_the_identity(name: str, batch: dict[str, tf.Tensor]) -> None:
    found = getattr(augment, name)(fraction=0.0)(batch, seed(1))
    assert np.array_equal(found["image"], batch["image"])


@pytest.mark.parametrize("name", augment.__all__)
@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_a_fraction_that_is_none_is_refused(name: str, fraction: float) -> None:
    with pytest.raises(ConfigError, match=f"{name}: fraction is"):
        getattr(augment, name)(fraction=fraction)


def test_a_flip_of_all_mirrors_left_and_right_and_a_half_about_half(large: dict[str, tf.Tensor]) -> None:
    image = large["image"].numpy()
    assert np.array_equal(augment.Flip(fraction=1.0)(large, seed(1))["image"], image[:, :, ::-1])
    found = augment.Flip(fraction=0.5)(large, seed(1))["image"].numpy()
    flipped = (found == image[:, :, ::-1]).all(axis=(1, 2, 3))
    kept = (found == image).all(axis=(1, 2, 3))
    assert (flipped ^ kept).all()
    assert 16 <= flipped.sum() <= 48


def test_a_shift_moves_by_whole_pixels_and_repeats_the_border() -> None:
    image = np.arange(100, dtype=np.uint8).reshape(1, 10, 10, 1)
    found = augment.Shift(fraction=0.2)({"image": tf.constant(np.repeat(image, 50, axis=0))}, seed(1))["image"].numpy()
    shifted = {}
    for down in range(-2, 3):
        for right in range(-2, 3):
            rows, columns = (np.clip(np.arange(10) + move, 0, 9) for move in (down, right))
            shifted[image[0][rows][:, columns].tobytes()] = (down, right)
    moves = {shifted[one.tobytes()] for one in found}
    assert {down for down, _ in moves} == {right for _, right in moves} == {-2, -1, 0, 1, 2}


def test_a_crop_enlarges_without_leaving_the_image() -> None:
    ramp = np.broadcast_to(np.arange(0, 200, 10, dtype=np.uint8)[None, :, None, None], (50, 20, 20, 1))
    found = augment.Crop(fraction=0.5)({"image": tf.constant(ramp)}, seed(1))["image"].numpy().astype(float)
    slopes = (found[:, -2, 0, 0] - found[:, 0, 0, 0]) / 18
    assert slopes.min() >= 4.9
    assert slopes.max() <= 10.1
    assert slopes.max() - slopes.min() > 3
