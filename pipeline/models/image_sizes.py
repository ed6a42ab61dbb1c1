"""How large a convnet is: stages by the image's size, width and depth by the rows and the time there is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from pipeline.spec import Spec

# Images whose smaller side has so many pixels are first halved by strided convolutions, and again as long as it has: a
# quarter of the work each time, for detail that a network this small does not use.
_LARGE_SIDE = 48
# A further stage, of half the size, follows one whose smaller side has at least so many places.
_SMALLEST_HALVED = 8
# Channels double from stage to stage up to this multiple of the width: beyond it there would be more weights, hardly
# more accuracy.
_MOST_CHANNELS = 4
# By rising cost; the network for data of which nothing is known is the fourth.
_LADDER = ((8, 1), (16, 1), (24, 1), (32, 1), (48, 1), (64, 1), (64, 2), (96, 2), (128, 2))
_UNKNOWN = (32, 1)
# Below so many rows of train no wider network is taken: it would learn them by heart. (rows, width)
_WIDEST = ((1_000, 32), (10_000, 48), (100_000, 64))
# Epochs that should fit: a cosine schedule of fewer ends well below what the network can do.
_EPOCHS = 13
# Where nobody gave a budget.
_BUDGET_SECONDS = 900.0
# What a row costs in float32 on two cores, forward and backward: its operations, and that every activation is read and
# written by BatchNorm, ReLU and their gradients. Fitted to half the processor time of a step (the machine was shared):
# 128 images of 28x28 took 48, 144 and 460 ms at widths 16, 32 and 64, by this rule 48, 146 and 491; 32 images of
# 64x64x3 at width 32 took 58, by the rule 52. In bfloat16, with AMX, it was 70 and 199 ms at widths 32 and 64.
_FLOP_SECONDS, _ACTIVATION_SECONDS = 3.5e-12, 3.2e-9


@dataclass(frozen=True)
class Stage:
    """Blocks at one size of the image.

    Attributes:
      height, width: places of its output.
      channels: of its output.
      halves: whether it begins by halving what it is given.
    """

    height: int
    width: int
    channels: int
    halves: bool


@dataclass(frozen=True)
class Plan:
    """The stem and the stages of a convnet, and what they cost.

    Args:
      image_shape: (height, width, channels) of the images.
      width: channels of the first stage.
      depth: residual blocks of a stage.

    Example:
      >>> [(stage.height, stage.channels) for stage in Plan((28, 28, 1), 32, 1).stages]
      [(28, 32), (14, 64), (7, 128)]
      >>> len(Plan((224, 224, 3), 32, 1).stem), Plan((224, 224, 3), 32, 1).stages[0].height
      (3, 28)
      >>> round(Plan((28, 28, 1), 32, 1).flops / 1e6)  # forward, of an image
      74
    """

    image_shape: tuple[int, int, int]
    width: int
    depth: int

    @cached_property
    def stem(self) -> tuple[Stage, ...]:
        """Single convolutions: one in full size, or those that halve a large image, half as wide but for the last."""
        height, width, _ = self.image_shape
        found: list[Stage] = []
        while min(height, width) >= _LARGE_SIDE:
            height, width = -(-height // 2), -(-width // 2)
            is_last = min(height, width) < _LARGE_SIDE
            found.append(Stage(height, width, self.width if is_last else max(self.width // 2, 1), True))
        return tuple(found) or (Stage(height, width, self.width, False),)

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """Of residual blocks, `depth` each."""
        last = self.stem[-1]
        found = [Stage(last.height, last.width, self.width, False)]
        while min(found[-1].height, found[-1].width) >= _SMALLEST_HALVED:
            height, width = -(-found[-1].height // 2), -(-found[-1].width // 2)
            found.append(Stage(height, width, min(2 * found[-1].channels, _MOST_CHANNELS * self.width), True))
        return tuple(found)

    @property
    def flops(self) -> int:
        """Floating-point operations of the convolutions, forward, for one image: two a multiplication."""
        total, channels = 0, self.image_shape[2]
        for stage in self.stem:
            total += 2 * 9 * stage.height * stage.width * channels * stage.channels
            channels = stage.channels
        for stage in self.stages:
            inner = 9 * stage.channels * (2 * self.depth - 1)
            shortcut = channels if channels != stage.channels else 0
            total += 2 * stage.height * stage.width * stage.channels * (9 * channels + inner + shortcut)
            channels = stage.channels
        return total

    @property
    def activations(self) -> int:
        """Outputs of all convolutions, for one image."""
        stem = sum(stage.height * stage.width * stage.channels for stage in self.stem)
        return stem + sum(2 * self.depth * stage.height * stage.width * stage.channels for stage in self.stages)

    @property
    def row_seconds(self) -> float:
        """What a training step costs for each row, on two cores in float32: a rule, which nothing is measured for."""
        return 3 * self.flops * _FLOP_SECONDS + self.activations * _ACTIVATION_SECONDS


def plan(spec: Spec, width: int | None = None, depth: int | None = None) -> Plan:
    """The largest convnet of which some epochs fit into the budget; a function of `spec` alone.

    Args:
      spec: its image, rows of train and budget decide (without a budget: a quarter of an hour); where the rows are not
        known the size is 32 by 1.
      width, depth: None: chosen, beside the other one.

    Example:
      >>> rows = {"image_shape": (28, 28, 1), "num_train": 60_000}
      >>> sizes = [plan(Spec("multiclass", 10, budget_seconds=60.0 * m, **rows)) for m in (1, 15, 60)]
      >>> [(size.width, size.depth) for size in sizes]
      [(8, 1), (32, 1), (64, 1)]
    """
    shape = spec.image_shape or (1, 1, 1)
    if width is not None and depth is not None:
        return Plan(shape, width, depth)
    if not spec.num_train:
        return Plan(shape, width or _UNKNOWN[0], depth or _UNKNOWN[1])
    seconds = _BUDGET_SECONDS if spec.budget_seconds is None else spec.budget_seconds
    widest = next((most for rows, most in _WIDEST if spec.num_train < rows), _LADDER[-1][0])
    sizes = [Plan(shape, width or wide, depth or deep) for wide, deep in _LADDER if wide <= widest]
    fitting = [size for size in sizes if _EPOCHS * spec.num_train * size.row_seconds <= seconds]
    return fitting[-1] if fitting else sizes[0]
