"""What the models for text agree on: which data they take, and how large they are by default."""

from __future__ import annotations

import keras

from pipeline.errors import ConfigError
from pipeline.models.regularization import Penalty, kernel
from pipeline.spec import Spec

# 128 for 77 classes: 64 was a little worse on validation, 256 no better.
_NARROWEST, _WIDEST = 16, 128
# Of a training step, for each vector that it reads: floats of vectors per second on two cores, optimizer included.
_FLOATS_PER_SECOND = 3e7
# So many epochs should fit into a budget; a text fills about so much of its slots.
_EPOCHS, _FILLED = 10, 0.3


def bag_width(spec: Spec) -> int:
    """Of the vectors of n-grams: a power of two near twice the outputs, halved until ten epochs fit into the budget.

    >>> bag_width(Spec("binary", 2)), bag_width(Spec("multiclass", 77))
    (16, 128)
    """
    width = _NARROWEST
    while width < min(2 * spec.num_outputs, _WIDEST):
        width *= 2
    vectors = _EPOCHS * spec.num_train * _FILLED * sum(bag.slots for bag in spec.bags)
    while spec.budget_seconds and width > _NARROWEST and vectors * width > spec.budget_seconds * _FLOATS_PER_SECOND:
        width //= 2
    return width


def embedding_penalty(l1: Penalty, l2: Penalty) -> keras.regularizers.Regularizer | None:
    """That on vectors: only a table that names it has one, since few texts ever touch most of the vectors.

    >>> embedding_penalty(0.5, 0.5) is None, embedding_penalty(0.0, {"embedding": 1e-4}) is None
    (True, False)
    """
    found = [penalty if isinstance(penalty, dict) else 0.0 for penalty in (l1, l2)]
    return kernel(found[0], found[1], "embedding")


def check_text(spec: Spec, name: str) -> None:
    """Refuses data without a bag.

    Raises:
      ConfigError: there is none.
    """
    if not spec.bags:
        raise ConfigError(
            f'"model.name" is {name}, but the data hold neither text nor tags.', fix='Use model.name = "mlp".'
        )


def check_sizes(*, word_dropout: float = 0.0, **sizes: int | None) -> None:
    """Refuses what is out of range; `depth` may be 0, all other sizes must be at least 1, None is none.

    Raises:
      ConfigError: something is.
    """
    if not 0 <= word_dropout < 1:
        raise ConfigError(f'"model.word_dropout" is {word_dropout}.', expected="0 or more and below 1")
    for name, size in sizes.items():
        least = 0 if name == "depth" else 1
        if size is not None and size < least:
            raise ConfigError(f'"model.{name}" is {size}.', expected=f"a whole number of {least} or more")
