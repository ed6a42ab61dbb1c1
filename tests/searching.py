"""Artifacts of a search whose losses are a known function of its hyperparameters."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

SPACE: dict[str, Any] = {
    "train.learning_rate": {"min": 1e-4, "max": 1.0, "log": True},
    "train.optimizer": ["AdamW", "SGD", {"name": "Adam", "beta_1": 0.8}],
    "train.optimizer.momentum": {"min": 0.0, "max": 0.99, "when": {"train.optimizer": "SGD"}},
    "model.width": [64, 128, 256],
    "model.dropout": {"min": 0.0, "max": 0.5, "step": 0.1},
    "model.l2": {"min": 1e-8, "max": 1e-3, "log": True},
}


def draw(space: dict[str, Any], random: np.random.Generator) -> dict[str, Any]:
    """A configuration from anywhere in the space."""
    found: dict[str, Any] = {}
    for key, searched in space.items():
        when = searched.get("when", {}) if isinstance(searched, dict) else {}
        if any(found.get(other) not in np.atleast_1d(value) for other, value in when.items()):
            continue
        choices = searched.get("choices") if isinstance(searched, dict) else searched
        if choices is not None:
            found[key] = choices[random.integers(len(choices))]
        elif searched.get("log"):
            found[key] = float(np.exp(random.uniform(math.log(searched["min"]), math.log(searched["max"]))))
        else:
            found[key] = float(random.uniform(searched["min"], searched["max"]))
    return found


def loss(overrides: dict[str, Any]) -> float | None:
    """Of the learning rate first, then the width, then the optimizer; of nothing else. High rates diverge."""
    rate = math.log10(overrides["train.learning_rate"])
    if rate > -0.6:
        return None
    sgd = 0.05 if overrides.get("train.optimizer") == "SGD" else 0.0
    return 0.2 + 0.15 * (rate + 2.3) ** 2 + sgd + {64: 0.3, 128: 0.1, 256: 0.0}[overrides["model.width"]]


def row(number: int, overrides: dict[str, Any], score: float | None, **more: Any) -> dict[str, Any]:
    """One trial, with a learning curve that ends at its score."""
    epochs = more.get("epochs", 20)
    curve = [(score or 0.5) * (1 + 1.5 * math.exp(-epoch / 4)) for epoch in range(epochs - 1)]
    history = [*curve, score] if score is not None else [*curve[:3], float("nan")]
    error = None if score is not None else 'The loss is not finite in epoch 4: <b>"nan"</b>.'
    found = {"number": number, "overrides": overrides, "score": score, "error": error, "history": history}
    return found | {"epochs": epochs, "first_epoch": 0, "parent": None, "seconds": 1.2, "how": "alone"} | more


def make_trials(num_trials: int, space: dict[str, Any] = SPACE, noise: float = 0.004, seed: int = 0) -> list[dict]:
    """A random search for the lowest `loss`."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(num_trials):
        overrides = draw(space, random)
        score = loss(overrides)
        score = None if score is None else score + noise * float(random.normal())
        found.append(row(number, overrides, score, how="population of 16"))
    return found


def make_rungs(num_trials: int) -> list[dict]:
    """Hyperband: a third of each rung goes on, for three times as long."""
    rung, found = make_trials(num_trials), []
    rung = [row(one["number"], one["overrides"], one["score"] and one["score"] * 1.6, epochs=2) for one in rung]
    for epochs, factor in ((6, 1.2), (20, 1.0)):
        found += rung
        best = sorted((one for one in rung if one["score"]), key=lambda one: one["score"])[: max(len(rung) // 3, 1)]
        rung = [
            row(
                len(found) + place,
                one["overrides"],
                (loss(one["overrides"]) or 0.0) * factor,
                epochs=epochs,
                first_epoch=one["epochs"],
                parent=one["number"],
            )
            for place, one in enumerate(best)
        ]
        for one in rung:
            one["history"] = found[one["parent"]]["history"] + one["history"][one["first_epoch"] :]
    return found + rung


def save(directory: Path, trials: list[dict], space: dict[str, Any] = SPACE, **more: Any) -> Path:
    """The three files of the artifact."""
    directory.mkdir(parents=True, exist_ok=True)
    ranked = sorted((one for one in trials if one["score"] is not None), key=lambda one: one["score"])
    finalists = [
        {
            "number": one["number"],
            "seeds": [1001, 1002],
            "scores": [one["score"] + 0.003, one["score"] + 0.006],
            "mean": one["score"] + 0.0045,
        }
        for one in ranked[:3]
    ]
    tuning = {
        "algorithm": "random",
        "space": space,
        "seed": 0,
        "trials": len(trials),
        "failed": len(trials) - len(ranked),
        "winner": ranked[0]["number"] if ranked else None,
        "finalists": finalists,
        "noise": 0.012,
        "seconds": 12.3,
        "workers": 1,
        "cut_short": None,
    }
    files = {"trials": trials, "tuning": tuning | more, "best": ranked[0]["overrides"] if ranked else {}}
    for name, content in files.items():
        (directory / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return directory
