"""All that was learnt from train, in one object: raw rows in, the model's batch out; and the same for serving."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol, cast

import numpy as np
import pyarrow as pa

from pipeline.data.rows import labels_of
from pipeline.data.transforms.date_time_parts import FittedDateTimeParts
from pipeline.data.transforms.hashed_text import FittedHashedText
from pipeline.data.transforms.resize_image import ResizeImage
from pipeline.data.transforms.standardize import Standardized
from pipeline.data.transforms.tags import FittedTags
from pipeline.data.transforms.target import FittedClassIndex, ScaledTarget
from pipeline.data.transforms.vocabulary import FittedVocabulary
from pipeline.spec import Spec, Task

Target = FittedClassIndex | ScaledTarget

_FEATURES = (Standardized, FittedVocabulary, FittedDateTimeParts, FittedTags, FittedHashedText, ResizeImage)
_FITTED: dict[str, Any] = {kind.__name__: kind for kind in (*_FEATURES, FittedClassIndex, ScaledTarget)}


class Fitted(Protocol):
    """What every fitted transform of a feature is."""

    @property
    def part(self) -> str:
        """The part of the batch that its columns go to: numeric, categorical, bags or image."""

    @property
    def dtype(self) -> str:
        """Of the raw column when serving: float32, float64 or string."""

    def __call__(self, column: pa.Array) -> np.ndarray:
        """Encodes a stored column [rows]."""

    def layer(self) -> Any:
        """A `tf.Module` that encodes the raw column: `dtype` [rows] -> the same as above, bit for bit."""


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
        parts = {part: [_encoded(transform, batch, name) for name, transform in self._of(part)] for part in _JOIN}
        return {part: _JOIN[part](columns, np) for part, columns in parts.items() if columns}

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
                parts: dict[str, list[tf.Tensor]] = {part: [] for part in _JOIN}
                for place, (name, fitted) in enumerate(self.features):
                    parts[fitted.part].append(_.layers[f"layer_{place}"](columns[name]))
                return {part: _JOIN[part](encoded, _TensorFlow) for part, encoded in parts.items() if encoded}

        return Serving()

    def signature(self) -> dict[str, str]:
        """The dtype of each raw column when serving: float32, float64 or string."""
        return {name: fitted.dtype for name, fitted in self.features}

    def spec(self, task: Task, num_train: int, edges: Mapping[str, tuple[float, ...]]) -> Spec:
        """What a model must know of the batches that `encode` makes.

        Args:
          task: binary, multiclass or regression.
          num_train: rows of train.
          edges: quantile edges of the first encoded column of every `numeric` feature, by name.
        """
        images = [fitted.shape for _, fitted in self._of("image")]
        return Spec(
            task,
            num_classes=len(self.target.names) if isinstance(self.target, FittedClassIndex) else 1,
            num_numeric=sum(fitted.width for _, fitted in self._of("numeric")),
            edges=tuple(edges[name] for name, _ in self._of("numeric")),
            vocabulary_sizes=tuple(fitted.size for _, fitted in self._of("categorical")),
            image_shape=(*images[0][:2], sum(shape[2] for shape in images)) if images else None,
            num_train=num_train,
            bags=tuple(fitted.bag for _, fitted in self._of("bags")),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` is the inverse."""
        return {
            "features": [[name, type(fitted).__name__, asdict(cast(Any, fitted))] for name, fitted in self.features],
            "label": self.label,
            "target": [type(self.target).__name__, asdict(self.target)],
        }

    @staticmethod
    def from_json(value: dict[str, Any]) -> Transforms:
        """The inverse of `to_json`."""
        features = tuple((name, _restore(kind, state)) for name, kind, state in value["features"])
        return Transforms(features, value["label"], _restore(*value["target"]))

    def _of(self, part: str) -> list[tuple[str, Any]]:
        return [(name, fitted) for name, fitted in self.features if fitted.part == part]


def _encoded(transform: Any, batch: pa.RecordBatch, name: str) -> np.ndarray:
    if isinstance(transform, ResizeImage):
        return transform.of_batch(batch, name)
    encoded: np.ndarray = transform(batch.column(name))
    return encoded


class _TensorFlow:
    """`numpy.concatenate` by TensorFlow's hand, so that one function joins columns in both worlds."""

    @staticmethod
    def concatenate(columns: list[Any], axis: int) -> Any:
        import tensorflow as tf

        return tf.concat(columns, axis)


def _join_numeric(columns: list[Any], library: Any) -> Any:
    """All standardized values first, then what else there is: a model embeds the former by their quantiles."""
    others = [column[:, 1:] for column in columns if column.shape[1] > 1]
    return library.concatenate([column[:, :1] for column in columns] + others, axis=1)


def _join(columns: list[Any], library: Any) -> Any:
    """Side by side; images by their channels."""
    return library.concatenate(columns, axis=-1)


_JOIN = {"numeric": _join_numeric, "categorical": _join, "bags": _join, "image": _join}


def _restore(kind: str, state: dict[str, Any]) -> Any:
    values = {key: tuple(item) if isinstance(item, list) else item for key, item in state.items()}
    return _FITTED[kind](**values)
