"""By a key's hash: a row's side depends on its key alone, so it stays put when the file grows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from pipeline.data.sides import NO_SIDE, TEST, TRAIN, VALIDATION
from pipeline.data.split.checks import check_length, checked, column_of
from pipeline.data.split.partition import held, joined
from pipeline.data.split.splitter import Shares
from pipeline.data.split.strata import encode, labelled, present
from pipeline.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Key(Shares):
    """The side by a hash (BLAKE2b, 8 bytes) of the key's text: the same whatever else is in the file.

    Shares are met as by dice, not exactly. Rows with equal keys stay together; a unit of several keys goes where
    its smallest key goes, in the order of texts.

    Args:
      train, validation, test, folds, fold: see `Shares`.
      column: the keys'. Numbers without fraction count as whole: 7.0 has the text "7".
      salt: text before every key: another salt, another split. The seed has no say.
    """

    column: str
    salt: str = ""

    @property
    def needs(self) -> str | None:
        """The column of the keys."""
        return self.column

    def __call__(
        self,
        labels: np.ndarray,
        *,
        column: np.ndarray | None = None,
        units: np.ndarray | None = None,
        pinned: np.ndarray | None = None,
        seed: int = 0,
    ) -> np.ndarray:
        """The side of each row, uint8 [rows]: see `Splitter.__call__`.

        Raises:
          DataError: there is no column, a labelled row has no key, or a side stays empty.

        Example:
          >>> names = np.asarray([f"user {number}" for number in range(1000)], object)
          >>> sides = Key(column="user")(np.zeros(1000), column=names)
          >>> bool((Key(column="user")(np.zeros(500), column=names[:500]) == sides[:500]).all())
          True
        """
        keys = column_of(self.column, column, len(labels), type(self).__name__)
        check_length(units, len(labels), '"units"')
        check_length(pinned, len(labels), '"pinned"')
        known = labelled(labels)
        self._check_present(keys, known)
        codes, distinct = _in_text_order(keys[known])
        together = joined(None if units is None else units[known], codes)
        sides = np.full(len(labels), NO_SIDE, np.uint8)
        sides[known] = self._sides(codes, distinct, together)
        in_test = held(together, held(units, pinned, len(labels))[known], int(known.sum()))
        sides[np.flatnonzero(known)[in_test]] = TEST
        return checked(sides)

    def _check_present(self, keys: np.ndarray, known: np.ndarray) -> None:
        missing = np.flatnonzero(known & ~present(keys))
        if len(missing):
            raise DataError(
                f'The key column "{self.column}" is empty in {len(missing)} rows with a label '
                f"(first: row {missing[0] + 1}).",
                expected="a key in every row: it decides the side",
                fix="Fill it, remove those rows, or name another column.",
            )

    def _sides(self, codes: np.ndarray, distinct: np.ndarray, together: np.ndarray) -> np.ndarray:
        """uint8 [labelled rows], by the smallest key of all that belongs together."""
        first = np.full(int(together.max(initial=-1)) + 1, len(distinct), np.int64)
        np.minimum.at(first, together, codes)
        used, back = np.unique(first, return_inverse=True)
        points = np.asarray([_point(self.salt + distinct[code]) for code in used], np.float64)
        return self._side_at(points)[back][together]

    def _side_at(self, points: np.ndarray) -> np.ndarray:
        """The side at points of [0, 1): test lies first, so that folds and other shares of the rest leave it be."""
        rest = (points - self.test) / (1 - self.test)
        if self.folds is None:
            chosen = rest < self.portions.validation
        else:
            chosen = np.minimum(np.floor(rest * self.folds), self.folds - 1) == self.fold
        return np.where(points < self.test, TEST, np.where(chosen, VALIDATION, TRAIN)).astype(np.uint8)


def _in_text_order(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes int64 [rows] and the distinct texts, in order."""
    codes, distinct = encode(keys)
    texts, rank = encode_texts(distinct)
    return rank[codes], texts


def encode_texts(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct values as sorted texts (object), and the place of each value among them (int64).

    Example:
      >>> encode_texts(np.asarray([7.0, 10.0, 0.5]))[0].tolist()
      ['0.5', '10', '7']
    """
    plain = [
        str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
        for value in (values.astype("datetime64[us]").astype(str) if values.dtype.kind == "M" else values).tolist()
    ]
    texts = sorted(set(plain))
    place = {text: number for number, text in enumerate(texts)}
    return np.asarray(texts, object), np.asarray([place[text] for text in plain], np.int64)


def _point(text: str) -> float:
    """A number in [0, 1) by the text's hash."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
