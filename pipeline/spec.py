"""What a model must know of the data: shared by the rooms above, known before any batch is read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Task = Literal["binary", "multiclass", "regression"]


@dataclass(frozen=True)
class Bag:
    """A column of `bags`: up to `slots` indices below `size` a row, in any number; 0 pads.

    Attributes:
      size: the number of indices, that of padding included.
      slots: places of a row.
      ordered: whether they come as words come in a text, so that neighbors are neighbors.
    """

    size: int
    slots: int
    ordered: bool = False


@dataclass(frozen=True)
class Spec:
    """The shape of a batch and the task.

    A batch's features are a dict with the keys of those parts that are there:
    `numeric` float32 [rows, num_numeric], the standardized columns, then cyclic ones and missing-value indicators;
    `categorical` int32 [rows, columns], indices into the vocabularies;
    `bags` int32 [rows, slots of all bags], indices side by side, 0 where a row has no more: tags and the words of text;
    `image` uint8 [rows, height, width, channels], the channels of several image columns one after another.
    The label is int32 [rows] (a class index) or float32 [rows] (standardized, for regression).

    Attributes:
      task: binary, multiclass or regression.
      num_classes: 2 for binary, 1 for regression.
      num_numeric: columns of `numeric`.
      edges: per leading column of `numeric` (a scaled value), its increasing quantile edges on train; shorter than
        `num_numeric` by what follows (cyclic and one-hot columns, indicators), which has none.
      vocabulary_sizes: per column of `categorical`, its number of indices.
      image_shape: (height, width, channels), or None.
      bags: sizes of the columns of `bags`, in their order.
      image_mean, image_scale: what the model's first layer subtracts from each channel of `image`, and then divides
        by; empty: 127.5 each, so that pixels come between -1 and 1.
      num_train: rows of train, by which a model may size itself.
      budget_seconds: that its training may take, by which a model may size itself, too; None: nobody said.
    """

    task: Task
    num_classes: int
    num_numeric: int = 0
    edges: tuple[tuple[float, ...], ...] = ()
    vocabulary_sizes: tuple[int, ...] = ()
    image_shape: tuple[int, int, int] | None = None
    num_train: int = 0
    bags: tuple[Bag, ...] = ()
    image_mean: tuple[float, ...] = ()
    image_scale: tuple[float, ...] = ()
    budget_seconds: float | None = None

    @property
    def num_outputs(self) -> int:
        """Units of the last layer: one logit for binary, one value for regression, else a logit a class."""
        return self.num_classes if self.task == "multiclass" else 1

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` is the inverse."""
        return asdict(self)

    @staticmethod
    def from_json(value: dict[str, Any]) -> Spec:
        """The inverse of `to_json`.

        >>> spec = Spec("binary", 2, num_numeric=1, edges=((0.0, 1.0),), bags=(Bag(size=4096, slots=39),))
        >>> Spec.from_json(spec.to_json()) == spec
        True
        """
        shape = value["image_shape"]
        return Spec(
            **{
                **value,
                "edges": tuple(tuple(edges) for edges in value["edges"]),
                "vocabulary_sizes": tuple(value["vocabulary_sizes"]),
                "bags": tuple(Bag(**bag) for bag in value.get("bags", ())),
                "image_mean": tuple(value.get("image_mean", ())),
                "image_scale": tuple(value.get("image_scale", ())),
                "image_shape": None if shape is None else (shape[0], shape[1], shape[2]),
            }
        )
