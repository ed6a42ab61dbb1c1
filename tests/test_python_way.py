"""The rooms used from Python: what the README shows, and what the architecture promises, runs word for word."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline import data, evaluation, export, models, training
from pipeline.data.sources import ArrowTable
from pipeline.errors import ConfigError, ExportError
from pipeline.export.predict import predict
from pipeline.progress import silent
from pipeline.spec import Spec
from tests.helpers import mixed_rows, write_csv

ROOT = Path(__file__).resolve().parents[1]
# The promise of the architecture.
ADULT = """\
from pipeline import data, evaluation, export, models, training

source = data.sources.Csv("adult.csv", label="income")
splits = data.prepare(source, split=data.split.Stratified(train=0.7, validation=0.15, test=0.15, seed=7))
train = data.make_train(splits.train, batch_size=256, seed=7, augment=[data.augment.MixUp(alpha=0.2)])
validation = data.make_eval(splits.validation, batch_size=1024)

model = models.mlp(splits.spec, units=(256, 256), dropout=0.2, l1=0.0, l2=1e-4)
history = training.fit(model, train, validation, optimizer=training.Adam(1e-3), epochs=30)

print(evaluation.evaluate(model, data.make_eval(splits.test)))     # the one place that opens test
export.saved_model(model, splits.transforms, "saved_models/adult/1")
"""
PYTHON = r"^```python\n(.*?)^```$"
# One process for all scripts: importing TensorFlow takes longer than they do.
RUN = """
import runpy, sys
for script in sys.argv[1:]:
    print(f"# {script}", flush=True)
    runpy.run_path(script)
"""


def snippets() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text[text.index("## In Python") : text.index("## Schedule it")]
    return re.findall(PYTHON, section, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the scripts printed, by name, and the folder in which they ran."""
    folder = tmp_path_factory.mktemp("way")
    write_csv(folder / "adult.csv", mixed_rows(600))
    own, foreign = snippets()
    (weights,) = re.findall(PYTHON, (ROOT / "docs" / "imbalance.md").read_text(encoding="utf-8"), re.M | re.S)
    scripts = {"own": own, "foreign": foreign, "adult": ADULT, "weights": weights}
    for name, text in scripts.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", RUN, *(f"{name}.py" for name in scripts)],
        cwd=folder, capture_output=True, text=True, check=False, env=_environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    parts = re.split(r"^# (\w+)\.py$", done.stdout, flags=re.MULTILINE)
    return {"folder": folder, "stderr": done.stderr, **dict(zip(parts[1::2], parts[2::2], strict=True))}


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}


def accuracy(printed: str) -> tuple[float, float]:
    """Of the model and of the baseline."""
    found = re.search(r"^accuracy +([\d.]+) +([\d.]+)$", printed, re.MULTILINE)
    assert found, printed
    return float(found[1]), float(found[2])


def test_the_readme_shows_the_way_and_the_data_half_alone() -> None:
    own, foreign = snippets()
    head, rest = ADULT.split("source = ", 1)
    assert own.startswith(head)
    for line in rest.splitlines()[1:-1]:  # all but the source and the directory
        assert line.split("     #")[0] in own
    assert "from pipeline import data\n" in foreign


def test_the_readme_s_way_learns_and_exports(outputs: dict[str, Any]) -> None:
    model, baseline = accuracy(outputs["own"])
    assert model > 0.9 > 0.7 > baseline
    assert (outputs["folder"] / "saved_models/breast_cancer/1/saved_model.pb").exists()


def test_the_architecture_s_way_runs_word_for_word(outputs: dict[str, Any]) -> None:
    model, baseline = accuracy(outputs["adult"])
    assert model > baseline + 0.1
    answered = predict(
        outputs["folder"] / "saved_models/adult", outputs["folder"] / "adult.csv", None, silent()
    ).to_pydict()
    right = np.mean([found == true for found, true in zip(answered["label"], answered["income"], strict=True)])
    assert right > baseline + 0.1


def test_foreign_keras_code_takes_the_batches_as_they_are(outputs: dict[str, Any]) -> None:
    assert "Epoch 3/3" in outputs["foreign"]
    assert "ran out of data" not in outputs["foreign"] + outputs["stderr"]
    found = [float(value) for value in re.findall(r"val_accuracy: ([\d.]+)", outputs["foreign"])]
    assert len(found) == 3
    assert found[-1] > max(found[0], 0.7)


def test_the_page_on_imbalance_runs_as_it_stands(outputs: dict[str, Any]) -> None:
    assert accuracy(outputs["weights"])
    assert outputs["weights"].strip().endswith('weighted by "count"')


