"""How large the models for tables are."""

from __future__ import annotations

from pipeline.errors import ConfigError
from pipeline.spec import Spec

_MOST_MEMBERS, _LEAST_MEMBERS = 32, 4
# Where nobody said how long a training may take.
_SECONDS = 120.0
# Epochs that should fit: so many did the learning curves of adult and california need.
_EPOCHS = 30
# Floating-point operations a second that a step of the whole network reaches on two cores, forward and backward.
_RATE = 6e10


def members_of(spec: Spec, inputs: int, width: int, depth: int) -> int:
    """Of an ensemble: a power of two, up to 32, of which some epochs fit into the budget.

    Args:
      spec: its rows of train and its budget decide; without rows there are 16.
      inputs: width of an embedded row.
      width, depth: of the hidden layers.

    Example:
      >>> rows = {"num_numeric": 8, "num_train": 13_000}
      >>> [members_of(Spec("regression", 1, budget_seconds=s, **rows), 128, 256, 3) for s in (20, 60, 300)]
      [4, 8, 32]
    """
    if not spec.num_train:
        return 16
    seconds = _SECONDS if spec.budget_seconds is None else spec.budget_seconds
    flops = 6 * (inputs * width + (depth - 1) * width * width + width * spec.num_outputs)
    members = _MOST_MEMBERS
    while members > _LEAST_MEMBERS and _EPOCHS * spec.num_train * members * flops > seconds * _RATE:
        members //= 2
    return members


def check_sizes(**sizes: int | None) -> None:
    """Refuses a size below 1; None is none.

    Raises:
      ConfigError: see above.
    """
    for name, size in sizes.items():
        if size is not None and size < 1:
            raise ConfigError(f'"model.{name}" is {size}.', expected="a whole number of 1 or more")
