"""A table with columns of every kind: encoded, trained on, and served where only TensorFlow is known."""

from __future__ import annotations

import datetime
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from PIL import Image

from pipeline import models
from pipeline.data.rows import labels_of
from pipeline.data.transforms import (
    ClassIndex,
    DateTimeParts,
    HashedText,
    Standardize,
    Tags,
    Transforms,
    Vocabulary,
)
from pipeline.data.transforms.resize_image import FittedResizeImage
from pipeline.data.transforms.transform import fit_on
from pipeline.errors import DataError
from pipeline.export.compare import FreshProcess, largest_difference
from pipeline.export.predict import predict
from pipeline.export.saved_model import ABOUT, argument_names, expected_outputs, raw_columns, write_saved_model
from pipeline.models.outputs import example_losses
from pipeline.progress import silent
from pipeline.runs import read_json
from pipeline.spec import Spec

ROWS = 96
KINDS = {
    "hours-per-week": "numeric",
    "colour": "categorical",
    "since": "datetime",
    "topics": "tags",
    "note": "text",
    "photo": "image",
    "back": "image",
}
EDGES = {"hours-per-week": [(-1.0, 0.0, 1.0)], "since": [(-1.0, 0.5)]}


def photo(brightness: int, channels: int, seed: int) -> bytes:
    shape = (9, 11, 3) if channels == 3 else (9, 11)
    pixels = np.random.default_rng(seed).integers(brightness, brightness + 100, shape).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def every(number: int, row: int, value: Any) -> Any:
    """The value, but a missing one in every so many rows."""
    return None if row % number == 0 else value


