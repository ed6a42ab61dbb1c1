"""Near duplicates of texts: a typo, another case or punctuation, a word more, less or changed.

MinHash (Broder, "On the resemblance and containment of documents", 1997) with bands (Leskovec, Rajaraman and Ullman,
"Mining of Massive Datasets", chapter 3) finds the candidates, the exact Jaccard similarity of their sets of character
4-grams decides.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np

from pipeline.data.twins.clusters import distinct_pairs, sorted_distinct

# Measured on 13,083 short questions to a bank and 5,574 text messages, each with planted edits. Recall at 0.65: a typo
# 0.98, a word appended 0.99, a word removed 0.95; at 0.70: 0.96, 0.97, 0.90. Of the pairs that the questions hold
# themselves, 91 % at 0.65 have the same of 77 intents (0.60: 90 %, 0.70: 93 %), and chains of them reach 48 questions
# (0.60: 150, 0.70: 21). 3-grams find the same at 0.70, 5-grams at 0.60; words and pairs of words are worse: a typo
# costs them the whole word, and at equal recall only 73 % of the pairs have the same intent.
THRESHOLD = 0.65
# One changed word in a longer text leaves a similarity of 0.5 or more. Such pairs count where the texts have so many
# words, whatever the threshold: of shorter questions one word apart half have different intents ("where do I order a
# virtual card", "where do I find a virtual card"), of these three quarters have the same.
WORDS_FOR_ONE_CHANGED = 8
_LEAST_SIMILAR = 0.45
# Texts with fewer words are twins only if equal: "my card" is near everything.
MIN_WORDS = 4

_GRAM = 4
# Texts of similarity s share a band with a probability of 1 - (1 - s^4)^40: 0.999 at 0.65, 0.92 at 0.5, 0.28 at 0.3.
_BANDS, _ROWS = 40, 4
# Within a band's bucket each text is compared with so many next to it, so that templates cost no quadratic time.
_NEIGHBORS = 12
_CHUNK = 50_000
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)

_APOSTROPHES = re.compile("['\u2019\u02bc]")
# Chinese characters and Japanese syllables are words of their own, as texts in them have no spaces.
_IDEOGRAPHS = re.compile("([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])")


class _Punctuation(dict[int, str | None]):
    """For `str.translate`: punctuation and control characters become spaces, invisible ones go; filled as they come."""

    def __missing__(self, code: int) -> str | None:
        category = unicodedata.category(chr(code))
        self[code] = None if category == "Cf" else " " if category[0] == "P" or category == "Cc" else chr(code)
        return self[code]


_PUNCTUATION = _Punctuation()


def normalize(text: str) -> str:
    """The text without what does not make it another text: case, white space, punctuation, forms of letters.

    Args:
      text: any.

    Returns:
      Lower-case words with single spaces between them. A text of punctuation alone keeps it; one of white space is "".

    Example:
      >>> normalize("  Where's my CARD?!"), normalize(":-("), normalize("\uff23\uff21\uff32\uff24 \u00a35.00")
      ('wheres my card', ':-(', 'card \u00a35 00')
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    spaced = _IDEOGRAPHS.sub(r" \1 ", _APOSTROPHES.sub("", folded)).translate(_PUNCTUATION)
    return " ".join(spaced.split()) or " ".join(folded.split())


def near_texts(texts: Sequence[str | None], *, threshold: float = THRESHOLD) -> np.ndarray:
    """The pairs of texts that are near duplicates.

    Twins are texts that are equal when normalized; texts of four words or more whose character 4-grams have a Jaccard
    similarity of `threshold` or more; and texts of eight words or more with one word changed, added or removed.

    Args:
      texts: [n]; None and texts of white space are nobody's twin.
      threshold: the least Jaccard similarity, from 0.45 to 1. Below 0.6 templates ("how do I ...") chain.

    Returns:
      int64 [pairs, 2], i < j, ascending. Of more than two texts that are equal when normalized each is paired with the
      first, which alone is paired with others.

    Raises:
      ValueError: the threshold is out of range.

    Example:
      >>> near_texts(["Why was my card declined?", "why was my card decline", "What is my PIN", None]).tolist()
      [[0, 1]]
    """
    if not _LEAST_SIMILAR <= threshold <= 1:
        raise ValueError(f"threshold is {threshold}, not a number from {_LEAST_SIMILAR} to 1.")
    first: dict[str, int] = {}
    equal = []
    for row, text in enumerate(texts):
        normal = normalize(text) if text is not None else ""
        if normal and first.setdefault(normal, row) != row:
            equal.append((first[normal], row))
    longer = [text for text in first if text.count(" ") >= MIN_WORDS - 1]
    rows = np.asarray([first[text] for text in longer], np.int64)
    return distinct_pairs(np.asarray(equal, np.int64).reshape(-1, 2), rows[_similar(longer, threshold)])


