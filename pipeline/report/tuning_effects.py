"""What each hyperparameter does to the score, and whether that is more than chance and noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipeline.report.tuning_anova import ABSENT, Anova, Explained
from pipeline.report.tuning_axes import Axis, axes_of
from pipeline.report.tuning_files import fence, finite

MIN_TRIALS = 8
_P_VALUE = 0.05
# From here on a correlation is called a direction; below, the best value says more.
_CLEAR = 0.6


@dataclass(frozen=True)
class Effect:
    """Of one hyperparameter; None where it cannot be told.

    Attributes:
      key: of the config; `name`: a short one.
      share: of the variance of the score over the space, that this key explains alone, 0 to 1.
      chance: the share that keys without any meaning reach.
      spread: how far the score moves from the key's best to its worst value, others averaged, in units of the score.
      correlation: Spearman's, of value and score, -1 to 1: below 0 more is better; None: the values have no order.
      best: the value of the lowest score, others averaged, as a text.
      beyond_noise: whether share is above chance, and spread above the seed noise where that was measured.
      verdict: all that in words.
      failing: at which values trials fail more often than elsewhere; empty: nowhere.
      curve: (place on the axis, score), others averaged.
    """

    key: str
    name: str
    share: float | None = None
    chance: float | None = None
    spread: float | None = None
    correlation: float | None = None
    best: str | None = None
    beyond_noise: bool | None = None
    verdict: str = ""
    failing: str = ""
    curve: tuple[tuple[float, float], ...] = ()


def effects(
    trials: Sequence[Mapping[str, Any]], space: Mapping[str, Any], *, noise: float | None = None
) -> list[Effect]:
    """Every hyperparameter's effect, the largest first; see `Anova` for the method.

    Of Hyperband's trials only those of first rungs count: who goes on was chosen for its score. Trials that failed have
    no score; where they lie is told apart (`failing`). One that exploded counts no worse than the `fence`.

    Args:
      trials: rows of trials.json.
      space: key -> as in the config.
      noise: differences of two scores below it are seed noise; None: not known.

    Example:
      >>> trials = [{"overrides": {"train.a": n % 9, "train.b": n % 2}, "score": n % 9 + 0.1} for n in range(36)]
      >>> first, second = effects(trials, {"train.a": {"min": 0, "max": 8}, "train.b": [0, 1]})
      >>> first.name, first.verdict, second.verdict
      ('a', 'less is better', 'not told from chance')
    """
    axes = axes_of(space, trials)
    scored = [trial for trial in trials if not trial.get("first_epoch") and finite(trial["score"]) is not None]
    found = _of_scores(axes, scored, space, noise) if axes else []
    found = [
        replace(effect, failing=_failing(axis, trials, _P_VALUE / len(axes)))
        for axis, effect in zip(axes, found, strict=True)
    ]
    return sorted(found, key=lambda effect: -(effect.share or 0.0))


def _of_scores(
    axes: list[Axis], trials: Sequence[Mapping[str, Any]], space: Mapping[str, Any], noise: float | None
) -> list[Effect]:
    if len(trials) < MIN_TRIALS:
        few = f"too few trials to tell: {len(trials)}, of at least {MIN_TRIALS}"
        return [Effect(axis.key, axis.name, verdict=few) for axis in axes]
    scores = np.array([trial["score"] for trial in trials], float)
    scores = np.minimum(scores, fence(scores.tolist()))
    if np.ptp(scores) <= 1e-12 * np.abs(scores).max():
        return [_silent(axis, "all scores are equal") for axis in axes]
    epochs = [finite(trial.get("epochs")) or 0.0 for trial in trials]
    anova = Anova(axes, space, [trial["overrides"] for trial in trials], epochs)
    # To the forest only differences matter; small ones are not to drown in its rounding.
    low, width = float(scores.min()), float(np.ptp(scores))
    explained, places = anova.explain(((scores - low) / width).tolist()), anova.places()
    for curve in explained.curves:
        curve[:, 1] = curve[:, 1] * width + low
    return [_effect(axis, at, explained, places[:, at], scores, noise) for at, axis in enumerate(axes)]


def _effect(
    axis: Axis, at: int, explained: Explained, places: np.ndarray, scores: np.ndarray, noise: float | None
) -> Effect:
    curve, share, chance = explained.curves[at], float(explained.shares[at]), explained.chance
    if len(np.unique(places)) < 2 or not len(curve):
        return _silent(axis, "one value only")
    spread = float(np.ptp(curve[:, 1]))
    best = axis.value(float(curve[curve[:, 1].argmin(), 0]))
    correlation, is_clear = _correlation(axis, places, scores)
    if share <= chance:
        verdict = "not told from chance"
    elif noise is not None and spread <= noise:
        verdict = "less than seed noise"
    else:
        verdict = _direction(axis, best, correlation if is_clear else None)
    beyond = share > chance and (noise is None or spread > noise)
    points = tuple((float(place), float(height)) for place, height in curve)
    return Effect(axis.key, axis.name, share, chance, spread, correlation, best, beyond, verdict, "", points)


def _silent(axis: Axis, verdict: str) -> Effect:
    return Effect(axis.key, axis.name, share=0.0, beyond_noise=False, verdict=verdict)


def _direction(axis: Axis, best: str, correlation: float | None) -> str:
    if correlation is not None:
        return "more is better" if correlation < 0 else "less is better"
    return f"{best} is best" if axis.choices else f"best near {best}"


def _correlation(axis: Axis, places: np.ndarray, scores: np.ndarray) -> tuple[float | None, bool]:
    """Spearman's, and whether it is clear; None where values have no order or do not differ."""
    from scipy import stats

    there = places != ABSENT
    if not axis.is_ordered or there.sum() < 3 or not np.ptp(places[there]) or not np.ptp(scores[there]):
        return None, False
    found = stats.spearmanr(places[there], scores[there])
    return float(found.statistic), bool(found.pvalue < _P_VALUE and abs(found.statistic) >= _CLEAR)


