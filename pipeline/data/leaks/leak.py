"""One finding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LeakKind = Literal["known after", "sum", "predicts", "identifier"]

_SO = {
    "known after": "it is left out where the model is used, so leave it out here",
    "sum": "they cannot be known before the label is",
    "predicts": "is it known before the label is?",
    "identifier": "it names rows and says nothing of new ones",
}


@dataclass(frozen=True)
class Leak:
    """A feature, or several together, that should not be learnt from.

    Attributes:
      kind: what is wrong.
      features: their names.
      evidence: what was seen, with numbers.
      score: 0 to 1: AUC, R^2 or share of different values; 1 where there is no doubt.
    """

    kind: LeakKind
    features: tuple[str, ...]
    evidence: str
    score: float

    def line(self) -> str:
        """One sentence for people.

        Example:
          >>> Leak("identifier", ("id",), '"id" has another value in every one of 9 train rows', 1.0).line()
          'leak: "id" has another value in every one of 9 train rows; it names rows and says nothing of new ones'
        """
        so = _SO[self.kind].replace("they", "it") if len(self.features) == 1 else _SO[self.kind]
        return f"leak: {self.evidence}; {so}"
