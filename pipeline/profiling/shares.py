"""Which step of the feed takes how long: feeds without their last steps, measured side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.data.feed import Feed
from pipeline.data.in_short import described
from pipeline.profiling.rates import feed_alone, in_short_blocks, measure


@dataclass(frozen=True)
class Share:
    """One step of the feed.

    Attributes:
      step: "gather", which is all that is left when nothing is augmented, or an augmentation with its arguments.
      microseconds: a row, on this machine.
      share: of the whole feed's time, 0 to 1.
    """

    step: str
    microseconds: float
    share: float


def shares(feed: Feed, seconds: float) -> list[Share]:
    """The steps in their order.

    Args:
      feed: of the train rows.
      seconds: for each step, about.
    """
    prefixes = {str(count): replace(feed, augment=feed.augment[:count]) for count in range(len(feed.augment) + 1)}
    rates = measure({name: feed_alone(in_short_blocks(one, seconds)) for name, one in prefixes.items()}, seconds)
    reached, parts = 0.0, []
    for name in prefixes:  # a step cannot take less than nothing, whatever the clock says
        until = max(1e6 / rates[name], reached)
        parts.append(until - reached)
        reached = until
    names = ["gather", *(described(operation) for operation in feed.augment)]
    return [Share(name, part, part / reached) for name, part in zip(names, parts, strict=True)]


def with_decoding(found: Sequence[Share], microseconds: float) -> list[Share]:
    """The same with decoding apart from gathering.

    Args:
      found: of a feed that decodes images whenever it gathers them.
      microseconds: that the decoder takes for a row, by all cores.

    >>> [share.step for share in with_decoding([Share("gather", 10.0, 1.0)], 9.0)]
    ['gather', 'decode']
    """
    gather, *rest = found
    decoded = min(microseconds, gather.microseconds)
    part = gather.share * decoded / gather.microseconds
    left = Share("gather", gather.microseconds - decoded, gather.share - part)
    return [left, Share("decode", decoded, part), *rest]
