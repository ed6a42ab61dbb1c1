"""Single features that tell the label almost without error, on rows that they were not fitted to."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np

from pipeline.data.kinds import Kind
from pipeline.data.leaks.leak import Leak

# AUC (two classes), R^2 (quantities), or share of the prior's errors that go away (more classes). The strongest
# honest single features of well-known tables reach 0.98 (AUC: breast cancer) and 0.95 (R^2: motor for total UPDRS).
ALMOST_PERFECT = 0.99
# More rows change the third digit no more.
MAX_ROWS = 5_000
MIN_ROWS = 50
# Rows of the rarest of two classes: an AUC over fewer is luck.
MIN_CLASS = 10
LEAVES = 64


def find_predictors(
    columns: Mapping[str, np.ndarray],
    kinds: Mapping[str, Kind],
    labels: np.ndarray,
    label: str,
    task: str,
    seed: int,
) -> list[Leak]:
    """Features with an out-of-fold score of at least 0.99, by a tiny decision tree or the mean of each category.

    Args:
      columns: codes int64 with -1, or float64 with NaN. [rows]
      kinds: of the columns.
      labels: class codes int64, or float64. [rows]
      label: its name.
      task: "binary", "multiclass" or "regression".
      seed: of the two halves.

    Example:
      >>> labels = np.tile([0, 1], 100)
      >>> found = find_predictors({"paid": labels * 7.0}, {"paid": "numeric"}, labels, "sold", "binary", 0)
      >>> found[0].evidence
      '"paid" alone predicts "sold" with an AUC of 1.0000 on 200 train rows that it was not fitted to'
    """
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(labels))[:MAX_ROWS]
    target = labels[order]
    if len(target) < MIN_ROWS or len(np.unique(target)) < 2:
        return []
    if task == "binary" and np.bincount(target).min() < MIN_CLASS:
        return []
    found = []
    for name, values in columns.items():
        score = _score(values[order], target, kinds[name] == "categorical", task)
        if score >= ALMOST_PERFECT:
            found.append(_leak(name, label, score, task, len(target)))
    return found


def _leak(name: str, label: str, score: float, task: str, rows: int) -> Leak:
    measure = {"binary": "an AUC of", "regression": "an R^2 of"}.get(task, "a skill over the commonest class of")
    evidence = f'"{name}" alone predicts "{label}" with {measure} {score:.4f} on {rows:,} train rows'
    return Leak("predicts", (name,), f"{evidence} that it was not fitted to", score)


def _score(values: np.ndarray, target: np.ndarray, categorical: bool, task: str) -> float:
    """1 where everything is right, 0 where nothing is better than the prior. Each half is predicted by the other."""
    predict = _by_category if categorical else _by_tree
    first = np.arange(len(target)) % 2 == 0
    scores = []
    for half in (first, ~first):
        predicted = predict(values[half], target[half], values[~half], task)
        scores.append(_compare(predicted, target[~half], task))
    return float(np.mean(scores))


def _compare(predicted: np.ndarray, target: np.ndarray, task: str) -> float:
    if task == "binary":
        return _auc(predicted, target)
    if task == "regression":
        spread = float(np.square(target - target.mean()).sum())
        return 1 - float(np.square(target - predicted).sum()) / spread if spread else 0.0
    prior_errors = 1 - float(np.bincount(target).max()) / len(target)
    return 1 - float((predicted != target).mean()) / prior_errors if prior_errors else 0.0


def _auc(predicted: np.ndarray, target: np.ndarray) -> float:
    """The chance that a row of the second class ranks before one of the first; ties count half."""
    if target.min() == target.max():
        return 0.5
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(target == target.max(), predicted))


def _by_tree(fitted: np.ndarray, target: np.ndarray, asked: np.ndarray, task: str) -> np.ndarray:
    """What a tree of few leaves says: chance of the second class, class, or quantity. [asked rows]"""
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    fitted, asked = _ranks(fitted, asked)
    if task == "regression":
        tree = DecisionTreeRegressor(max_leaf_nodes=LEAVES, min_samples_leaf=2, random_state=0)
        return np.asarray(tree.fit(fitted[:, None], target).predict(asked[:, None]))
    leaves = max(LEAVES // 4, 2 * len(np.unique(target)))
    tree = DecisionTreeClassifier(max_leaf_nodes=leaves, min_samples_leaf=2, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # scikit-learn wonders about classes of few rows: they are meant
        tree.fit(fitted[:, None], target)
    if task == "binary":
        return np.asarray(tree.predict_proba(asked[:, None]))[:, -1]
    return np.asarray(tree.predict(asked[:, None]))


def _ranks(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places among the values of both, NaN kept: scikit-learn's trees read float32, which is too small or too coarse
    for some numbers, and only the order counts.

    >>> [ranks.tolist() for ranks in _ranks(np.asarray([1e300, 5.0]), np.asarray([7.0, np.nan]))]
    [[2.0, 0.0], [1.0, nan]]
    """
    values = np.concatenate([first, second])
    ranks = np.unique(values, return_inverse=True)[1].astype(np.float64)
    ranks[np.isnan(values)] = np.nan
    return ranks[: len(first)], ranks[len(first) :]


def _by_category(fitted: np.ndarray, target: np.ndarray, asked: np.ndarray, task: str) -> np.ndarray:
    """The mean or commonest label of the same category; the prior for a category that was not seen. [asked rows]

    So a column that names rows predicts nothing: no name is met again.
    """
    size = int(max(fitted.max(), asked.max())) + 2  # the last place is that of -1, missing
    counts = np.bincount(fitted % size, minlength=size)
    if task in ("binary", "regression"):
        sums = np.bincount(fitted % size, weights=target.astype(np.float64), minlength=size)
        means = np.where(counts > 0, sums / np.maximum(counts, 1), target.mean())
        return np.asarray(means[asked % size])
    classes = int(target.max()) + 1
    pairs, rows = np.unique((fitted % size) * classes + target, return_counts=True)
    commonest = np.full(size, np.bincount(target).argmax())
    order = np.argsort(rows, kind="stable")  # the commonest is written last, and stays
    commonest[pairs[order] // classes] = pairs[order] % classes
    return np.asarray(commonest[asked % size])