def table(task: str, num_rows: int = 240) -> ArrowTable:
    import pyarrow as pa

    random = np.random.default_rng(1)
    x = random.normal(size=(num_rows, 2))
    label = {"regression": x[:, 0] * 3 + 7, "binary": x[:, 0] > 0, "multiclass": np.digitize(x[:, 0], [-0.5, 0.5])}
    return ArrowTable(pa.table({"a": x[:, 0], "b": x[:, 1], "y": label[task]}), label="y")


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_saved_model_of_the_python_way_answers_as_the_model(task: str, tmp_path: Path) -> None:
    splits = data.prepare(table(task))
    model = models.mlp(splits.spec, units=(8,))
    assert splits.spec.task == task
    path = export.saved_model(model, splits.transforms, tmp_path / "m" / "1", about={"name": "m"})
    loaded = tf.saved_model.load(str(path))
    raw = {"a": np.asarray([0.1, np.nan, 3.0], np.float32), "b": np.asarray([1.0, 0.5, -2.0], np.float32)}
    found = loaded.signatures["serving_default"](**{name: tf.constant(column) for name, column in raw.items()})
    batch = splits.transforms.serving()(raw)
    logits = model(batch, training=False).numpy()[:, 0]
    if task == "regression":
        expected = splits.transforms.target.inverse(logits.astype(np.float64))
        np.testing.assert_allclose(found["prediction"], expected, rtol=1e-6)
    else:
        assert found["probabilities"].shape == (3, splits.spec.num_classes)
        if task == "binary":
            np.testing.assert_allclose(found["probabilities"][:, 1], 1 / (1 + np.exp(-logits)), rtol=1e-5)


def test_a_saved_model_is_never_written_over_another_nor_half(tmp_path: Path) -> None:
    splits = data.prepare(table("binary"))
    model = models.mlp(splits.spec, units=(4,))
    path = export.saved_model(model, splits.transforms, tmp_path / "m" / "1")
    before = {file: file.read_bytes() for file in path.rglob("*.pb")}
    with pytest.raises(ExportError, match="exists"):
        export.saved_model(model, splits.transforms, path)
    assert {file: file.read_bytes() for file in path.rglob("*.pb")} == before
    with pytest.raises(ExportError, match="output has the shape"):
        export.saved_model(models.mlp(Spec("multiclass", 5, 2), units=()), splits.transforms, tmp_path / "m" / "2")
    assert [file.name for file in (tmp_path / "m").iterdir()] == ["1"]


def test_what_cannot_be_evaluated_is_refused(tmp_path: Path) -> None:
    splits = data.prepare(table("binary"))
    with pytest.raises(ConfigError, match="which rows these are"):
        evaluation.evaluate(models.mlp(splits.spec, units=()), data.make_eval(splits.test).take(1))
    with pytest.raises(ConfigError, match=r"output has the shape \(None, 3\)"):
        evaluation.evaluate(models.mlp(Spec("multiclass", 3, 2), units=()), data.make_eval(splits.test))


def test_units_and_width_are_two_ways_to_say_one_thing() -> None:
    spec = Spec("binary", 2, num_numeric=3)
    by_units, by_width = models.mlp(spec, units=(32, 32, 32)), models.mlp(spec, width=32, depth=3)
    assert [weight.shape for weight in by_units.weights] == [weight.shape for weight in by_width.weights]
    dense = [layer for layer in models.mlp(spec, units=(8, 4)).layers if isinstance(layer, keras.layers.Dense)]
    assert [layer.units for layer in dense] == [8, 4, 1]
    with pytest.raises(ConfigError, match='"model.units" is'):
        models.mlp(spec, units=(8,), width=32)
    with pytest.raises(ConfigError, match="at least 1"):
        models.mlp(spec, units=(8, 0))


def test_a_split_with_a_seed_of_its_own_does_not_heed_the_run_s() -> None:
    labels = np.repeat([0.0, 1.0], 50)
    own = data.split.Stratified(seed=7)
    assert np.array_equal(own(labels, seed=1), own(labels, seed=2))
    assert np.array_equal(own(labels, seed=1), data.split.Stratified()(labels, seed=7))
    assert not np.array_equal(data.split.Stratified()(labels, seed=1), data.split.Stratified()(labels, seed=2))
    with pytest.raises(ConfigError, match="seed is -1"):
        data.split.Random(seed=-1)


def test_the_same_seeds_make_the_same_model() -> None:
    def weights() -> list[np.ndarray]:
        keras.utils.set_random_seed(3)
        splits = data.prepare(table("binary"), split=data.split.Stratified(seed=7))
        model = models.mlp(splits.spec, units=(8,), dropout=0.5)
        train = data.make_train(splits.train, batch_size=32, seed=7)
        training.fit(model, train, data.make_eval(splits.validation), optimizer=training.Adam(1e-2), epochs=3)
        return model.get_weights()

    assert all(np.array_equal(one, other) for one, other in zip(weights(), weights(), strict=True))
