"""One HTML page of a search: the best configuration, how sure it is, and what each hyperparameter does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.report.page import save_page, template
from pipeline.report.summary import number, percent, printable
from pipeline.report.tuning_axes import Axis, axes_of, show
from pipeline.report.tuning_effects import Effect, effects
from pipeline.report.tuning_files import Results, finite, read_results
from pipeline.report.tuning_plots import Picture, TuningPainter

# A picture takes some 50 ms; more keys than this nobody looks through.
MAX_PICTURES = 40
_MAX_LETTERS = 300


@dataclass(frozen=True)
class _Row:
    """A trial, as the table needs it."""

    number: int
    score: str
    error: str
    epochs: str
    parent: str
    seconds: str
    how: str
    values: list[str]
    role: str


@dataclass(frozen=True)
class _Finalist:
    """A finalist: its score in the search, on each fresh seed, their mean, and how far that is behind the winner's."""

    number: int
    searched: str
    scores: list[str]
    mean: str
    behind: str
    is_winner: bool


def write_tuning_page(directory: Path, name: str) -> Path:
    """Writes tuning.html, one self-contained page, beside the files it is made from.

    Args:
      directory: with trials.json, tuning.json and best.json.
      name: of the run; plain text.

    Returns:
      The page.

    Raises:
      RunError: a file is missing or damaged, or the page cannot be written.

    Example:
      >>> import json, tempfile
      >>> directory = Path(tempfile.mkdtemp())
      >>> trial = {"number": 0, "overrides": {"train.learning_rate": 0.1}, "score": 0.5, "history": [0.7, 0.5]}
      >>> tuning = {"space": {"train.learning_rate": [0.1, 0.2]}, "winner": 0, "finalists": [], "noise": None}
      >>> for file, content in {"trials": [trial], "tuning": tuning, "best": trial["overrides"]}.items():
      ...     _ = (directory / f"{file}.json").write_text(json.dumps(content))
      >>> "<h1>Tuning of adult</h1>" in write_tuning_page(directory, "adult").read_text(encoding="utf-8")
      True
    """
    results = read_results(directory)
    axes = axes_of(results.space, results.trials)
    found = effects(results.trials, results.space, noise=results.noise)
    page = template("tuning.html.j2", printable=printable, percent=percent, number=number).render(
        name=printable(name, 200),
        facts=_facts(results),
        cut_short=results.tuning.get("cut_short"),
        axes=axes,
        best=[(axis, show(results.best[axis.key], 80)) for axis in axes if axis.key in results.best],
        winner=results.tuning.get("winner"),
        finalists=_finalists(results),
        seeds=_seeds(results),
        sure=_sure(results),
        rows=_rows(results, axes),
        effects=found,
        effect_note=_effect_note(found),
        pictures=_pictures(results, axes, found),
        max_pictures=MAX_PICTURES if len(axes) > MAX_PICTURES else None,
    )
    path = directory / "tuning.html"
    save_page(path, page)
    return path


def _facts(results: Results) -> list[str]:
    tuning, failed = results.tuning, sum(finite(trial["score"]) is None for trial in results.trials)
    seconds, workers = finite(tuning.get("seconds")), tuning.get("workers") or 1
    count = len(results.trials)
    return [
        str(tuning.get("algorithm", "")),
        f"{count:,} trial{'' if count == 1 else 's'}" + (f", {failed:,} of them failed" if failed else ""),
        *([f"{number(round(seconds, 1))} s"] if seconds is not None else []),
        *([f"{workers} workers"] if workers > 1 else []),
        *([f"scored on {tuning['folds']} folds"] if tuning.get("folds") else []),
        *([f"seed {tuning['seed']}"] if "seed" in tuning else []),
    ]


def _listed(results: Results) -> list[dict[str, Any]]:
    return results.tuning.get("finalists") or []


def _seeds(results: Results) -> list[int]:
    return list(dict.fromkeys(seed for finalist in _listed(results) for seed in finalist.get("seeds", [])))


def _finalists(results: Results) -> list[_Finalist]:
    """By their means, those that failed last; a finalist need not have been trained on every seed."""
    searched = {trial["number"]: trial["score"] for trial in results.trials}
    winner = results.tuning.get("winner")
    best = next((finite(one.get("mean")) for one in _listed(results) if one["number"] == winner), None)
    found = sorted(_listed(results), key=lambda one: (finite(one.get("mean")) is None, finite(one.get("mean"))))
    return [
        _Finalist(
            one["number"],
            _text(searched.get(one["number"])),
            [_text(by_seed[seed]) if seed in by_seed else "" for seed in _seeds(results)],
            _text(one.get("mean")),
            _behind(finite(one.get("mean")), best, _noise_of_means(results)) if one["number"] != winner else "",
            one["number"] == winner,
        )
        for one in found
        for by_seed in [dict(zip(one.get("seeds", []), one.get("scores", []), strict=False))]
    ]