def _similar(texts: list[str], threshold: float) -> np.ndarray:
    """The pairs, int64 [pairs, 2], of normalized texts, no two of them equal."""
    if len(texts) < 2:
        return np.zeros((0, 2), np.int64)
    grams, starts = _grams(texts)
    pairs = _candidates(grams, starts)
    pairs, similarity = _similarities(pairs, grams, starts)
    sure = similarity >= threshold
    perhaps = np.flatnonzero(~sure)
    sure[perhaps] = [_one_word_apart(texts[first], texts[second]) for first, second in pairs[perhaps].tolist()]
    return pairs[sure]


def _grams(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of the 4-grams of all texts, uint64 [grams], and where each text's begin, int64 [texts]."""
    padded = [f" {text} " for text in texts]
    # Surrogates alone are no text, but must not end in a traceback.
    letters = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    hashes = np.zeros(len(letters) - _GRAM + 1, np.uint64)
    for place in range(_GRAM):
        hashes = (hashes + letters[place : place + len(hashes)] + np.uint64(1)) * _MULTIPLIER
    lengths = np.asarray([len(text) for text in padded], np.int64)
    ends = np.cumsum(lengths)
    # Those that would reach from one text into the next are left out.
    inside = np.ones(len(letters), bool)
    for place in range(1, _GRAM):
        inside[ends - place] = False
    return _mixed(hashes[inside[: len(hashes)]]), ends - lengths - (_GRAM - 1) * np.arange(len(texts))


def _mixed(hashes: np.ndarray) -> np.ndarray:
    """Every bit of the result depends on every bit of the hash (the finalizer of SplitMix64)."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return hashes ^ (hashes >> np.uint64(31))


def _candidates(grams: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Pairs of texts that share a band, int64 [pairs, 2]."""
    random = np.random.Generator(np.random.Philox(0))
    num_texts, found = len(starts), []
    ranks = np.zeros(num_texts, np.uint64)
    for _ in range(_BANDS):
        band = np.zeros(num_texts, np.uint64)
        for _ in range(_ROWS):
            factor, shift = random.integers(0, 2**64, 2, np.uint64)
            smallest = np.minimum.reduceat(grams * (factor | np.uint64(1)) + shift, starts)
            band = _mixed(band * _MULTIPLIER + smallest)
        # Texts that shared the last band, too, stand together within a bucket.
        order = np.lexsort((ranks, band))
        ordered, ranks = band[order], band
        for gap in range(1, min(_NEIGHBORS, num_texts - 1) + 1):
            same = np.flatnonzero(ordered[gap:] == ordered[:-gap])
            one, other = order[same], order[same + gap]
            found.append(np.minimum(one, other) * num_texts + np.maximum(one, other))
    return np.stack(np.divmod(sorted_distinct(np.concatenate(found)), num_texts), axis=1)


def _similarities(pairs: np.ndarray, grams: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pairs similar enough to be looked at, and their Jaccard similarity, float64 [pairs]."""
    from scipy.sparse import csr_array

    columns = np.searchsorted(sorted_distinct(grams), grams)
    table = csr_array((np.ones(len(grams), np.int32), columns, np.append(starts, len(grams))))
    table.sum_duplicates()
    table.data[:] = 1
    sizes = np.diff(table.indptr)
    pairs = pairs[sizes[pairs].min(axis=1) >= _LEAST_SIMILAR * sizes[pairs].max(axis=1)]
    similarity = np.empty(len(pairs))
    for start in range(0, len(pairs), _CHUNK):
        first, second = pairs[start : start + _CHUNK].T
        shared = table[first].multiply(table[second]).sum(axis=1)
        similarity[start : start + _CHUNK] = shared / (sizes[first] + sizes[second] - shared)
    kept = similarity >= _LEAST_SIMILAR
    return pairs[kept], similarity[kept]


def _one_word_apart(first: str, second: str) -> bool:
    """Whether two texts, both long enough, differ in one place by at most one word of each."""
    one, other = first.split(), second.split()
    shorter = min(len(one), len(other))
    if shorter < WORDS_FOR_ONE_CHANGED or abs(len(one) - len(other)) > 1:
        return False
    before = next((place for place in range(shorter) if one[place] != other[place]), shorter)
    left = shorter - before
    after = next((place for place in range(left) if one[-1 - place] != other[-1 - place]), left)
    return max(len(one), len(other)) - before - after <= 1
