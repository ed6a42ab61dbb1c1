"""The trained model and all that was learnt before it, as one SavedModel that takes raw rows.

Written as a `tf.Module` around `model(x, training=False)`, because `keras.Model.export` serves wrong answers
for models with layers whose default is `training=True`, and gives inputs and outputs invented names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipeline.data.store import LABEL
from pipeline.data.transforms import Transforms
from pipeline.data.transforms.tags import FittedTags
from pipeline.data.transforms.target import FittedClassIndex
from pipeline.export.published import ABOUT
from pipeline.export.raw import raw_column
from pipeline.models.outputs import scores
from pipeline.runs import write_json
from pipeline.spec import Spec


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
    features = {name: tf.constant(column) for name, column in prepared.items() if name != LABEL}
    outputs = _named_outputs(scores(spec, model(features, training=False)), transforms)
    return {name: value.numpy() for name, value in outputs.items()}


def _named_outputs(found: tf.Tensor, transforms: Transforms) -> dict[str, tf.Tensor]:
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
