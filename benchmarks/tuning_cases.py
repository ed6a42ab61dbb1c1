"""What `benchmarks.tuning` tunes: rows as files, and one space for both sides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

# Trials of one optimizer have graphs of one shape; `--optimizers` names others.
OPTIMIZERS = ("AdamW", "SGD")
_MLP = {"name": "mlp", "width": 128, "depth": 2}
_CONVNET = {"name": "convnet", "width": 16, "depth": 1}
# A side may not be empty; nobody reads these rows.
_TEST_ROWS = 40


@dataclass(frozen=True)
class Case:
    """A table or some images, and how much both sides tune on them.

    Attributes:
      name: for people.
      source: of the folder of all sets and an empty folder -> what the config says of source, label and features.
      trials, epochs, batch_size: of both sides.
      ratio: how many times as fast as the script ours is to be in as many trials; None: only to compare.
      in_equal_time: whether ours tunes once more, for as long as the script took.
      model: the section of the config.
      optimizers: to choose from.
    """

    name: str
    source: Callable[[Path, Path], dict[str, Any]]
    trials: int
    epochs: int
    batch_size: int
    ratio: float | None = None
    in_equal_time: bool = True
    model: dict[str, Any] = field(default_factory=lambda: _MLP)
    optimizers: tuple[str, ...] = OPTIMIZERS

    @property
    def space(self) -> dict[str, Any]:
        """Config key -> choices or range, as `tune.space` has it; the script makes its own of the same numbers."""
        return {
            "train.learning_rate": {"min": 3e-4, "max": 3e-2, "log": True},
            "train.optimizer": list(self.optimizers),
            "model.dropout": {"min": 0.0, "max": 0.4},
            "model.l1": {"min": 1e-8, "max": 1e-5, "log": True},
            "model.l2": {"min": 1e-7, "max": 1e-3, "log": True},
        }

    def config(self, source: dict[str, Any], runs: Path, seed: int) -> dict[str, Any]:
        """The whole config of ours.

        Args:
          source: what `source` returned.
          runs: a folder that holds no artifact of another round.
          seed: of the search and of the trainings.
        """
        length = {"epochs": self.epochs, "patience": self.epochs}  # the script has no early stopping either
        return {
            "name": self.name,
            **source,
            "seed": seed,
            "runs": str(runs),
            "split": {"name": "Given", "column": "split"},
            "twins": {"keep_together": False, "near": False},
            "model": self.model,
            # The script smooths no labels either; the recipe of a convnet would.
            "train": {"schedule": "constant", "batch_size": self.batch_size, "label_smoothing": 0.0, **length},
            "tune": {"trials": self.trials, **length, "finalists": 0, "space": self.space},
        }


def _digits(data: Path, folder: Path) -> dict[str, Any]:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return _table(folder / "digits.csv", x / 16, np.char.add("digit ", y.astype(str)))


def _breast_cancer(data: Path, folder: Path) -> dict[str, Any]:
    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True)
    return _table(folder / "breast_cancer.csv", x, np.where(y, "benign", "malignant"))


def _adult(data: Path, folder: Path) -> dict[str, Any]:
    return {"source": {"path": str((data / "adult" / "adult.csv").absolute())}, "label": "income"}


def _california(data: Path, folder: Path) -> dict[str, Any]:
    path = data / "california-housing" / "california.csv"
    return {"source": {"path": str(path.absolute())}, "label": "MedHouseVal"}


def _images(data: Path, folder: Path) -> dict[str, Any]:
    """SIDE/CLASS/ROW.png, 8x8 pixels."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for row, side in enumerate(_sides(digits.target)):
        path = folder / "digits" / side / str(digits.target[row]) / f"{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.round(digits.images[row] * (255 / 16)).astype(np.uint8)).save(path)
    return {"source": {"name": "ImageFolder", "path": str(folder / "digits")}}


def _table(path: Path, x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.csv

    names = [f"x{column}" for column in range(x.shape[1])]
    columns = dict(zip(names, x.T, strict=True))
    pyarrow.csv.write_csv(pa.table({**columns, "label": y, "split": _sides(y)}), path)
    return {"source": {"path": str(path)}, "label": "label", "features": {"numeric": names}}


def _sides(labels: np.ndarray) -> np.ndarray:
    """80 % train, 20 % validation, stratified, once some rows are set aside as test."""
    from sklearn.model_selection import train_test_split

    rows = np.arange(len(labels))
    rest, test = train_test_split(rows, test_size=_TEST_ROWS, stratify=labels, random_state=0)
    _, validation = train_test_split(rest, test_size=0.2, stratify=labels[rest], random_state=0)
    sides = np.full(len(labels), "train", dtype="<U10")
    sides[validation], sides[test] = "validation", "test"
    return sides


CASES = (
    Case("digits", _digits, trials=16, epochs=20, batch_size=32, ratio=12),
    Case("breast_cancer", _breast_cancer, trials=64, epochs=20, batch_size=32, ratio=15),
    Case("adult", _adult, trials=16, epochs=5, batch_size=256, ratio=3),
    Case("california", _california, trials=16, epochs=10, batch_size=256),
    Case("convnet", _images, trials=16, epochs=20, batch_size=32, ratio=2, in_equal_time=False, model=_CONVNET),
)
