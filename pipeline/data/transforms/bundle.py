"""All that was learnt from train, in one object: raw rows in, the model's batch out; and the same for serving."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.data.transforms.resize_image import ResizeImage
from pipeline.data.transforms.standardize import Standardized
from pipeline.data.transforms.target import FittedClassIndex, ScaledTarget
from pipeline.data.transforms.vocabulary import FittedVocabulary

Fitted = Standardized | FittedVocabulary | ResizeImage
Target = FittedClassIndex | ScaledTarget

_FITTED: dict[str, Any] = {
    kind.__name__: kind for kind in (Standardized, FittedVocabulary, ResizeImage, FittedClassIndex, ScaledTarget)
}


@dataclass(frozen=True)
class Transforms:
    """A fitted transform a feature, and that of the label.

    Attributes:
      features: (name, transform), in the order of the schema.
      label: the label's name.
      target: the label's transform.
    """

    features: tuple[tuple[str, Fitted], ...]
    label: str
    target: Target

    def encode(self, batch: pa.RecordBatch) -> dict[str, np.ndarray]:
        """The features of a batch of stored rows, as the model takes them (see `pipeline.spec.Spec`)."""
        parts = {
            "numeric": [(name, _floats(batch.column(name))) for name, _ in self._of(Standardized)],
            "categorical": [(name, batch.column(name)) for name, _ in self._of(FittedVocabulary)],
            "image": [(name, batch.column(name).to_pylist()) for name, _ in self._of(ResizeImage)],
        }
        fitted = dict(self.features)
        encoded = {part: [fitted[name](values) for name, values in columns] for part, columns in parts.items()}
        return {part: _JOIN[part](columns, np) for part, columns in encoded.items() if columns}

    def encode_label(self, batch: pa.RecordBatch) -> np.ndarray:
        """The label of a batch of stored rows, as the model is trained on it."""
        return self.target(labels_of(batch.column(self.label)))

    def serving(self) -> Any:
        """A `tf.Module`: a dict of raw columns by name -> the model's batch. Equal to `encode`, bit for bit."""
        import tensorflow as tf

        class Serving(tf.Module):
            """Holds the layers, so that a SavedModel takes their tables along."""

            def __init__(_) -> None:
                super().__init__()
                _.layers = {f"layer_{place}": fitted.layer() for place, (_name, fitted) in enumerate(self.features)}

            def __call__(_, columns: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
                parts: dict[str, list[tf.Tensor]] = {"numeric": [], "categorical": [], "image": []}
                for place, (name, fitted) in enumerate(self.features):
                    parts[_PART[type(fitted)]].append(_.layers[f"layer_{place}"](columns[name]))
                return {part: _JOIN[part](encoded, _TensorFlow) for part, encoded in parts.items() if encoded}

        return Serving()

    def signature(self) -> dict[str, str]:
        """The dtype of each raw column when serving: float32, float64 or string."""
        return {name: fitted.dtype if isinstance(fitted, Standardized) else "string" for name, fitted in self.features}

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` is the inverse."""
        return {
            "features": [[name, type(fitted).__name__, asdict(fitted)] for name, fitted in self.features],
            "label": self.label,
            "target": [type(self.target).__name__, asdict(self.target)],
        }

    @staticmethod
    def from_json(value: dict[str, Any]) -> Transforms:
        """The inverse of `to_json`."""
        features = tuple((name, _restore(kind, state)) for name, kind, state in value["features"])
        return Transforms(features, value["label"], _restore(*value["target"]))

    def _of(self, kind: type) -> Iterable[tuple[str, Any]]:
        return ((name, fitted) for name, fitted in self.features if isinstance(fitted, kind))


def labels_of(column: pa.Array) -> np.ndarray:
    """A stored label column as float64 with NaN, or as text (object) with None. [rows]"""
    return _floats(column) if pa.types.is_floating(column.type) else np.asarray(column.to_pylist(), object)


class _TensorFlow:
    """`numpy.concatenate` by TensorFlow's hand, so that one function joins columns in both worlds."""

    @staticmethod
    def concatenate(columns: list[Any], axis: int) -> Any:
        import tensorflow as tf

        return tf.concat(columns, axis)


def _join_numeric(columns: list[Any], library: Any) -> Any:
    """All standardized values first, then the indicators: a model embeds the former by their quantiles."""
    indicators = [column[:, 1:] for column in columns if column.shape[1] == 2]
    return library.concatenate([column[:, :1] for column in columns] + indicators, axis=1)


def _join_categorical(columns: list[Any], library: Any) -> Any:
    return library.concatenate(columns, axis=1)


def _join_image(columns: list[Any], library: Any) -> Any:
    return columns[0]


_JOIN = {"numeric": _join_numeric, "categorical": _join_categorical, "image": _join_image}
_PART: dict[type, str] = {Standardized: "numeric", FittedVocabulary: "categorical", ResizeImage: "image"}


def _floats(column: pa.Array) -> np.ndarray:
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)


def _restore(kind: str, state: dict[str, Any]) -> Any:
    values = {key: tuple(item) if isinstance(item, list) else item for key, item in state.items()}
    return _FITTED[kind](**values)