def stored_rows() -> pa.RecordBatch:
    """Rows as `ingest` stores them, with gaps in every column; every column knows something of the label."""
    random, rows = np.random.default_rng(0), range(ROWS)
    truth = random.integers(0, 2, ROWS)
    start = datetime.datetime(2024, 1, 1)
    columns = {
        "hours-per-week": pa.array([every(7, row, random.normal(truth[row])) for row in rows], pa.float64()),
        "colour": pa.array([every(5, row, ["red", "blue"][(truth[row] + row // 9) % 2]) for row in rows]),
        "since": pa.array(
            [every(6, row, start + datetime.timedelta(days=int(90 * truth[row]), minutes=17 * row)) for row in rows],
            pa.timestamp("us"),
        ),
        "topics": pa.array(
            [every(8, row, [["jazz", "live"], ["rock"]][truth[row]] + ["new", ""][: row % 3]) for row in rows],
            pa.list_(pa.string()),
        ),
        "note": pa.array([every(9, row, ["Too LOUD, über", "quite quiet"][truth[row]] + f" {row}") for row in rows]),
        "photo": pa.array([every(4, row, photo(100 * truth[row], 1, row)) for row in rows], pa.binary()),
        "back": pa.array([every(3, row, photo(100 * truth[row], 3, -row % 97)) for row in rows], pa.binary()),
        "y": pa.array([["no", "yes"][value] for value in truth]),
    }
    return pa.RecordBatch.from_pydict(columns)


def fitted(batch: pa.RecordBatch) -> Transforms:
    chosen = {
        "hours-per-week": Standardize(),
        "colour": Vocabulary(),
        "since": DateTimeParts(),
        "topics": Tags(),
        "note": HashedText(),
    }
    features: dict[str, Any] = {name: fit_on(transform, batch[name]) for name, transform in chosen.items()}
    features |= {"photo": FittedResizeImage(8, 8, 1), "back": FittedResizeImage(8, 8, 3)}
    return Transforms(tuple(features.items()), "y", ClassIndex().fit(labels_of(batch["y"])))


def train(model: keras.Model, spec: Spec, features: dict[str, np.ndarray], label: np.ndarray) -> list[float]:
    """Thirty steps on all rows; the first and the last loss."""
    optimizer, batch = keras.optimizers.Adam(0.01), {name: tf.constant(part) for name, part in features.items()}
    optimizer.build(model.trainable_variables)

    @tf.function
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(example_losses(spec, tf.constant(label), model(batch, training=True)))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    losses = [float(step()) for _ in range(30)]
    return [losses[0], losses[-1]]


@pytest.fixture(scope="module", params=["tabm", "convnet", "text_bag"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A trained model of each kind, with all that was made on the way to its SavedModel."""
    batch = stored_rows()
    transforms = fitted(batch)
    spec = transforms.spec("binary", ROWS, EDGES)
    prepared = transforms.encode(batch)
    keras.utils.set_random_seed(5)
    model = getattr(models, request.param)(spec, width=8, depth=1)
    losses = train(model, spec, prepared, transforms.encode_label(batch))
    path = tmp_path_factory.mktemp("mixed") / request.param
    write_saved_model(model, spec, transforms, path, {"kinds": KINDS, "classes": ["no", "yes"]})
    expected = expected_outputs(model, spec, transforms, prepared)
    return {"batch": batch, "transforms": transforms, "losses": losses, "path": path, "expected": expected}


def test_a_model_learns_from_a_table_of_every_kind(exported: dict[str, Any]) -> None:
    first, last = exported["losses"]
    assert last < 0.7 * first


def test_the_saved_model_answers_in_a_fresh_process_as_the_model_did(exported: dict[str, Any]) -> None:
    raw = raw_columns(exported["batch"], exported["transforms"])
    arguments = argument_names(list(raw))
    with FreshProcess() as process:
        found = process.ask(exported["path"], {arguments[name]: column for name, column in raw.items()})
    assert found["batch/probabilities"].shape == (ROWS, 2)
    assert largest_difference(found, exported["expected"], 1e-5) < 1e-5


def test_about_tells_each_column_and_how_tags_are_joined(exported: dict[str, Any]) -> None:
    columns = {column["name"]: column for column in read_json(exported["path"] / ABOUT)["columns"]}
    assert {name: column["kind"] for name, column in columns.items()} == KINDS
    assert {column["dtype"] for name, column in columns.items() if name != "hours-per-week"} == {"string"}
    assert {name: column.get("separator") for name, column in columns.items() if column.get("separator")} == {
        "topics": "|"
    }


@pytest.mark.parametrize("exported", ["mlp"], indirect=True)
def test_predict_answers_files_of_every_kind_as_the_model_did(exported: dict[str, Any], tmp_path: Path) -> None:
    table, version = pa.Table.from_batches([exported["batch"]]), version_of(exported, tmp_path)
    pq.write_table(table, tmp_path / "rows.parquet")
    found = predict(version, tmp_path / "rows.parquet", None, silent())
    np.testing.assert_allclose(found["probability_yes"], exported["expected"]["probabilities"][:, 1], atol=1e-5)
    text = as_text(table, tmp_path)
    pa.csv.write_csv(text, tmp_path / "rows.csv")
    found = predict(version, tmp_path / "rows.csv", None, silent())
    np.testing.assert_allclose(found["probability_yes"], exported["expected"]["probabilities"][:, 1], atol=1e-5)


@pytest.mark.parametrize("exported", ["mlp"], indirect=True)
@pytest.mark.parametrize(("column", "value"), [("since", "31.3.2024"), ("hours-per-week", "many")])
def test_predict_names_the_place_of_a_value_that_does_not_fit(
    exported: dict[str, Any], column: str, value: str, tmp_path: Path
) -> None:
    text = as_text(pa.Table.from_batches([exported["batch"]]), tmp_path)
    values = text[column].to_pylist()
    values[3] = value
    text = text.set_column(text.column_names.index(column), column, pa.array([str(one or "") for one in values]))
    pa.csv.write_csv(text, tmp_path / "rows.csv")
    with pytest.raises(DataError, match=rf'rows\.csv:5, column "{column}": "{value}" is not a'):
        predict(version_of(exported, tmp_path), tmp_path / "rows.csv", None, silent())


@pytest.mark.parametrize("exported", ["mlp"], indirect=True)
def test_predict_names_an_image_that_cannot_be_decoded(exported: dict[str, Any], tmp_path: Path) -> None:
    text = as_text(pa.Table.from_batches([exported["batch"]]), tmp_path)
    (tmp_path / "photo-5.png").write_bytes(b"no image")
    pq.write_table(text, tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"photo-5\.png cannot be decoded"):
        predict(version_of(exported, tmp_path), tmp_path / "rows.parquet", None, silent())


def version_of(exported: dict[str, Any], folder: Path) -> Path:
    """The model as a published version."""
    version = folder / "saved_models" / "mixed" / "1"
    version.parent.mkdir(parents=True)
    version.symlink_to(exported["path"])
    return version


def as_text(table: pa.Table, folder: Path) -> pa.Table:
    """The same rows as a CSV file has them: tags joined, images as paths."""
    for name in ("photo", "back"):
        paths = []
        for row, image in enumerate(table[name].to_pylist()):
            path = folder / f"{name}-{row}.png"
            paths.append(str(path) if image else "")
            path.write_bytes(image or b"")
        table = table.set_column(table.column_names.index(name), name, pa.array(paths))
    joined = pa.array(["" if tags is None else "|".join(tags) for tags in table["topics"].to_pylist()])
    return table.set_column(table.column_names.index("topics"), "topics", joined)


GOLDEN = """
import sys, numpy as np, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
serve = model.signatures["serving_default"]
def ask(rows):
    hours, *texts = zip(*rows)
    names = ["colour", "since", "topics", "note", "photo", "back"]
    strings = {name: tf.constant(values, tf.string) for name, values in zip(names, texts)}
    return serve(hours_per_week=tf.constant(hours), **strings)["probabilities"].numpy()
white = tf.io.encode_png(tf.fill([9, 11, 1], tf.constant(255, tf.uint8))).numpy()
rows = [(0.5, "red", "2024-03-31T10:20", "live|jazz", "quite loud", white, white),
        (0.5, " red ", "2024-03-31 10:20:00.000000Z", " live | jazz|", " Quite... LOUD! ", white, white),
        (0.5, "red", "2024-03-31T12:20+02:00", "live|jazz", "quite loud", white, white),
        (float("nan"), "?", "", "", "", "", ""),
        (float("nan"), "", "31.3.2024", "?", "nan", "", "")]
both = ask(rows)
assert np.isfinite(both).all() and np.allclose(both.sum(axis=1), 1, atol=1e-6)
assert np.allclose(both[0], both[1], atol=1e-6) and np.allclose(both[0], both[2], atol=1e-6), "spelling matters"
assert np.allclose(both[3], both[4], atol=1e-6), "spellings of what is missing differ"
assert not np.allclose(both[0], both[3], atol=1e-4)
for row, expected in zip(rows, both):
    assert np.allclose(ask([row])[0], expected, atol=1e-6), "alone and in a batch differ"
assert not [name for name in sys.modules if name.split(".")[0] == "pipeline"]
print("golden")
"""


@pytest.mark.parametrize("exported", ["mlp"], indirect=True)
def test_the_saved_model_reads_raw_rows_where_only_tensorflow_is_imported(exported: dict[str, Any]) -> None:
    command = [sys.executable, "-I", "-c", GOLDEN, str(exported["path"])]
    done = subprocess.run(command, cwd=Path(exported["path"]).parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "golden" in done.stdout
