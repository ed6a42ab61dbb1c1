"""Near twins: planted ones are found, what is only alike is not, and clusters are what the pairs join."""

from __future__ import annotations

import doctest
import importlib
import io
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps
from sklearn.datasets import load_digits, load_sample_images

from pipeline.data import twins
from pipeline.data.twins import clusters, groups_of_equal, near_images, near_texts, normalize, signature

PHOTO = (240, 180)
CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "same": lambda image: image,
    "smaller": lambda image: image.resize((120, 90)),
    "larger": lambda image: image.resize((480, 360)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.25),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.75),
    "contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.75),
    "grey": lambda image: image.convert("L"),
    "left": lambda image: image.crop((12, 0, 240, 180)),
    "centered": lambda image: image.crop((6, 4, 234, 176)),
    "mirrored": ImageOps.mirror,
}


def photos() -> list[Image.Image]:
    """Pieces of two photos, no two of which overlap; darker, as of a sky burnt out by brightening nothing is left.

    Two of empty sky, whose grey varies by three levels, are left out: JPEG leaves nothing to know them by.
    """
    pieces = []
    for pixels in load_sample_images().images:
        image = ImageEnhance.Brightness(Image.fromarray(pixels)).enhance(0.75)
        pieces += [
            image.crop((x, y, x + 160, y + 120)).resize(PHOTO) for x in (0, 160, 320, 480) for y in (0, 140, 280)
        ]
    return [piece for piece in pieces if np.asarray(piece.convert("L")).std() >= 5]


def stored(image: Image.Image, ending: str = "JPEG") -> bytes:
    """The signature of the image, encoded, and opened as `ingest` opens it."""
    encoded = io.BytesIO()
    image.save(encoded, ending, **({"quality": 60} if ending == "JPEG" else {}))
    with Image.open(encoded) as opened:
        opened.draft("L", (image.width // 8, image.height // 8))
        opened.load()
        return signature(opened)


def pairs_of(signatures: list[bytes]) -> set[tuple[int, int]]:
    joined = np.frombuffer(b"".join(signatures), np.uint8).reshape(-1, twins.SIGNATURE_BYTES)
    return {(first, second) for first, second in near_images(joined).tolist()}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("ending", ["JPEG", "PNG"])
def test_a_changed_photo_is_found_and_no_other(change: str, ending: str) -> None:
    pieces = photos()
    found = pairs_of([*map(stored, pieces), *(stored(CHANGES[change](piece), ending) for piece in pieces)])
    wanted = {(row, row + len(pieces)) for row in range(len(pieces))}
    assert len(found & wanted) >= 0.95 * len(wanted)
    assert len(found - wanted) <= 0.05 * len(wanted)


def test_digits_are_alike_but_no_twins() -> None:
    digits = [Image.fromarray((pixels * 15).astype(np.uint8)) for pixels in load_digits().images[:600]]
    signatures = [signature(digit) for digit in digits]
    assert not pairs_of(signatures)
    assert pairs_of([*signatures, signatures[5]]) == {(5, 600)}


def test_a_crowd_of_lookalikes_does_not_chain() -> None:
    images = load_digits().images
    large = [signature(Image.fromarray((pixels * 15).astype(np.uint8)).resize((128, 128))) for pixels in images]
    found = np.array(sorted(pairs_of(large))).reshape(-1, 2)
    assert np.bincount(clusters(len(large), found)).max() <= 16


def test_flat_images_are_twins_only_if_equal() -> None:
    colors = [(10, 10, 10), (11, 10, 10), (200, 10, 10), (10, 10, 10)]
    assert pairs_of([signature(Image.new("RGB", (90, 90), color)) for color in colors]) == {(0, 3)}
    assert not pairs_of([signature(Image.new("L", size)) for size in ((90, 90), (90, 100))])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
@pytest.mark.parametrize("size", [(1, 1), (3, 200), (90, 70)])
def test_every_mode_and_size_has_a_signature(mode: str, size: tuple[int, int]) -> None:
    assert len(signature(Image.new(mode, size))) == twins.SIGNATURE_BYTES


def test_sixteen_bits_are_not_clipped() -> None:
    photo = np.asarray(photos()[0].convert("L"))
    assert pairs_of([signature(Image.fromarray(photo)), signature(Image.fromarray(photo.astype(np.uint16) * 257))])


@pytest.mark.parametrize("num_images", [0, 1, 2, 3])
def test_few_images_are_no_trouble(num_images: int) -> None:
    assert len(pairs_of(list(map(stored, photos()[:num_images])))) == 0


def test_signatures_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        near_images(np.zeros((3, 7), np.uint8))


QUESTION = "Why was I charged a fee for using my card at the airport?"


@pytest.mark.parametrize(
    "edited",
    [
        "why was i charged a fee for using my card at the airport",
        "  WHY was I charged... a fee for using my card at the airport!",
        "Why was I chraged a fee for using my card at the airport?",
        "Why was I charged a fee for using my card at the station?",
        "Why was I charged a fee for using my card at the airport today?",
        "Why was I charged a fee for using card at the airport?",
    ],
)
def test_an_edited_text_is_found(edited: str) -> None:
    assert near_texts([None, QUESTION, "How do I get a new PIN for it?", edited, ""]).tolist() == [[1, 3]]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("How do I block my card?", "How do I activate my card?"),
        ("my card", "my cards"),
        ("where do I order a virtual card", "where do I find a virtual card"),
        ("???", "!!!"),
        ("", ""),
        ("  ", "\n"),
    ],
)
def test_what_only_shares_a_template_is_no_twin(one: str, other: str) -> None:
    assert len(near_texts([one, other])) == 0


