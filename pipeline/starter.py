"""`pipeline init`: a look at the data; a commented config that a laptop finishes in five minutes, and a schema."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.components import kind_of_path, source_of
from pipeline.config import parse
from pipeline.data.convert import convert
from pipeline.data.images import look as look_at
from pipeline.data.infer import Wanted, infer_schema, kind_of, recognize_split_column
from pipeline.data.kinds import KINDS
from pipeline.data.observe import observe
from pipeline.data.rows import labels_of
from pipeline.data.sample import read_sample
from pipeline.data.schema import Feature, Schema
from pipeline.data.schema_file import Column, schema_text, toml_comment, toml_value
from pipeline.data.sources.source import Source, folder_of
from pipeline.data.split.strata import MAX_CLASSES
from pipeline.data.transforms.target import looks_like_classes
from pipeline.errors import ConfigError, DataError, RunError
from pipeline.sniff import sniff

_LABEL_NAMES = (
    "label", "target", "class", "category", "y", "outcome", "income", "species", "diagnosis", "price", "survived"
)  # fmt: skip
# Seconds a row and epoch cost on two cores, measured on adult (tables, width 256) and on flowers and digits
# (images, the default convnet): the budget below is made of them.
_TABLE_ROW_SECONDS = 25e-6
_IMAGE_SECONDS, _PIXEL_SECONDS = 150e-6, 0.6e-6
_TUNE_SECONDS, _TRAIN_SECONDS = 130.0, 90.0
# At most; fewer where two epochs of so many would take longer than the search may.
_TRIALS, _LEAST_EPOCHS = 10, 2
_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Written:
    """The config that was written, and what was found in the data."""

    path: Path
    findings: list[str]


@dataclass(frozen=True)
class _Look:
    """What a sample tells."""

    source: Source
    name: str
    arguments: dict[str, Any]
    schema: Schema
    columns: Mapping[str, Column]
    label: str
    num_rows: int
    num_bad: int
    task: str
    identifiers: list[str]
    image_size: tuple[int, int] | None
    colour: bool


def write_config(path: Path, *, label: str | None = None, output: Path | None = None, force: bool = False) -> Written:
    """Looks at the data and writes a config, and beside it the schema that it found.

    Args:
      path: a file of rows, a folder of such files, or a folder of images or texts.
      label: the column to predict; None: a column named like one, else the last.
      output: where to write; None: `configs/<name>.toml` below the current folder.
      force: whether existing files may be overwritten.

    Raises:
      DataError: the data cannot be read, or the label does not exist.
      ConfigError: the config exists already.
      RunError: it cannot be written.
    """
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", path.resolve().stem).lstrip("_.-") or "experiment"
    target = output or Path("configs") / f"{name}.toml"
    if not target.name:
        raise ConfigError(f'"--output" is {target}, a folder.', expected="a file, such as configs/rows.toml")
    schema_file = target.with_suffix(".schema.toml")
    for file in (target, schema_file):
        if file.exists() and not force:
            raise ConfigError(
                f"{file} exists already.", fix="Give another file with --output, or --force to overwrite it."
            )
    if not path.exists() and not any(sign in str(path) for sign in "*?["):
        raise DataError(f"{path} does not exist.", expected="a file of rows, or a folder of files, images or texts")
    look = _look(path, label)
    about = (
        f"What `pipeline init` found in {path.name}: {look.num_rows - look.num_bad} rows. Review it: every run checks "
        "the data against it.\nRemove what need not hold (a max that may grow, values that may be added); kinds: "
        f"{', '.join(KINDS)}."
    )
    text = _text(look, os.path.relpath(path.absolute(), target.parent.absolute()), schema_file.name)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _write_whole({target: text, schema_file: schema_text(look.columns, about)})
    except OSError as error:
        raise RunError(
            f"{target} cannot be written: {error.strerror}.", fix="Choose another file with --output."
        ) from error
    return Written(target, [*_findings(look), f"wrote {schema_file}, the schema to review"])


def _write_whole(texts: Mapping[Path, str]) -> None:
    """All of them or, where the disk is full, none."""
    temporary = {target: target.with_name(f"{target.name}.{os.getpid()}.tmp") for target in texts}
    try:
        for target, text in texts.items():
            temporary[target].write_text(text, encoding="utf-8")
        for target in texts:
            os.replace(temporary[target], target)
    finally:
        for file in temporary.values():
            file.unlink(missing_ok=True)


def _look(path: Path, label: str | None) -> _Look:
    absolute = str(path.absolute())
    # A text file of any other ending may be rows, too; reading it tells.
    name = kind_of_path(absolute, default="Csv")
    arguments = sniff(path) if name == "Csv" and path.is_file() and not path.name.lower().endswith(".gz") else {}
    tree = {"name": "init", "source": {"name": name, "path": absolute, **arguments}, "label": label}
    source = source_of(parse(tree, origin="init"))
    sample = read_sample(source)
    folder = folder_of(source)
    label = label or source.label or _guess_label(sample, folder)
    schema = infer_schema(sample, Wanted(label, kinds=source.kinds), folder)
    num_rows, num_bad, columns = observe(source, schema, folder)
    is_number = schema.label.kind == "numeric"
    values = _label_values(sample[label], is_number)
    classes = looks_like_classes(values, MAX_CLASSES)
    task = "regression" if not classes else "binary" if len(set(values.tolist())) <= 2 else "multiclass"
    image_size, colour = _images(sample, schema, folder)
    identifiers = _identifiers(sample, schema)
    return _Look(
        source, name, arguments, schema, columns, label, num_rows, num_bad, task, identifiers, image_size, colour
    )


def _images(sample: pa.Table, schema: Schema, folder: Path | None) -> tuple[tuple[int, int] | None, bool]:
    """The size that images shall have, and whether any is coloured; (None, False) without images."""
    sizes = []
    for name in schema.of_kind("image"):
        for image in sample[name].drop_null()[:64].to_pylist():
            found = image["bytes"] if isinstance(image, dict) else image
            try:
                looked = look_at(str((folder or Path()) / found) if isinstance(found, str) else found)
            except DataError:
                continue  # it will be set aside
            sizes.append((looked.height, looked.width, looked.channels))
    if not sizes:
        return None, False
    same = len({size[:2] for size in sizes}) == 1 and max(sizes[0][:2]) <= 64
    return (sizes[0][:2] if same else (64, 64)), any(size[2] == 3 for size in sizes)


def _label_values(column: pa.ChunkedArray, is_number: bool) -> np.ndarray:
    """The labels that are there: float64, or text."""
    label = Feature("label", "numeric" if is_number else "categorical")
    typed, _ = convert(pa.RecordBatch.from_pydict({label.name: column.combine_chunks()}), Schema((), label))
    return labels_of(typed.column(label.name).drop_null())


def _guess_label(sample: pa.Table, folder: Path | None) -> str:
    """A column named like a label; else the last one that is a number or a category."""
    split = recognize_split_column(sample, None)
    names = [name for name in sample.column_names if name != split and name.strip()]
    by_lower = {name.lower(): name for name in reversed(names)}
    named = next((by_lower[known] for known in _LABEL_NAMES if known in by_lower), None)
    if named is not None:
        return named
    fitting = (name for name in reversed(names) if kind_of(sample[name], name, folder) in ("numeric", "categorical"))
    return next(fitting, names[-1])


def _identifiers(sample: pa.Table, schema: Schema) -> list[str]:
    """Columns that only number the rows: text or whole numbers, another value in (almost) every row."""
    found = []
    for feature in schema.features:
        values = sample[feature.name].drop_null()
        if feature.kind not in ("numeric", "categorical") or len(values) < 50 or pa.types.is_floating(values.type):
            continue
        distinct = len(pc.unique(values))
        named_like_one = re.search(r"(^|[_\s-])(id|uuid|guid|key|index|rownum)$", feature.name, re.IGNORECASE)
        if (feature.kind == "categorical" and distinct > 0.95 * len(values)) or (
            named_like_one and distinct == len(values)
        ):
            found.append(feature.name)
    return found if len(found) < len(schema.features) else []


def _budget(look: _Look) -> tuple[int, int, int]:
    """Trials, epochs of a trial, and of the final training."""
    if look.image_size:
        row_seconds = _IMAGE_SECONDS + _PIXEL_SECONDS * look.image_size[0] * look.image_size[1]
    else:
        row_seconds = _TABLE_ROW_SECONDS
    epoch_seconds = max(row_seconds * look.num_rows * 0.7, 0.02)
    trials = int(np.clip(_TUNE_SECONDS / (_LEAST_EPOCHS * epoch_seconds), 1, _TRIALS))
    tune = int(np.clip(_TUNE_SECONDS / (trials * epoch_seconds), _LEAST_EPOCHS, 20))
    train = int(np.clip(_TRAIN_SECONDS / epoch_seconds, 4, 100))
    return trials, tune, train


def _findings(look: _Look) -> list[str]:
    kinds = [feature.kind for feature in look.schema.features if feature.name not in look.identifiers]
    counted = ", ".join(f"{kinds.count(kind)} {kind}" for kind in KINDS if kind in kinds)
    lines = [f"{look.num_rows} rows; features: {counted}; label: {look.label} ({look.task})"]
    if look.schema.split:
        lines.append(f'the column "{look.schema.split}" holds a published split, which is used')
    lines += [f'the column "{name}" has another value in almost every row: left out' for name in look.identifiers]
    if look.num_bad:
        lines.append(f"{look.num_bad} rows hold a value that is not of its column's kind: runs set them aside")
    return lines


def _text(look: _Look, path: str, schema_file: str) -> str:
    import jinja2

    trials, tune_epochs, train_epochs = _budget(look)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - it is TOML
    )  # fmt: skip
    environment.filters["toml"] = toml_value
    environment.filters["comment"] = toml_comment
    image = look.image_size is not None
    # Long texts and images already have many inputs: one hidden layer less.
    texts_only = {feature.kind for feature in look.schema.features} == {"text"}
    return environment.get_template("config.toml.j2").render(
        findings=_findings(look),
        source=_source_lines(look, path),
        label=look.label,
        task=look.task,
        schema_file=schema_file,
        drop=look.identifiers,
        split_column=look.schema.split,
        image_size=list(look.image_size) if look.image_size else None,
        image=image,
        depth=1 if texts_only else 2,
        learning_rate=0.003 if image else 0.001,
        batch_size=_batch_size(look),
        train_epochs=train_epochs,
        tune_epochs=tune_epochs,
        augment=_augment(look),
        trials=trials,
    )


def _source_lines(look: _Look, path: str) -> list[str]:
    arguments = {"name": look.name, "path": path, **look.arguments}
    written = ", ".join(f"{key} = {toml_value(value)}" for key, value in arguments.items())
    return [f"source = {{ {written} }}  # the path is relative to this file"]


def _batch_size(look: _Look) -> int:
    if look.image_size or look.num_rows < 2_000:
        return 32 if look.num_rows < 5_000 else 128
    return 128 if look.num_rows < 30_000 else 256


def _augment(look: _Look) -> str:
    """Photos may be mirrored and cut; what is grey and small is likely writing or drawing, which may not."""
    shift = '{ name = "Shift", fraction = 0.1 }'
    return f'["Flip", {{ name = "Crop", fraction = 0.2 }}, {shift}]' if look.colour else f"[{shift}]"