def _failing(axis: Axis, trials: Sequence[Mapping[str, Any]], p_value: float) -> str:
    """The part of the axis where trials fail, in words, where it is unlikely that they fall there by chance.

    Fisher's exact test, with Bonferroni's correction for all parts, and keys, that are tried.
    """
    pairs = [(axis.place_in(trial["overrides"]), finite(trial["score"]) is None) for trial in trials]
    failed = [(place, fails) for place, fails in pairs if place is not None]
    if not any(fails for _, fails in failed) or all(fails for _, fails in failed):
        return ""
    places, fails = np.array([place for place, _ in failed]), np.array([fail for _, fail in failed])
    parts = _parts(axis, places)
    chances = [_chance(inside, fails) for _, inside in parts]
    if not parts or min(chances) * len(parts) >= p_value:
        return ""
    words, inside = parts[int(np.argmin(chances))]
    return f"{int(fails[inside].sum())} of {int(inside.sum())} fail {words}"


def _parts(axis: Axis, places: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Each choice, or everything up to and from each number on: words, and bool [trials]."""
    found: list[tuple[str, np.ndarray]] = []
    values = np.unique(places)
    if axis.choices:
        return [(f"with {axis.value(value)}", places == value) for value in values] if len(values) > 1 else []
    for value in values[1:]:
        found.append((f"from {axis.value(value)} up", places >= value))
    for value in values[:-1]:
        found.append((f"from {axis.value(value)} down", places <= value))
    return found


def _chance(inside: np.ndarray, fails: np.ndarray) -> float:
    """That so many failures fall inside, were they spread over all trials."""
    from scipy import stats

    # Of all trials, those that fail, those inside: the upper tail of the hypergeometric distribution.
    return float(stats.hypergeom.sf((fails & inside).sum() - 1, len(fails), fails.sum(), inside.sum()))
