"""What whoever evaluates must know of the label: kept beside the stores, learnt from train alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from pipeline.data.row_weights import Weights
from pipeline.data.store import LABEL, SAMPLE_WEIGHT, Store
from pipeline.data.transforms import Transforms
from pipeline.data.transforms.target import FittedClassIndex
from pipeline.errors import ConfigError, did_you_mean
from pipeline.runs import read_json, write_json

_FILE = "label.json"
_LISTED = 20


@dataclass(frozen=True)
class LabelInfo:
    """Of the label and of the weights of rows.

    Attributes:
      name: the label's column.
      classes: names of the classes, in the order of their indices; none for a quantity.
      constant: the best answer that is always the same: the share of each class in train, or the mean of the label in
        its own unit. Rows count by their weights.
      weight: the column of the rows' weights, or None.
    """

    name: str
    classes: tuple[str, ...]
    constant: tuple[float, ...]
    weight: str | None = None

    @staticmethod
    def of(store: Store) -> LabelInfo:
        """That of a store that `pipeline.data.prepare` made.

        Raises:
          ConfigError: nothing is known of the store.
        """
        try:
            value = read_json(store.directory.parent / _FILE)
        except FileNotFoundError:
            raise ConfigError(
                f"{store.directory.parent} has no {_FILE}: nothing is known of the label.",
                expected="a store that pipeline.data.prepare or the stage prepare made",
            ) from None
        return LabelInfo(**{**value, "classes": tuple(value["classes"]), "constant": tuple(value["constant"])})

    def write(self, directory: Path) -> None:
        """Beside the stores in a directory."""
        write_json(directory / _FILE, asdict(self))

    def by_index(self, given: str | Mapping[str, float], key: str) -> str | dict[int, float]:
        """Numbers that a person gave to classes by their names, as numbers by their indices; a word as it stands.

        Args:
          given: none, balanced, or name of a class -> number.
          key: in the config, for errors.

        Raises:
          ConfigError: a class does not exist, or the label is a quantity.

        Example:
          >>> LabelInfo("income", ("high", "low"), (0.2, 0.8)).by_index({"high": 3.0}, "train.class_weight")
          {0: 3.0}
        """
        if given == "none":
            return "none"
        if not self.classes:
            raise ConfigError(
                f'"{key}" is {given!r}, but the label "{self.name}" is a quantity and has no classes.',
                expected=f'{key} = "none"',
                fix='For weights of single rows name their column: features.weight = "COLUMN".',
            )
        if isinstance(given, str):
            return given
        places = {name: place for place, name in enumerate(self.classes)}
        for name in given:
            if name not in places:
                more = f" and {len(places) - _LISTED} more" if len(places) > _LISTED else ""
                raise ConfigError(
                    f'"{key}": the label "{self.name}" has no class "{name}" in train.',
                    expected=f"classes among {', '.join(self.classes[:_LISTED])}{more}",
                    fix=did_you_mean(name, places).strip() or None,
                )
        return {places[name]: float(number) for name, number in given.items()}


def label_info(train: Store, transforms: Transforms, weights: Weights | None) -> LabelInfo:
    """From the prepared train rows.

    Args:
      train: the store.
      transforms: fitted.
      weights: of the rows, if they have any.
    """
    labels, target = np.asarray(train.columns[LABEL]), transforms.target
    counted = np.asarray(train.columns[SAMPLE_WEIGHT], np.float64) if weights else np.ones(len(labels))
    classes: tuple[str, ...] = ()
    if isinstance(target, FittedClassIndex):
        classes = target.names
        constant = np.bincount(labels, counted, len(classes)) / counted.sum()
    else:
        constant = np.atleast_1d(target.inverse(np.average(labels.astype(np.float64), weights=counted)))
    return LabelInfo(transforms.label, classes, tuple(constant.tolist()), weights.name if weights else None)
