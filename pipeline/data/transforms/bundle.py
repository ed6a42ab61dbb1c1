"""All that was learnt from train, in one object: raw rows in, the model's batch out; and the same for serving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.data.kinds import Kind
from pipeline.data.rows import labels_of
from pipeline.data.transforms.image_spec import image_moments, image_shape
from pipeline.data.transforms.plain import from_plain, to_plain
from pipeline.data.transforms.resize_image import FittedResizeImage
from pipeline.data.transforms.target import FittedClassIndex, ScaledTarget
from pipeline.data.transforms.transform import Fitted
from pipeline.spec import Spec, Task

Target = FittedClassIndex | ScaledTarget
# The parts of a batch, in their order.
_PARTS = ("numeric", "categorical", "bags", "image")


@dataclass(frozen=True)
class Transforms:
    """A fitted transform a feature, and that of the label.

    Attributes:
      features: (name, transform), in the order of the schema.
      label: the label's name.
      target: the label's transform.
      kinds: of the features, in the same order; who exports must know them.
    """

    features: tuple[tuple[str, Fitted], ...]
    label: str
    target: Target
    kinds: tuple[Kind, ...] = ()

    def encode(self, batch: pa.RecordBatch, *, decode_images: bool = True) -> dict[str, np.ndarray]:
        """The features of a batch of stored rows, as the model takes them (see `pipeline.spec.Spec`).

        Args:
          batch: stored rows.
          decode_images: False leaves images as they are: bytes (object) [rows, images of a row].
        """
        parts = {
            part: [_encoded(transform, batch, name, decode_images) for name, transform in self._of(part)]
            for part in _PARTS
        }
        return {part: self._join(part, columns, np) for part, columns in parts.items() if columns}

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
                parts: dict[str, list[tf.Tensor]] = {part: [] for part in _PARTS}
                for place, (name, fitted) in enumerate(self.features):
                    parts[fitted.part].append(_.layers[f"layer_{place}"](columns[name]))
                return {part: self._join(part, encoded, _TensorFlow) for part, encoded in parts.items() if encoded}

        return Serving()

    def signature(self) -> dict[str, str]:
        """The dtype of each raw column when serving: float32, float64 or string."""
        return {name: fitted.dtype for name, fitted in self.features}

    def spec(self, task: Task, num_train: int, edges: Mapping[str, Sequence[tuple[float, ...]]]) -> Spec:
        """What a model must know of the batches that `encode` makes.

        Args:
          task: binary, multiclass or regression.
          num_train: rows of train.
          edges: quantile edges of the leading columns of a `numeric` feature, by its name; of those that are not
            there, none.
        """
        images = dict(self._of("image"))
        image_mean, image_scale = image_moments(list(images.values()))
        return Spec(
            task,
            num_classes=len(self.target.names) if isinstance(self.target, FittedClassIndex) else 1,
            num_numeric=sum(fitted.width for _, fitted in self._of("numeric")),
            edges=tuple(one for name, fitted in self._of("numeric") for one in edges.get(name, ((),) * fitted.lead)),
            vocabulary_sizes=tuple(fitted.size for _, fitted in self._of("categorical")),
            image_shape=image_shape(images),
            num_train=num_train,
            bags=tuple(fitted.bag for _, fitted in self._of("bags")),
            image_mean=image_mean,
            image_scale=image_scale,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` is the inverse."""
        return {
            "features": [[name, *to_plain(fitted)] for name, fitted in self.features],
            "label": self.label,
            "target": to_plain(self.target),
            "kinds": list(self.kinds),
        }

    @staticmethod
    def from_json(value: dict[str, Any]) -> Transforms:
        """The inverse of `to_json`."""
        features = tuple((name, from_plain(kind, state)) for name, kind, state in value["features"])
        return Transforms(features, value["label"], from_plain(*value["target"]), tuple(value["kinds"]))

    def _of(self, part: str) -> list[tuple[str, Any]]:
        return [(name, fitted) for name, fitted in self.features if fitted.part == part]

    def _join(self, part: str, columns: list[Any], library: Any) -> Any:
        """Side by side, images by their channels; of numbers all values first, since a model embeds those."""
        if part == "numeric":
            leads = [fitted.lead for _, fitted in self._of(part)]
            parted = [(column[:, :lead], column[:, lead:]) for column, lead in zip(columns, leads, strict=True)]
            columns = [half for halves in zip(*parted, strict=True) for half in halves if half.shape[1]]
        return library.concatenate(columns, axis=-1)


def _encoded(transform: Any, batch: pa.RecordBatch, name: str, decode_images: bool) -> np.ndarray:
    if isinstance(transform, FittedResizeImage):
        return transform.of_batch(batch, name) if decode_images else transform.encoded(batch.column(name))
    encoded: np.ndarray = transform(batch.column(name))
    return encoded


class _TensorFlow:
    """`numpy.concatenate` by TensorFlow's hand, so that one function joins columns in both worlds."""

    @staticmethod
    def concatenate(columns: list[Any], axis: int) -> Any:
        import tensorflow as tf

        return tf.concat(columns, axis)
