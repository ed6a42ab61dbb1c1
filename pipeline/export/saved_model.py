"""The trained model and all that was learnt before it, as one SavedModel that takes raw rows.

Written as a `tf.Module` around `model(x, training=False)`, because `keras.Model.export` serves wrong answers
for models with layers whose default is `training=True`, and gives inputs and outputs invented names.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.data.store import LABEL, SAMPLE_WEIGHT
from pipeline.data.transforms import Transforms
from pipeline.data.transforms.tags import FittedTags
from pipeline.data.transforms.target import FittedClassIndex
from pipeline.errors import ExportError
from pipeline.export.published import ABOUT
from pipeline.export.raw import raw_column
from pipeline.runs import translate_os_errors, write_json
from pipeline.spec import Spec, Task

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


def saved_model(
    model: keras.Model, transforms: Transforms, directory: str | Path, *, about: Mapping[str, Any] | None = None
) -> Path:
    """Writes a trained model as a SavedModel that takes raw rows: whole or not at all.

    What it takes and gives: see `write_saved_model`. TensorFlow Serving wants `directory` to end in a version, a whole
    number; `pipeline.export.predict` and the verb `pipeline predict` take it as it is, or the folder above.

    Args:
      model: features -> logits, as those of `pipeline.models` (for regression: the standardized label).
      transforms: of `pipeline.data.prepare`.
      directory: of the version; it must not exist, or be empty.
      about: what else is kept beside it in `assets.extra/pipeline.json`, e.g. the evaluation.

    Returns:
      The directory.

    Raises:
      ExportError: something is there, or the model's output does not fit the label.
      RunError: the folder cannot be written.

    Example:
      >>> import tempfile
      >>> from pipeline import data, models
      >>> splits = data.prepare(data.sources.ScikitLearn("iris"))
      >>> path = saved_model(models.mlp(splits.spec), splits.transforms, tempfile.mkdtemp() + "/iris/1")
      >>> (path / "saved_model.pb").exists()
      True
    """
    target = Path(directory).absolute()
    spec = _spec_of(model, transforms)
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise ExportError(
            f"{target} exists.",
            expected="a new folder: a published version is never changed",
            fix="Count the version up.",
        )
    temporary = target.parent / f".tmp-{target.name}-{os.getpid()}"
    try:
        with translate_os_errors(target):
            temporary.mkdir(parents=True)
            write_saved_model(model, spec, transforms, temporary, {**about_model(spec, transforms), **(about or {})})
            os.replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def about_model(spec: Spec, transforms: Transforms) -> dict[str, Any]:
    """What whoever finds a SavedModel wants to know of its columns and its label, and `pipeline predict` needs."""
    import keras
    import tensorflow as tf

    from pipeline import __version__

    target = transforms.target
    names = [name for name, _ in transforms.features]
    return {
        "task": spec.task,
        "label": transforms.label,
        "classes": list(target.names) if isinstance(target, FittedClassIndex) else [],
        "kinds": dict(zip(names, transforms.kinds, strict=True)),
        "versions": {"pipeline": __version__, "tensorflow": tf.__version__, "keras": keras.__version__},
    }


def _spec_of(model: keras.Model, transforms: Transforms) -> Spec:
    """The task, by the label and the width of the output."""
    from pipeline.models.outputs import output_shape

    target, shape = transforms.target, output_shape(model, ExportError)
    classes = len(target.names) if isinstance(target, FittedClassIndex) else 1
    tasks: dict[int, Task] = {1: "regression"} if classes == 1 else {classes: "multiclass"}
    if classes == 2:
        tasks[1] = "binary"
    outputs = shape[-1] if shape else None
    if len(shape) not in (2, 3) or outputs is None or outputs not in tasks:
        came = f": {outputs} classes, but the label has {classes}" if len(shape) in (2, 3) and classes > 1 else ""
        raise ExportError(
            f"The model's output has the shape {shape}{came}.",
            expected=f'(None, {min(tasks)}) for the label "{transforms.label}", as logits or the standardized label; '
            f"of an ensemble (None, members, {min(tasks)})",
        )
    return Spec(tasks[outputs], classes)


def write_saved_model(
    model: keras.Model, spec: Spec, transforms: Transforms, directory: Path, about: dict[str, Any]
) -> None:
    """Writes a SavedModel.

    Its signature `serving_default` takes one tensor [rows] a column, named like it with every character that
    an argument cannot have replaced by `_`: numbers as float32 (float64 where float32 would lose what
    distinguishes the values), all else as strings: categories and text as they are, times in ISO 8601 (see
    `parse_iso_time`), tags joined by their column's separator, images as the bytes of a JPEG or PNG. NaN, "" and "?"
    are missing, and so is a time that cannot be read. It gives `probabilities` float32 [rows, classes] and `label`
    [rows], or `prediction` float32 [rows].

    Args:
      model: trained.
      spec: what the model was made for.
      transforms: fitted.
      directory: to write into.
      about: kept beside it in `assets.extra/pipeline.json`; `kinds` gives each column's kind.
        The separator of tags is added.
    """
    import tensorflow as tf

    from pipeline.models.outputs import scores

    about = dict(about)
    names = [name for name, _ in transforms.features]
    arguments = argument_names(names)
    dtypes = transforms.signature()
    signature = {name: tf.TensorSpec([None], dtypes[name], name=arguments[name]) for name in names}

    class Served(tf.Module):
        """What is saved: the tables, the weights and one function."""

        def __init__(self) -> None:
            super().__init__()
            self.preprocess = transforms.serving()
            self.weights = [variable.value for variable in model.variables]

        @tf.function(input_signature=[signature])
        def serve(self, columns: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            found = scores(spec, model(self.preprocess(columns), training=False))
            return _named_outputs(found, transforms)

    module = Served()
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, str(directory), signatures={"serving_default": module.serve}, options=options)
    kinds = about.pop("kinds")
    columns = [
        {
            "name": name,
            "argument": arguments[name],
            "dtype": fitted.dtype,
            "kind": kinds[name],
            **separator_of(fitted),
        }
        for name, fitted in transforms.features
    ]
    (directory / ABOUT).parent.mkdir(exist_ok=True)
    write_json(directory / ABOUT, {**about, "columns": columns})


def expected_outputs(
    model: keras.Model, spec: Spec, transforms: Transforms, prepared: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """What the trained model answers on prepared rows (columns of a store), under the names of the outputs."""
    import tensorflow as tf

    from pipeline.models.outputs import scores

    features = {name: tf.constant(column) for name, column in prepared.items() if name not in (LABEL, SAMPLE_WEIGHT)}
    outputs = _named_outputs(scores(spec, model(features, training=False)), transforms)
    return {name: value.numpy() for name, value in outputs.items()}


def _named_outputs(found: tf.Tensor, transforms: Transforms) -> dict[str, tf.Tensor]:
    import tensorflow as tf

    target = transforms.target
    if not isinstance(target, FittedClassIndex):
        return {"prediction": tf.cast(target.inverse(tf.cast(found, tf.float64)), tf.float32)}
    names = tf.constant([int(name) for name in target.names], tf.int64) if target.integer else tf.constant(target.names)
    return {"probabilities": found, "label": tf.gather(names, tf.argmax(found, axis=1))}


def argument_names(columns: Sequence[str]) -> dict[str, str]:
    """A name for each column that a signature can have as an argument, no two alike.

    TensorFlow replaces other characters by itself, and refuses the model where two names then collide.

    >>> argument_names(["hours-per-week", "a b", "a_b", "1st"])
    {'hours-per-week': 'hours_per_week', 'a b': 'a_b', 'a_b': 'a_b_2', '1st': 'column_1st'}
    """
    found: dict[str, str] = {}
    for column in columns:
        name = re.sub(r"[^A-Za-z0-9_]", "_", column)
        name = name if re.match(r"[A-Za-z]", name) else f"column_{name.lstrip('_')}"
        number, unique = 1, name
        while unique in found.values():
            number += 1
            unique = f"{name}_{number}"
        found[column] = unique
    return found


def raw_columns(batch: Any, transforms: Transforms) -> dict[str, np.ndarray]:
    """Stored rows as a client would send them, see `raw_column`; by column name.

    Args:
      batch: a record batch of stored rows.
      transforms: fitted on such rows.
    """
    return {
        name: raw_column(batch.column(name), fitted.dtype, is_image=fitted.part == "image", **separator_of(fitted))
        for name, fitted in transforms.features
    }


def separator_of(fitted: Any) -> dict[str, str]:
    """`{"separator": ...}` of a column of tags, nothing of another."""
    return {"separator": fitted.separator} if isinstance(fitted, FittedTags) else {}
