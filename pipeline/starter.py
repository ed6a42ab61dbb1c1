"""`pipeline init`: a look at the data, and a commented config that a laptop finishes in about five minutes."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.components import source_of
from pipeline.config import parse
from pipeline.data.images import probe
from pipeline.data.ingest import read_sample
from pipeline.data.schema import Schema, infer_schema, normalize_text, recognize_split_column
from pipeline.data.sources import Csv, ImageFolder, Parquet
from pipeline.data.sources.source import Source
from pipeline.data.split import MAX_CLASSES
from pipeline.data.transforms.bundle import labels_of
from pipeline.data.transforms.target import looks_like_classes
from pipeline.errors import ConfigError, DataError, RunError

_LABEL_NAMES = ("label", "target", "class", "y", "outcome", "income", "species", "diagnosis", "price", "survived")
# Seconds a row and epoch cost on two cores, measured on adult (tables, width 256) and on flowers and digits
# (images, the default convnet): the budget below is made of them.
_TABLE_ROW_SECONDS = 25e-6
_IMAGE_SECONDS, _PIXEL_SECONDS = 150e-6, 0.6e-6
_TUNE_SECONDS, _TRAIN_SECONDS = 130.0, 90.0
_TRIALS = 10


@dataclass(frozen=True)
class Written:
    """The config that was written, and what was found in the data."""

    path: Path
    findings: list[str]


@dataclass(frozen=True)
class _Look:
    """What a sample tells."""

    source: Source
    schema: Schema
    label: str
    num_rows: int
    task: str
    identifiers: list[str]
    image_size: tuple[int, int] | None
    colour: bool


def write_config(path: Path, *, label: str | None = None, output: Path | None = None, force: bool = False) -> Written:
    """Looks at the data and writes a config.

    Args:
      path: CSV, TSV or Parquet file, or a folder of images.
      label: the column to predict; None: a column named like one, else the last.
      output: where to write; None: `configs/<name>.toml` below the current folder.
      force: whether an existing file may be overwritten.

    Raises:
      DataError: the data cannot be read, or the label does not exist.
      ConfigError: the config exists already.
      RunError: it cannot be written.
    """
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", path.resolve().stem).lstrip("_.-") or "experiment"
    target = output or Path("configs") / f"{name}.toml"
    if target.exists() and not force:
        raise ConfigError(
            f"{target} exists already.", fix="Give another file with --output, or --force to overwrite it."
        )
    if not path.exists():
        raise DataError(f"{path} does not exist.", expected="a CSV or Parquet file, or a folder of images")
    look = _look(path, label)
    text = _text(look, os.path.relpath(path.resolve(), target.parent.resolve()))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunError(
            f"{target} cannot be written: {error.strerror}.", fix="Choose another file with --output."
        ) from error
    return Written(target, _findings(look))


def _look(path: Path, label: str | None) -> _Look:
    config = parse({"name": "init", "source": str(path.absolute()), "label": label}, origin="init")
    source = source_of(config)
    sample, batches = read_sample(source)
    num_rows = sum(batch.num_rows for batch in batches)
    label = label or source.label or _guess_label(sample)
    schema = infer_schema(sample, label=label, categorical=source.categorical, images=source.images)
    is_number = schema.label.kind == "numeric"
    values = _label_values(sample[label], is_number)
    classes = looks_like_classes(values, MAX_CLASSES)
    task = "regression" if not classes else "binary" if len(set(values.tolist())) <= 2 else "multiclass"
    sizes = [probe(image) for image in sample["image"].to_pylist()[:64]] if source.images else []
    same = len({size[:2] for size in sizes}) == 1 and max(sizes[0][:2]) <= 64 if sizes else False
    image_size = (sizes[0][:2] if same else (64, 64)) if sizes else None
    colour = any(size[2] == 3 for size in sizes)
    return _Look(source, schema, label, num_rows, task, _identifiers(sample, schema), image_size, colour)


def _label_values(column: pa.ChunkedArray, is_number: bool) -> np.ndarray:
    """The labels that are there: float64, or text."""
    if pa.types.is_string(column.type):
        column = normalize_text(column)
    if is_number:
        values = labels_of(pc.cast(column, pa.float64()))
        return values[~np.isnan(values)]
    return np.asarray([str(value) for value in column.drop_null().to_pylist()], object)


def _guess_label(sample: pa.Table) -> str:
    split = recognize_split_column(sample, None)
    names = [name for name in sample.column_names if name != split and name.strip()]
    by_lower = {name.lower(): name for name in reversed(names)}
    return next((by_lower[known] for known in _LABEL_NAMES if known in by_lower), names[-1])


def _identifiers(sample: pa.Table, schema: Schema) -> list[str]:
    """Columns that only number the rows: text or whole numbers, another value in (almost) every row."""
    found = []
    for feature in schema.features:
        values = sample[feature.name].drop_null()
        if feature.kind == "image" or len(values) < 50 or pa.types.is_floating(values.type):
            continue
        distinct = len(pc.unique(values))
        named_like_one = re.search(r"(^|[_\s-])(id|uuid|guid|key|index|rownum)$", feature.name, re.IGNORECASE)
        if (feature.kind == "categorical" and distinct > 0.95 * len(values)) or (
            named_like_one and distinct == len(values)
        ):
            found.append(feature.name)
    return found if len(found) < len(schema.features) else []


def _budget(look: _Look) -> tuple[int, int]:
    """Epochs of a trial and of the final training."""
    if look.image_size:
        row_seconds = _IMAGE_SECONDS + _PIXEL_SECONDS * look.image_size[0] * look.image_size[1]
    else:
        row_seconds = _TABLE_ROW_SECONDS
    epoch_seconds = max(row_seconds * look.num_rows * 0.7, 0.02)
    tune = int(np.clip(_TUNE_SECONDS / (_TRIALS * epoch_seconds), 2, 20))
    train = int(np.clip(_TRAIN_SECONDS / epoch_seconds, 4, 100))
    return tune, train


def _findings(look: _Look) -> list[str]:
    kinds = [feature.kind for feature in look.schema.features if feature.name not in look.identifiers]
    counted = ", ".join(f"{kinds.count(kind)} {kind}" for kind in ("numeric", "categorical", "image") if kind in kinds)
    lines = [f"{look.num_rows} rows; features: {counted}; label: {look.label} ({look.task})"]
    if look.schema.split:
        lines.append(f'the column "{look.schema.split}" holds a published split, which is used')
    lines += [f'the column "{name}" is another value in almost every row: left out' for name in look.identifiers]
    return lines


def _text(look: _Look, source: str) -> str:
    tune_epochs, train_epochs = _budget(look)
    kind = {Csv: "Csv", Parquet: "Parquet", ImageFolder: "ImageFolder"}.get(type(look.source), "auto")
    image = look.image_size is not None
    lines = [
        "# Written by `pipeline init`. What is not set has a default; `pipeline schema` prints every key.",
        f"# {_findings(look)[0]}",
        "",
        f"source = {{ name = {_toml(kind)}, path = {_toml(source)} }}  # relative to this file",
        f"label = {_toml(look.label)}",
        f"task = {_toml(look.task)}  # binary, multiclass or regression; by the label's values",
        "seed = 0  # of everything random: the same seed gives the same model",
        "",
        "[features]",
        f"drop = {_toml(look.identifiers)}  # columns to leave out",
        "categorical = []  # columns to take for categories, though they look like numbers",
        "",
        *_split_lines(look),
        "",
        *(
            ["[prepare]", f"image_size = {_toml(list(look.image_size))}  # height and width in pixels", ""]
            if look.image_size
            else []
        ),
        "[model]",
        f"name = {_toml('convnet' if image else 'mlp')}",
        f"width = {32 if image else 256}  # {'channels of the first block' if image else 'units of each hidden layer'}",
        f"depth = {1 if image else 2}  # {'convolutions in a block' if image else 'hidden layers'}",
        "dropout = 0.1",
        "l1 = 0.0  # penalties on every kernel",
        "l2 = 0.0",
        "",
        "[train]",
        'optimizer = "Adam"  # or "Adagrad", or { name = "SGD", momentum = 0.9, nesterov = true }',
        f"learning_rate = {0.003 if image else 0.001}",
        'schedule = "cosine"  # warm-up, then down to 0 along half a cosine; or "constant"',
        f"batch_size = {_batch_size(look)}",
        f"epochs = {train_epochs}  # at most; sized for about a minute and a half on two cores",
        f"patience = {max(8, train_epochs // 3)}  # stop after so many epochs without a better validation loss",
        *([f"augment = {_augment(look)}  # train only"] if image else []),
        "",
        "[tune]  # KerasTuner's search over optimizer, learning rate, batch size, l1, l2, dropout, width and depth",
        'algorithm = "random"  # or "bayesian", "grid"',
        f"trials = {_TRIALS}  # the first one is this file as it stands; 0: no search",
        f"epochs = {tune_epochs}  # a trial, at most",
        '# space = { "model.dropout" = { min = 0.0, max = 0.5 }, "train.optimizer" = ["Adam", "SGD"] }',
        "",
        "[export]",
        'directory = "saved_models"  # below the folder where the command runs',
    ]
    return "\n".join(lines) + "\n"


def _split_lines(look: _Look) -> list[str]:
    if look.schema.split:
        return [f'[split]  # published with the data\nname = "Given"\ncolumn = {_toml(look.schema.split)}']
    return [
        "[split]  # every class in the same shares on each side",
        'name = "Stratified"',
        "train = 0.7",
        "validation = 0.15",
        "test = 0.15",
    ]


def _batch_size(look: _Look) -> int:
    if look.image_size or look.num_rows < 2_000:
        return 32 if look.num_rows < 5_000 else 128
    return 128 if look.num_rows < 30_000 else 256


def _augment(look: _Look) -> str:
    """Photos may be mirrored and cut; what is grey and small is likely writing or drawing, which may not."""
    shift = '{ name = "Shift", fraction = 0.1 }'
    return f'["Flip", {{ name = "Crop", fraction = 0.2 }}, {shift}]' if look.colour else f"[{shift}]"


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
