"""Statistics as JSON; sketches as base64 of their own serialization."""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from pipeline.data.kinds import KINDS
from pipeline.data.statistics.digest import Digest
from pipeline.data.statistics.distinct import Distinct
from pipeline.data.statistics.feature import FeatureStatistics
from pipeline.data.statistics.heavy_hitters import HeavyHitters
from pipeline.data.statistics.moments import Moments
from pipeline.data.statistics.numbers import Numbers
from pipeline.errors import DataError


@contextlib.contextmanager
def parsing(what: str) -> Iterator[None]:
    """Turns whatever a malformed document causes into one sentence.

    Raises:
      DataError: the document is not what `to_json` wrote.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, binascii.Error, RuntimeError) as error:
        raise DataError(
            f"The {what} cannot be read: {type(error).__name__} {error}.",
            expected="what `Statistics.to_json` wrote",
            fix="Make the statistics again.",
        ) from None


def feature_to_json(feature: FeatureStatistics) -> dict[str, Any]:
    """Of one column."""
    return {
        "kind": feature.kind,
        "num_rows": feature.num_rows,
        "num_missing": feature.num_missing,
        "numbers": {name: _numbers_to_json(numbers) for name, numbers in feature.numbers.items()},
        "distinct": _distinct_to_json(feature.distinct) if feature.distinct else None,
        "top": _top_to_json(feature.top) if feature.top else None,
    }


def feature_from_json(name: str, found: Mapping[str, Any]) -> FeatureStatistics:
    """Takes back what `feature_to_json` gave.

    Raises:
      DataError: it is something else.
    """
    with parsing(f'statistics of column "{name}"'):
        if found["kind"] not in KINDS:
            raise ValueError(f'kind "{found["kind"]}"')
        return FeatureStatistics(
            found["kind"],
            int(found["num_rows"]),
            int(found["num_missing"]),
            {part: _numbers_from_json(numbers) for part, numbers in found["numbers"].items()},
            _distinct_from_json(found["distinct"]) if found["distinct"] else None,
            _top_from_json(found["top"]) if found["top"] else None,
        )


def _numbers_to_json(numbers: Numbers) -> dict[str, Any]:
    return {
        "moments": asdict(numbers.moments),
        "num_zeros": numbers.num_zeros,
        "whole": numbers.whole,
        "digest": _text(numbers.digest.state),
    }


def _numbers_from_json(found: Mapping[str, Any]) -> Numbers:
    digest = Digest(_bytes(found["digest"]))
    _ = digest.is_empty  # reads the sketch, so that a broken one is refused here
    return Numbers(Moments(**found["moments"]), int(found["num_zeros"]), bool(found["whole"]), digest)


def _distinct_to_json(distinct: Distinct) -> dict[str, Any]:
    return {"low": _text(distinct.low) if distinct.low else None, "thin": _text(distinct.thin)}


def _distinct_from_json(found: Mapping[str, Any]) -> Distinct:
    distinct = Distinct(_bytes(found["low"]) if found["low"] else None, _bytes(found["thin"]))
    _ = distinct.merge(distinct)
    return distinct


def _top_to_json(top: HeavyHitters) -> dict[str, Any]:
    return {"state": _text(top.state), "total": top.total, "left_out": top.left_out}


def _top_from_json(found: Mapping[str, Any]) -> HeavyHitters:
    top = HeavyHitters(_bytes(found["state"]), int(found["total"]), int(found["left_out"]))
    _ = top.max_error
    return top


def _text(state: bytes) -> str:
    return base64.b64encode(state).decode("ascii")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
