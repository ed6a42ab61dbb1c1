"""Every batch is a function of seed and step alone: not of parallelism, blocks, workers or where one begins."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data import augment, feed
from pipeline.data.augment.examples import Examples
from pipeline.data.input_pipeline import make_eval, make_train, num_steps
from pipeline.data.store import Store, StoreWriter
from pipeline.errors import ConfigError
from pipeline.spec import Bag, Spec

ROOT = Path(__file__).parents[1]
ROWS = 23


def write_store(folder: Path, rows: int = ROWS) -> Store:
    """Row i holds i in every column, so that columns can be seen to stay together."""
    index = np.arange(rows)
    columns = {
        "numeric": np.stack([index, -index], axis=1).astype(np.float32),
        "categorical": index[:, None].astype(np.int32),
        "bags": np.stack([index, index + 1, 0 * index], axis=1).astype(np.int32),
        "image": np.broadcast_to(index[:, None, None, None], (rows, 4, 6, 3)).astype(np.uint8),
        "label": index.astype(np.int32),
    }
    spec = Spec(
        "multiclass",
        rows,
        num_numeric=2,
        edges=((0.0, 1.0), (0.0, 1.0)),
        vocabulary_sizes=(rows,),
        bags=(Bag(rows + 1, 2), Bag(rows, 1)),
        image_shape=(4, 6, 3),
    )
    forms = {name: (str(values.dtype), values.shape[1:]) for name, values in columns.items()}
    writer = StoreWriter(folder, rows, forms, spec=spec)
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
    """One of every part, and both that need a partner; each of them has its own tests in test_augment."""
    names = ("Flip", "Rotate", "Noise", "SwapNoise", "WordDropout", "MixUp")
    return [getattr(augment, name)() for name in names]


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
    assert store.num_bytes == ROWS * (8 + 4 + 12 + 72 + 4)


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


@pytest.mark.parametrize("workers", [2, 3, 4])
def test_the_shards_of_all_workers_are_the_global_batch(store: Store, workers: int) -> None:
    arguments: dict[str, Any] = {"batch_size": 8, "seed": 4, "epochs": 2, "augment": all_augmentations()}
    whole = arrays(make_train(store, **arguments))
    shards = [arrays(make_train(store, **arguments, shard=(worker, workers))) for worker in range(workers)]
    assert all(len(shard) == len(whole) for shard in shards)
    joined = [
        {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        for parts in zip(*shards, strict=True)
    ]
    assert same(joined, whole)


@pytest.mark.parametrize("arguments", [{"threads": 1}, {"threads": 2}])
def test_no_parallelism_changes_a_batch(store: Store, arguments: dict[str, Any]) -> None:
    common: dict[str, Any] = {"batch_size": 5, "seed": 4, "epochs": 3, "augment": all_augmentations()}
    assert same(arrays(make_train(store, **common, **arguments)), arrays(make_train(store, **common)))


def test_neither_the_size_of_a_block_nor_of_a_batch_changes_what_becomes_of_a_row(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_row(batch_size: int) -> dict[str, np.ndarray]:
        batches = arrays(make_train(store, batch_size=batch_size, seed=4, augment=all_augmentations()))
        joined = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
        order = np.argsort(
            np.concatenate([make_train(store, batch_size=batch_size, seed=4).feed.rows(s) for s in range(len(batches))])
        )
        return {name: values[order] for name, values in joined.items()}

    usual = by_row(5)
    monkeypatch.setattr(feed, "_BLOCK_BYTES", 1)
    assert same([by_row(5)], [usual])
    assert same([by_row(7)], [usual])


def test_a_store_beyond_memory_is_read_in_windows(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "SHUFFLED_WHOLE_BYTES", 0)
    monkeypatch.setattr(feed, "_DISK_BLOCK_BYTES", 200)  # two rows
    monkeypatch.setattr(feed, "_WINDOW_BYTES", 600)
    dataset = make_train(store, batch_size=5, seed=1, epochs=2)
    found = labels(dataset)
    assert dataset.feed.order.block_rows == 2
    assert [sorted(flat(found[start : start + 5])) for start in (0, 5)] == [list(range(ROWS))] * 2
    assert labels(make_train(store, batch_size=5, seed=1, epochs=2, first_step=7)) == found[7:]


def test_rows_of_a_step_and_what_an_epoch_does_to_a_row_are_one_call(store: Store) -> None:
    dataset = make_train(store, batch_size=5, seed=9, epochs=8, augment=all_augmentations())
    batches = arrays(dataset)
    step = 7 * dataset.feed.steps_per_epoch + 2
    rows = dataset.feed.rows(step)
    assert rows.tolist() == labels(make_train(store, batch_size=5, seed=9, epochs=8))[step]
    features, label = dataset.feed.examples(rows, epoch=7)
    assert same(
        [{**{name: value.numpy() for name, value in features.items()}, "label": label.numpy()}], [batches[step]]
    )


def test_a_dataset_of_sample_weights_has_three_parts(tmp_path: Path) -> None:
    writer = StoreWriter(
        tmp_path, 6, {"numeric": ("float32", (1,)), "label": ("int32", ()), "sample_weight": ("float32", ())}
    )
    writer.append({"numeric": np.zeros((6, 1)), "label": np.asarray([0, 0, 0, 0, 1, 1]), "sample_weight": np.arange(6)})
    writer.close()
    small = Store(tmp_path)
    for dataset in (make_train(small, batch_size=4, seed=0), make_eval(small, batch_size=4)):
        found = list(dataset.as_numpy_iterator())
        assert [set(features) for features, _, _ in found] == [{"numeric"}] * 2
        assert sorted(np.concatenate([weight for _, _, weight in found]).tolist()) == list(range(6))
    _, label, weight = next(make_train(small, batch_size=6, seed=0, class_weight={1: 10.0}).as_numpy_iterator())
    rows = make_train(small, batch_size=6, seed=0).feed.rows(0)
    assert weight.tolist() == [10.0 * row if row >= 4 else row for row in rows]
    assert label.tolist() == [int(row >= 4) for row in rows]


def test_resampling_and_class_weights_need_classes(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path, 2, {"numeric": ("float32", (1,)), "label": ("float32", ())})
    writer.append({"numeric": np.zeros((2, 1)), "label": np.zeros(2)})
    writer.close()
    for arguments in ({"resample": "balanced"}, {"class_weight": "balanced"}):
        with pytest.raises(ConfigError, match="need classes"):
            make_train(Store(tmp_path), batch_size=1, seed=0, **arguments)


def test_a_batch_size_beyond_the_rows_is_one_batch(store: Store) -> None:
    assert [len(batch) for batch in labels(make_train(store, batch_size=1000, seed=0, epochs=2))] == [ROWS, ROWS]


@dataclass(frozen=True)
class Add:
    """Adds a number, and shows the key in another column."""

    number: float
    part: ClassVar[str] = "numeric"
    mixes: ClassVar[bool] = False

    def __call__(self, examples: Examples, keys: tf.Tensor) -> Examples:
        numeric = examples.features["numeric"] * 2.0 + self.number
        return examples.with_features(numeric=numeric, **{f"key {self.number}": keys})


def test_augmentations_are_applied_in_their_order_with_keys_of_their_own(store: Store) -> None:
    keys: list[int] = []
    for batch in arrays(make_train(store, batch_size=5, seed=0, epochs=2, augment=[Add(1.0), Add(5.0)])):
        assert np.array_equal(batch["numeric"][:, 0], (batch["label"] * 2 + 1) * 2 + 5)
        keys += [*batch["key 1.0"].tolist(), *batch["key 5.0"].tolist()]
    assert len(set(keys)) == len(keys) == 4 * ROWS


def test_partners_are_other_rows_as_the_operations_before_left_them(store: Store) -> None:
    @dataclass(frozen=True)
    class Replace:
        part: ClassVar[str] = "any"
        mixes: ClassVar[bool] = False

        def __call__(self, examples: Examples, keys: tf.Tensor) -> Examples:
            other = examples.partners(keys)
            return examples.with_features(**other.features, label=other.label)

    own, partner = [], []
    for batch in arrays(make_train(store, batch_size=5, seed=0, epochs=20, augment=[Add(1.0), Replace()])):
        own += batch["label"].tolist()
    for features, label in make_train(
        store, batch_size=5, seed=0, epochs=20, augment=[Add(1.0), Replace()]
    ).as_numpy_iterator():
        assert np.array_equal(features["numeric"][:, 0], features["label"] * 2 + 1)
        partner += features["label"].tolist()
        assert label.dtype == np.int32
    counts = np.bincount(partner, minlength=ROWS)
    assert counts.min() > 5
    assert own != partner


def test_what_is_no_augmentation_or_has_nothing_to_change_is_refused(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path, 2, {"numeric": ("float32", (1,)), "label": ("int32", ())})
    writer.append({"numeric": np.zeros((2, 1)), "label": np.zeros(2)})
    writer.close()
    for operation in (augment.Flip(), augment.WordDropout(), lambda examples, keys: examples):
        with pytest.raises(ConfigError, match="the store holds numeric, label"):
            make_train(Store(tmp_path), batch_size=1, seed=0, augment=[operation])
