"""What a table holds: every column's kind, what it is used for, and the rows that will be stored of it.

Kinds and the types they are stored in: `numeric` float64 (missing and not-finite values null), `categorical` text
without blanks around it (dictionaries), `text`, `datetime` timestamps in microseconds without a zone, `tags` lists of
text, `image` a path or encoded bytes. `?`, empty text and NaN are missing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pipeline.data.kinds import Kind


@dataclass(frozen=True)
class Feature:
    """One column that the model sees, or the label."""

    name: str
    kind: Kind


@dataclass(frozen=True)
class Schema:
    """The columns of a source, by what they are used for.

    Attributes:
      features: in the order of the source.
      label: the column to predict, numeric or categorical.
      split: a column that gives every row's side, or None.
      others: columns that only the split needs: a group, a time, a key.
      dropped: columns that a person dropped: not stored, but a part of what makes a row known again.
      ignored: (column, reason) of those that are not used, dropped ones included.
      weight: the column that says how much each row counts, or None: no feature, and no part of what makes a row known.
    """

    features: tuple[Feature, ...]
    label: Feature
    split: str | None = None
    others: tuple[Feature, ...] = ()
    dropped: tuple[Feature, ...] = ()
    ignored: tuple[tuple[str, str], ...] = ()
    weight: str | None = None

    @property
    def columns(self) -> tuple[Feature, ...]:
        """Everything that is stored: features, label, what the split needs, and the weight."""
        split = (Feature(self.split, "categorical"),) if self.split else ()
        weight = (Feature(self.weight, "numeric"),) if self.weight else ()
        return (*self.features, self.label, *split, *self.others, *weight)

    @property
    def kinds(self) -> dict[str, Kind]:
        """Name -> kind, of everything that is stored."""
        return {column.name: column.kind for column in self.columns}

    def of_kind(self, kind: Kind) -> tuple[str, ...]:
        """The names of the features of a kind."""
        return tuple(feature.name for feature in self.features if feature.kind == kind)

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` is the inverse."""
        return asdict(self)

    @staticmethod
    def from_json(value: dict[str, Any]) -> Schema:
        """The inverse of `to_json`.

        >>> schema = Schema((Feature("age", "numeric"),), Feature("income", "categorical"))
        >>> Schema.from_json(schema.to_json()) == schema
        True
        """
        return Schema(
            tuple(Feature(**feature) for feature in value["features"]),
            Feature(**value["label"]),
            value["split"],
            tuple(Feature(**feature) for feature in value["others"]),
            tuple(Feature(**feature) for feature in value["dropped"]),
            tuple((name, reason) for name, reason in value["ignored"]),
            value.get("weight"),
        )
