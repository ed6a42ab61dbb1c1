"""What a transform is: configured, then fitted on what a learner saw of train.

What is configured is apart from what is learnt, so a transform that was not fitted cannot be applied.
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from pipeline.data.kinds import Kind


class Learner(Protocol):
    """Sees the train rows of one column, batch by batch, in their order."""

    def add(self, column: pa.Array, /) -> None:
        """Takes rows of train, as `ingest` stored them: see `pipeline.data.schema`.

        A column of images comes as a struct: see `pipeline.data.rows.image_column`.
        """


@runtime_checkable
class SampleLearner(Protocol):
    """A learner that also wants evenly spread rows, such as quantiles are taken from."""

    def add_sample(self, column: pa.Array, /) -> None:
        """Takes some of the rows that `add` was given last; over all of train at most 200,000."""


class Fitted(Protocol):
    """What every fitted transform of a feature is: a frozen dataclass of plain values."""

    @property
    def part(self) -> str:
        """The part of the batch that its columns go to: numeric, categorical, bags or image.

        By it, it has one more property: `width` (columns of numeric) and `lead`, `size` (indices of categorical), `bag`
        (a `pipeline.spec.Bag`) or `shape` (of an image). `lead`: how many of the first columns of numeric are values
        that a model embeds by their quantiles: scaled numbers and times are, indicators and one-hot columns are not.
        """

    @property
    def dtype(self) -> str:
        """Of the raw column when serving: float32, float64 or string."""

    def __call__(self, column: pa.Array, /) -> np.ndarray:
        """Encodes a stored column [rows]."""

    def layer(self) -> Any:
        """A `tf.Module` that encodes the raw column: `dtype` [rows] -> the same as above, bit for bit."""


class Transform(Protocol):
    """What every configured transform is: a frozen dataclass of its arguments."""

    kinds: ClassVar[tuple[Kind, ...]]
    """The kinds of columns that it takes."""

    def learner(self) -> Any:
        """What must see train before `fit`: a `Learner`, perhaps a `SampleLearner`, too."""

    def fit(self, learner: Any, /) -> Fitted:
        """From a learner of its own, which saw the train rows."""


class LearnsNothing:
    """The learner of a transform that is the same whatever train holds."""

    def add(self, column: pa.Array, /) -> None:
        """Takes rows, and keeps nothing of them."""


def fit_on(transform: Transform, column: pa.Array) -> Any:
    """A transform fitted on one column, all of whose rows are train.

    Example:
      >>> from pipeline.data.transforms import Vocabulary
      >>> fit_on(Vocabulary(min_count=1), pa.array(["b", "a", "b"])).tokens
      ('b', 'a')
    """
    learner = transform.learner()
    learner.add(column)
    if isinstance(learner, SampleLearner):
        learner.add_sample(column)
    return transform.fit(learner)