def _behind(mean: float | None, best: float | None, noise: float | None) -> str:
    if mean is None or best is None:
        return ""
    return f"+{number(mean - best)}" + (", seed noise" if noise is not None and mean - best < noise else "")


def _noise_of_means(results: Results) -> float | None:
    """Means over several seeds differ less by chance than single scores do."""
    num_seeds = min((len(one.get("scores", [])) for one in _listed(results)), default=0)
    return results.noise / math.sqrt(num_seeds) if results.noise is not None and num_seeds else None


def _sure(results: Results) -> list[str]:
    """Sentences on how far the winner can be believed."""
    means = _noise_of_means(results)
    if results.noise is None:
        return ["The seed noise was not measured: that takes finalists trained on two fresh seeds or more."]
    sentences = [f"Differences of two scores below {results.noise:.2g} are seed noise."]
    if means is not None and means < results.noise:
        sentences.append(f"Of two finalists' means, those below {means:.2g}.")
    others = [one for one in _listed(results) if one["number"] != results.tuning.get("winner")]
    first = next((finite(one.get("mean")) for one in _listed(results) if one not in others), None)
    behind = [mean - first for one in others if first is not None and (mean := finite(one.get("mean"))) is not None]
    if behind and means is not None:
        near = sum(gap < means for gap in behind)
        told = "no other finalist comes that near" if not near else _as_good(near)
        sentences.append(f"The winner leads by {number(max(min(behind), 0.0))}: {told}.")
    return sentences


def _as_good(near: int) -> str:
    return "another finalist may be as good" if near == 1 else f"{near} other finalists may be as good"


def _rows(results: Results, axes: list[Axis]) -> list[_Row]:
    """The best first, those that failed last."""
    finalists = {one["number"] for one in _listed(results)}
    winner = results.tuning.get("winner")
    trials = sorted(results.trials, key=lambda t: (finite(t["score"]) is None, finite(t["score"]) or 0.0, t["number"]))
    return [
        _Row(
            trial["number"],
            _text(trial["score"]),
            printable(str(trial.get("error") or ""), _MAX_LETTERS),
            _epochs(trial),
            "" if trial.get("parent") is None else str(trial["parent"]),
            _text(trial.get("seconds"), ""),
            printable(str(trial.get("how") or "")),
            [show(trial["overrides"][axis.key], 40) if axis.key in trial["overrides"] else "" for axis in axes],
            "winner" if trial["number"] == winner else "finalist" if trial["number"] in finalists else "",
        )
        for trial in trials
    ]


def _epochs(trial: Mapping[str, Any]) -> str:
    """Those it was given, and of them those it went through where it ended before."""
    first, last, done = trial.get("first_epoch") or 0, trial.get("epochs"), len(trial.get("history") or [])
    if last is None:
        return str(done)
    given = f"{first + 1}–{last}" if first else str(last)
    return given if done in (0, last) else f"{done} of {given}"


def _text(value: Any, missing: str = "failed") -> str:
    found = finite(value)
    return missing if found is None else number(found)


def _effect_note(found: list[Effect]) -> str:
    """What the bars mean; empty where there are none."""
    known = [effect for effect in found if effect.chance is not None]
    if not known:
        return ""
    rest = max(0.0, 1 - sum(effect.share or 0.0 for effect in found))
    return (
        f"Keys without any meaning would reach {percent(known[0].chance or 0.0)} (the dashed line); "
        f"{percent(rest)} come from keys that act together, and from noise."
    )


def _pictures(results: Results, axes: list[Axis], found: list[Effect]) -> dict[str, Any]:
    """By name; `against`: by key, the largest effect first."""
    if not results.trials:
        return {"parallel": None, "curves": None, "against": []}
    painter = TuningPainter(results.trials, axes, results.tuning.get("winner"))
    by_key = {axis.key: axis for axis in axes}
    shown = [(effect, by_key[effect.key]) for effect in found][:MAX_PICTURES]
    against: list[tuple[Effect, Picture]] = [(effect, painter.against(axis, effect)) for effect, axis in shown]
    # The largest effect next to the score: there lines can be followed.
    parallel = painter.parallel([axis for _, axis in reversed(shown)]) if axes else None
    return {"parallel": parallel, "curves": painter.curves(), "against": against}
