"""The named parts of a config: kinds told from paths, the split that is meant, own code in fingerprints, recipes."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pipeline.components import optimizer_of, resolved, source_of, split_of
from pipeline.config import Config, parse
from pipeline.data.sources import Csv, ImageFolder, Parquet
from pipeline.data.split import Given, Stratified
from pipeline.errors import ConfigError
from pipeline.models import mlp
from pipeline.plan import PLAN, fingerprints
from pipeline.resolve import code_hashes
from pipeline.spec import Bag, Spec
from pipeline.training import SGD, fit


def config(**keys: object) -> Config:
    return parse({"name": "c", "source": "rows.csv", **keys}, origin="test")


@pytest.mark.parametrize(("path", "kind"), [("a.csv", Csv), ("a.TSV", Csv), ("a.parquet", Parquet), ("a.pq", Parquet)])
def test_the_kind_of_a_source_is_told_by_its_ending(path: str, kind: type) -> None:
    assert type(source_of(config(source=path))) is kind


def test_a_folder_is_a_folder_of_images(tmp_path: Path) -> None:
    assert source_of(config(source=str(tmp_path))) == ImageFolder(str(tmp_path), "label")


def test_a_source_of_unknown_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.xyz").touch()
    with pytest.raises(ConfigError, match="cannot be told from its ending"):
        source_of(config(source=str(tmp_path / "rows.xyz")))


def test_a_recognized_split_column_is_used_unless_shares_are_written_down() -> None:
    assert split_of(config(), recognized="split") == Given()
    assert split_of(config(), recognized=None) == Stratified()
    assert split_of(config(split={"column": "fold"}), recognized=None) == Given(column="fold")
    shares = {"train": 0.8, "validation": 0.1, "test": 0.1}
    assert split_of(config(split=shares), recognized="split") == Stratified(**shares)


def test_own_code_counts_in_the_fingerprints_of_the_stages_that_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    own = config(model="fingerprinted_nets:net")
    found = []
    for code in ("def net(spec): return 1\n", "def net(spec): return 2\n"):
        (tmp_path / "fingerprinted_nets.py").write_text(code)
        found.append(fingerprints(own, "source", code_hashes))
    changed = [stage.name for stage in PLAN if found[0][stage.name] != found[1][stage.name]]
    assert changed == ["tune", "train", "evaluate", "export"]


def test_code_that_does_not_exist_and_paths_with_a_colon_are_no_code() -> None:
    assert code_hashes({"a": "no_such_module:thing", "b": ["C:\\rows.csv", "12:30", "plain"]}) == {}


TABLE = Spec("binary", 2, num_numeric=3, num_train=30_000)
TEXT = Spec("multiclass", 5, bags=(Bag(64, 8),), num_train=900)
PHOTOS = Spec("multiclass", 3, image_shape=(8, 8, 1), num_train=900)


@pytest.mark.parametrize(
    ("spec", "model", "optimizer", "batch_size", "smoothing"),
    [
        (TABLE, "tabm", "AdamW", 256, 0.0),
        (replace(TABLE, bags=TEXT.bags), "tabm", "AdamW", 256, 0.0),
        (TEXT, "text_bag", "Adagrad", 64, 0.1),
        (PHOTOS, "convnet", "AdamW", 32, 0.1),
        (replace(PHOTOS, num_numeric=2, bags=TEXT.bags), "convnet", "AdamW", 32, 0.1),
    ],
)
def test_what_the_config_leaves_open_follows_the_data(
    spec: Spec, model: str, optimizer: str, batch_size: int, smoothing: float
) -> None:
    found = resolved(config(model={"name": "auto", "dropout": 0.3}), spec)
    assert (found.model.name, found.model.arguments) == (model, {"dropout": 0.3})
    train = found.train
    assert (train.optimizer.name, train.batch_size, train.label_smoothing) == (optimizer, batch_size, smoothing)
    assert train.learning_rate == optimizer_of(found).learning_rate
    assert train.epochs is not None
    assert resolved(found, spec) == found


def test_what_the_config_says_is_kept_whatever_the_data_are() -> None:
    said = {"batch_size": 7, "epochs": 3, "label_smoothing": 0.2, "learning_rate": 0.5, "optimizer": {"name": "SGD"}}
    for spec in (TABLE, TEXT, PHOTOS):
        train = resolved(config(train=said), spec).train.model_dump(include=set(said))
        assert train == said


def test_an_optimizer_that_is_named_has_its_own_rate_and_arguments_alone_go_with_the_recipe_s() -> None:
    assert resolved(config(train={"optimizer": "SGD"}), TEXT).train.learning_rate == SGD().learning_rate
    clipped = resolved(config(train={"optimizer": {"name": "auto", "clip_norm": 1.0}}), TABLE).train.optimizer
    assert clipped.name == "AdamW"
    assert clipped.arguments["clip_norm"] == 1.0
    assert clipped.arguments["weight_decay"] > 0


def test_the_documented_optimizer_of_ones_own_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[1] / "docs" / "extend.md").read_text(encoding="utf-8")
    section = page[page.index("### An optimizer") : page.index("## In the package")]
    code, text = (re.search(rf"^```{kind}\n(.*?)^```$", section, re.M | re.S)[1] for kind in ("python", "toml"))
    (tmp_path / "my_optimizers.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = optimizer_of(parse({"name": "c", **tomllib.loads(text)}, origin="test"))
    assert (found.beta_1, found.learning_rate, found.schedule) == (0.95, 1e-4, "cosine")
    spec = Spec("binary", 2, num_numeric=2)
    rows = tf.data.Dataset.from_tensors(({"numeric": np.eye(2, dtype=np.float32)}, np.array([0, 1])))
    quick = replace(found, learning_rate=0.01)
    history = fit(mlp(spec, width=8), rows.repeat(30), rows, spec=spec, optimizer=quick, epochs=30, ema=0.5)
    assert history.val_loss[-1] < 0.8 * history.val_loss[0]
