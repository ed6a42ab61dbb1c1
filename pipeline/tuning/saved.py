"""Trainings of a population on disk: what a killed search, or a higher rung of Hyperband, goes on from."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.training.checkpoint_file import Snapshot, read, unlink, write
from pipeline.training.population import Candidate, Lane


def save(path: Path, lanes: Mapping[str, Lane], fingerprint: str) -> None:
    """Writes lanes under the names of their jobs; whole or not at all.

    Raises:
      OSError: it cannot be written.
    """
    arrays: dict[str, np.ndarray] = {}
    state = {}
    for name, lane in lanes.items():
        if lane.state is not None or lane.error is not None:
            tree = _numbered(lane.state, arrays)
            own = {"history": lane.history, "error": lane.error, "step": lane.step, "seconds": lane.seconds}
            state[name] = {**own, "together": lane.together, "tree": tree}
    write(path, Snapshot(0, state, arrays), fingerprint)


def load(path: Path, fingerprint: str) -> dict[str, dict[str, Any]]:
    """What was saved, by the names of the jobs; nothing where there is none, or it is damaged or of something else."""
    with contextlib.suppress(OSError, ValueError):
        found = read(path, fingerprint)
        return {name: _saved(own, found.arrays) for name, own in found.state.items()}
    return {}


def lane_of(place: int, candidate: Candidate, saved: dict[str, Any] | None) -> Lane:
    """A lane as it was saved, or at its beginning."""
    return Lane(place, candidate, **saved) if saved else Lane(place, candidate)


def remove(path: Path) -> None:
    """Removes what is not needed any more."""
    unlink([path])


def _saved(own: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    state = _of_numbers(own["tree"], arrays)
    return {**{key: value for key, value in own.items() if key != "tree"}, "state": state}


def _numbered(tree: Any, arrays: dict[str, np.ndarray]) -> Any:
    """The tree with names of arrays in place of arrays, which are added to `arrays`."""
    if isinstance(tree, dict):
        return {key: _numbered(value, arrays) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_numbered(value, arrays) for value in tree]
    if tree is None:
        return None
    name = str(len(arrays))
    arrays[name] = np.ascontiguousarray(tree)
    return {"array": name, "shape": list(np.shape(tree))}


def _of_numbers(tree: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if isinstance(tree, dict) and set(tree) == {"array", "shape"}:
        return arrays[tree["array"]].reshape(tree["shape"])
    if isinstance(tree, dict):
        return {key: _of_numbers(value, arrays) for key, value in tree.items()}
    return [_of_numbers(value, arrays) for value in tree] if isinstance(tree, list) else tree
