"""How much of a score each hyperparameter explains: functional ANOVA of random forests, beside shuffled keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.report.tuning_axes import Axis

# Below every place on an axis: a key that a configuration does not have.
ABSENT = -0.5
_NUM_TREES, _MIN_ROUNDS, _MIN_SHUFFLED = 240, 8, 96
_NUM_GRID, _NUM_BACKGROUND, _NUM_VARIANCE = 10, 48, 512
_CHANCE_RANK = 0.95


@dataclass(frozen=True)
class Explained:
    """What the forests found.

    Attributes:
      shares: float [keys], of the variance of the score over the space, that each key explains alone.
      chance: the share that only one in twenty shuffled keys exceeds.
      curves: of each key, float [points, 2]: place on the axis, and the score there, averaged over the other keys.
    """

    shares: np.ndarray
    chance: float
    curves: list[np.ndarray]


@dataclass(frozen=True)
class Anova:
    """Explains the scores of a search.

    Main effects over the whole space, not only where the search went: Hutter, Hoos, Leyton-Brown, "An Efficient
    Approach for Assessing Hyperparameter Importance", ICML 2014; by sampling instead of walking the trees. Among few
    trials some key always seems to matter, so the forests are given a shuffled copy of every key, too: Kursa, Rudnicki,
    "Feature Selection with the Boruta Package", Journal of Statistical Software 36, 2010.

    Attributes:
      axes: of the keys.
      space: key -> as in the config; of it the conditions (`when`) are used.
      overrides: of each trial, key -> value.
      epochs: [trials]; rungs differ by it, and it is no hyperparameter: what it explains is taken out first.

    Example:
      >>> from pipeline.report.tuning_axes import axes_of
      >>> trials = [{"overrides": {"a": n % 9, "b": n % 2}} for n in range(36)]
      >>> space = {"a": {"min": 0, "max": 8}, "b": [0, 1]}
      >>> anova = Anova(axes_of(space, trials), space, [trial["overrides"] for trial in trials], [1] * 36)
      >>> found = anova.explain([float(n % 9) for n in range(36)])
      >>> bool(found.shares[0] > 0.9), bool(found.shares[1] < found.chance)
      (True, True)
    """

    axes: list[Axis]
    space: Mapping[str, Any]
    overrides: Sequence[Mapping[str, Any]]
    epochs: Sequence[float]

    def explain(self, scores: Sequence[float]) -> Explained:
        """Fits forests with other shuffles each, and averages.

        Args:
          scores: [trials], finite.
        """
        rounds = max(_MIN_ROUNDS, min(_NUM_TREES // 8, -(-_MIN_SHUFFLED // len(self.axes))))
        found = [self._round(np.asarray(scores, float), turn, _NUM_TREES // rounds) for turn in range(rounds)]
        shares = np.array([shares for shares, _ in found])
        num_keys = len(self.axes)
        curves = [np.mean([curves[at] for _, curves in found], axis=0) for at in range(num_keys)]
        chance = float(np.quantile(shares[:, num_keys:], _CHANCE_RANK))
        return Explained(shares[:, :num_keys].mean(axis=0), chance, curves)

    def places(self) -> np.ndarray:
        """Of every trial on every axis, float [trials, keys], `ABSENT` where there is none."""
        found = [[axis.place_in(trial) for axis in self.axes] for trial in self.overrides]
        return np.array([[ABSENT if place is None else place for place in row] for row in found])

    def _round(self, scores: np.ndarray, turn: int, num_trees: int) -> tuple[np.ndarray, list[np.ndarray]]:
        """Shares of the keys and of their shuffled copies [2 keys], and curves of the keys."""
        from sklearn.ensemble import RandomForestRegressor

        random = np.random.default_rng(turn)
        places = self.places()
        table = np.column_stack([places, random.permuted(places, axis=0), np.asarray(self.epochs, float)])
        forest = RandomForestRegressor(num_trees, random_state=turn, n_jobs=1)
        forest.fit(table, scores)
        background = self._sample(table, random)
        blocks = [self._block(background[:_NUM_BACKGROUND], column, table) for column in range(table.shape[1])]
        # One call for all: a call costs more than the rows in it.
        answers = forest.predict(np.concatenate([self._masked(background), *(rows for rows, _ in blocks)]))
        whole, *parts = np.split(answers, np.cumsum([len(background), *(len(rows) for rows, _ in blocks[:-1])]))
        means = [part.reshape(len(grid), -1).mean(axis=1) for part, (_, grid) in zip(parts, blocks, strict=True)]
        weights = [len(rows) / max(len(grid), 1) / _NUM_BACKGROUND for rows, grid in blocks]
        variances = np.array([w * mean.var() if mean.size else 0.0 for w, mean in zip(weights, means, strict=True)])
        total = max(float(whole.var()) - variances[-1], float(variances[: len(self.axes)].sum()), 1e-300)
        curves = [np.column_stack([grid, mean]) for mean, (_, grid) in zip(means, blocks, strict=True)]
        return variances[:-1] / total, curves[: len(self.axes)]

    def _sample(self, table: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Configurations from all over the space [`_NUM_VARIANCE`, columns]; what is not of the space, as in trials."""
        columns = [random.choice(column, _NUM_VARIANCE) for column in table.T]
        for at, axis in enumerate(self.axes):
            if axis.key in self.space:
                columns[at] = (
                    random.choice(_grid(axis), _NUM_VARIANCE) if axis.choices else random.random(_NUM_VARIANCE)
                )
        return np.column_stack(columns)

    def _block(self, background: np.ndarray, column: int, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows [points x background, columns] that differ in one column by point, and the points.

        Of a key with a condition only rows in which it exists; no points where there is none.
        """
        if column < len(self.axes):
            exists = self._masked(background)[:, column] != ABSENT
            background, grid = background[exists], _grid(self.axes[column])
        else:
            grid = _some(np.unique(table[:, column]))
        if not len(background):
            return background, np.zeros(0)
        rows = np.tile(background, (len(grid), 1))
        rows[:, column] = np.repeat(grid, len(background))
        return self._masked(rows), grid

    def _masked(self, rows: np.ndarray) -> np.ndarray:
        """With `ABSENT` where a key's conditions do not hold."""
        masked = rows.copy()
        # As often as conditions may hang on conditions.
        for _ in self.axes:
            before = masked.copy()
            for at, axis in enumerate(self.axes):
                masked[~self._exists(masked, axis), at] = ABSENT
            if np.array_equal(before, masked):
                break
        return masked

    def _exists(self, rows: np.ndarray, axis: Axis) -> np.ndarray:
        searched = self.space.get(axis.key)
        holds = np.ones(len(rows), bool)
        conditions = searched.get("when") if isinstance(searched, Mapping) else None
        for key, wanted in (conditions or {}).items():
            at = next((at for at, other in enumerate(self.axes) if other.key == key), None)
            # A condition on a range cannot be met by sampling: it is taken to hold.
            if at is not None and self.axes[at].choices:
                values = wanted if isinstance(wanted, list) else [wanted]
                places = [self.axes[at].place(value) for value in values]
                holds &= np.isin(rows[:, at], [place for place in places if place is not None])
        return holds


def _grid(axis: Axis) -> np.ndarray:
    """Places of all choices; of numbers, the middles of equal parts: with the ends, the variance would be too large."""
    if axis.choices:
        return np.arange(len(axis.choices)) / max(len(axis.choices) - 1, 1)
    return (np.arange(_NUM_GRID) + 0.5) / _NUM_GRID if axis.low < axis.high else np.array([0.5])


def _some(values: np.ndarray) -> np.ndarray:
    return values[np.unique(np.linspace(0, len(values) - 1, _NUM_GRID).astype(int))]