def test_the_threshold_is_one_of_jaccard_similarity() -> None:
    texts = ["can I top up with google pay", "can I top up with apple pay"]
    grams = [{f" {normalize(text)} "[place : place + 4] for place in range(len(text) - 1)} for text in texts]
    similarity = len(grams[0] & grams[1]) / len(grams[0] | grams[1])
    assert len(near_texts(texts, threshold=similarity)) == 1
    assert len(near_texts(texts, threshold=similarity + 1e-6)) == 0
    with pytest.raises(ValueError, match="threshold"):
        near_texts(texts, threshold=0.1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.none() | st.text(max_size=40) | st.sampled_from([QUESTION, QUESTION.upper()]), max_size=12))
def test_any_texts_give_ordered_pairs_of_present_rows(texts: list[str | None]) -> None:
    found = near_texts(texts)
    assert found.dtype == np.int64
    assert np.all(found[:, 0] < found[:, 1])
    joined = clusters(len(texts), found)
    for row, text in enumerate(texts):
        for other in range(row):
            before = texts[other]
            if text and before and normalize(text) and normalize(text) == normalize(before):
                assert joined[row] == joined[other]


@given(st.text())
def test_normalizing_twice_changes_nothing_more_in_words(text: str) -> None:
    assert normalize(text).split() == normalize(text).split(" ") or normalize(text) == ""
    assert normalize(f"  {text}\n") == normalize(text)


PAIRS = st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=20)


@given(PAIRS, PAIRS)
def test_clusters_are_the_smallest_rows_reached(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    expected = list(range(20))
    for _ in range(20):
        for first, second in one + other:
            expected[first] = expected[second] = min(expected[first], expected[second])
    assert clusters(20, *(np.array(part, np.int64).reshape(-1, 2) for part in (one, other))).tolist() == expected


@pytest.mark.parametrize("pair", [(0, 3), (-1, 0)])
def test_pairs_of_rows_that_do_not_exist_are_refused(pair: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="3 rows"):
        clusters(3, np.array([pair]))


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=30))
def test_equal_keys_are_joined_to_the_first(rows: list[tuple[int, bool]]) -> None:
    keys, present = np.array([key for key, _ in rows], np.uint64), np.array([there for _, there in rows], bool)
    first: dict[int, int] = {}
    wanted = [(first[key], row) for row, (key, there) in enumerate(rows) if there and first.setdefault(key, row) != row]
    found = [tuple(pair) for pair in groups_of_equal(keys, present=present).tolist()]
    assert sorted(found) == sorted(wanted)


@pytest.mark.parametrize("name", ["clusters", "images", "texts"])
def test_the_examples_hold(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"pipeline.data.twins.{name}"))
    assert result.attempted
    assert not result.failed
