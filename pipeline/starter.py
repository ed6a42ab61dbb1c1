"""`pipeline init`: a look at the data; a commented config that a laptop finishes in five minutes, and a schema."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.components import default_model, kind_of_path, source_of
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
from pipeline.processor import has_fast_bfloat16
from pipeline.recipes import recipe
from pipeline.sniff import sniff
from pipeline.spec import Bag, Spec, Task

_LABEL_NAMES = (
    "label", "target", "class", "category", "y", "outcome", "income", "species", "diagnosis", "price", "survived"
)  # fmt: skip
# What the two searches for a good model may take on two cores: hyperparameters, and the final training.
_TUNE_SECONDS, _TRAIN_SECONDS = 130.0, 90.0
# At most; fewer where two epochs of so many would take longer than the search may.
_TRIALS, _LEAST_EPOCHS, _MOST_EPOCHS = 10, 2, 20
# Models size themselves so that so many epochs fit into the budget (see `models.table_sizes`, `models.image_sizes`);
# but an epoch of the largest one of few rows costs less, and one of the smallest of many rows more: seconds a row.
_EPOCHS_IN_BUDGET = {"tabm": 30, "convnet": 14, "text_bag": 15}
_ROW_SECONDS = {"tabm": (40e-6, 200e-6), "convnet": (100e-6, 5e-3), "text_bag": (50e-6, 300e-6)}
_TRAIN_SHARE = 0.7
_DROPOUT = {"tabm": 0.1, "convnet": 0.1}
_ABOUT_MODELS = {
    "tabm": 'an ensemble in one network; plain: "mlp"',
    "convnet": 'a residual network; or "backbone"',
    "text_bag": 'sums of n-grams; or "text_conv", "mlp"',
}
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


def _trials(look: _Look, model: str) -> tuple[int, int]:
    """Trials, and epochs of a trial, that fit into the time of the search."""
    low, high = (seconds * look.num_rows * _TRAIN_SHARE for seconds in _ROW_SECONDS[model])
    epoch_seconds = max(float(np.clip(_TRAIN_SECONDS / _EPOCHS_IN_BUDGET[model], low, high)), 0.02)
    trials = int(np.clip(_TUNE_SECONDS / (_LEAST_EPOCHS * epoch_seconds), 1, _TRIALS))
    return trials, int(np.clip(_TUNE_SECONDS / (trials * epoch_seconds), _LEAST_EPOCHS, _MOST_EPOCHS))


def _spec(look: _Look) -> Spec:
    """What a sample tells of what models will be told."""
    kinds = {feature.kind for feature in look.schema.features if feature.name not in look.identifiers}
    size = look.image_size
    return Spec(
        cast("Task", look.task),
        {"regression": 1, "binary": 2}.get(look.task, 3),
        num_numeric=int(bool(kinds & {"numeric", "datetime"})),
        vocabulary_sizes=(2,) if "categorical" in kinds else (),
        image_shape=(*size, 3 if look.colour else 1) if size else None,
        bags=(Bag(2, 1),) if kinds & {"text", "tags"} else (),
        num_train=round(_TRAIN_SHARE * look.num_rows),
    )


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

    spec = _spec(look)
    model = default_model(spec)
    trials, tune_epochs = _trials(look, model)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - it is TOML
    )  # fmt: skip
    environment.filters["toml"] = toml_value
    environment.filters["comment"] = toml_comment
    return environment.get_template("config.toml.j2").render(
        findings=_findings(look),
        source=_source_lines(look, path),
        label=look.label,
        task=look.task,
        schema_file=schema_file,
        drop=look.identifiers,
        split_column=look.schema.split,
        image_size=list(look.image_size) if look.image_size else None,
        model=model,
        about_model=_ABOUT_MODELS[model],
        dropout=_DROPOUT.get(model),
        image=spec.image_shape is not None,
        recipe=recipe(model, spec),
        budget=f"{_TRAIN_SECONDS:.0f}s",
        precision="bfloat16" if spec.image_shape and has_fast_bfloat16() else "float32",
        tune_epochs=tune_epochs,
        augment=_augment(look),
        trials=trials,
    )


def _source_lines(look: _Look, path: str) -> list[str]:
    arguments = {"name": look.name, "path": path, **look.arguments}
    written = ", ".join(f"{key} = {toml_value(value)}" for key, value in arguments.items())
    return [f"source = {{ {written} }}  # the path is relative to this file"]


def _augment(look: _Look) -> str:
    """Photos may be mirrored and cut; what is grey and small is likely writing or drawing, which may not."""
    shift = '{ name = "Shift", fraction = 0.1 }'
    return f'["Flip", {{ name = "Crop", fraction = 0.2 }}, {shift}]' if look.colour else f"[{shift}]"
