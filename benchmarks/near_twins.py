"""How many planted near twins of images, texts and rows are found, how many others with them, and how fast."""

from __future__ import annotations

import argparse
import csv
import io
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
from PIL import Image, ImageEnhance, ImageOps

from benchmarks.report import Result, note, report
from benchmarks.tables import write_table
from pipeline.data.twins import clusters, draft_size, near_images, near_texts, normalize, signature
from pipeline.data.twins.clusters import distinct_pairs, groups_of_equal
from pipeline.data.twins.tables import Grid

_GOAL = ">= 0.95"
_RANDOM = np.random.default_rng(0)


def crop(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    """Without these parts of its width and height."""
    width, height = image.size
    return image.crop(
        (round(left * width), round(top * height), round((1 - right) * width), round((1 - bottom) * height))
    )


def side() -> list[float]:
    """5 % off one side."""
    return (np.eye(4)[_RANDOM.integers(4)] * 0.05).tolist()


def resized(image: Image.Image) -> Image.Image:
    """0.5 to 2 times as large."""
    factor = 2 ** _RANDOM.uniform(-1, 1)
    return image.resize((round(image.width * factor), round(image.height * factor)))


IMAGES: dict[str, tuple[Callable[[Image.Image], Image.Image], int | None]] = {
    "JPEG quality 40": (lambda image: image, 40),
    "PNG": (lambda image: image, None),
    "resized": (resized, 85),
    "brightness": (lambda image: ImageEnhance.Brightness(image).enhance(_RANDOM.choice([0.75, 1.25])), 90),
    "contrast": (lambda image: ImageEnhance.Contrast(image).enhance(_RANDOM.choice([0.75, 1.25])), 90),
    "cropped one side": (lambda image: crop(image, *side()), 90),
    "cropped centered": (lambda image: crop(image, 0.025, 0.025, 0.025, 0.025), 90),
    "mirrored": (ImageOps.mirror, 90),
}


def encoded(image: Image.Image, quality: int | None) -> bytes:
    """As JPEG, or as PNG without a quality."""
    file = io.BytesIO()
    image.save(file, "PNG" if quality is None else "JPEG", **({} if quality is None else {"quality": quality}))
    return file.getvalue()


def signed(data: bytes) -> np.ndarray:
    """The signature of an encoded image, opened as a pipeline opens it."""
    with Image.open(io.BytesIO(data)) as image:
        size = image.size
        image.draft("L", draft_size(*size))
        image.load()
        return np.frombuffer(signature(image, full_size=size), np.uint8)


def read_images(data: Path | None, number: int) -> list[Image.Image]:
    """The photos below DATA/flowers; else overlapping layers of random waves."""
    if data is not None:
        paths = sorted((data / "flowers").rglob("*.jpg"))
        return [Image.open(path).convert("RGB") for path in paths[:: max(len(paths) // number, 1)]]
    images = []
    for _ in range(number):
        layers = [Image.fromarray(_RANDOM.integers(0, 256, (n, n, 3), np.uint8)).resize((320, 240)) for n in (3, 7, 15)]
        images.append(Image.blend(Image.blend(layers[0], layers[1], 0.5), layers[2], 0.3))
    return images


def word(words: list[str]) -> str:
    return words[_RANDOM.integers(len(words))]


def changed(text: str, words: list[str]) -> str:
    parts = text.split()
    parts[_RANDOM.integers(len(parts))] = word(words)
    return " ".join(parts)


def typo(text: str, words: list[str]) -> str:
    place = int(_RANDOM.integers(len(text) - 1))
    return text[:place] + text[place + 1] + text[place] + text[place + 2 :]


def removed(text: str, words: list[str]) -> str:
    parts = text.split()
    del parts[_RANDOM.integers(len(parts))]
    return " ".join(parts)


TEXTS: dict[str, Callable[[str, list[str]], str]] = {
    "word changed": changed,
    "typo": typo,
    "punctuation": lambda text, words: re.sub(r"[.,?!]", "", text) + "!",
    "case": lambda text, words: text.upper(),
    "word appended": lambda text, words: f"{text} {word(words)}",
    "word removed": removed,
}


def read_texts(data: Path | None, number: int) -> list[str]:
    """Questions and messages below DATA with four words or more; else random words."""
    if data is None:
        words = ["".join(_RANDOM.choice(list("abcdeilmnorstu"), 2 + k % 7)) for k in range(2000)]
        return [" ".join(_RANDOM.choice(words, 4 + k % 16)) for k in range(number)]
    with (data / "banking77" / "train.csv").open(encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    messages = (data / "sms-spam" / "SMSSpamCollection").read_text(encoding="utf-8", errors="replace")
    texts += [line.partition("\t")[2] for line in messages.splitlines()]
    texts = [text for text in texts if len(normalize(text).split()) >= 4]
    return [texts[row] for row in _RANDOM.permutation(len(texts))[:number]]


def scores(
    name: str, natural: np.ndarray, found: np.ndarray, number: int, kept: np.ndarray | None = None
) -> list[Result]:
    """Recall of the pairs (i, number + i) and precision: pairs of originals that they did not form alone are wrong."""
    joined = clusters(2 * number, found)
    hits = joined[:number] == joined[number:]
    origins = np.sort(found % number, axis=1)
    known = clusters(number, natural)
    right = known[origins[:, 0]] == known[origins[:, 1]]
    recall = float(hits.mean() if kept is None else hits[kept].mean())
    return [
        Result(f"{name}: recall", recall, "", _GOAL),
        Result(f"{name}: precision", float(right.mean()) if len(right) else 1.0, "", _GOAL),
    ]


def of_images(data: Path | None, number: int) -> list[Result]:
    images = read_images(data, number)
    base = [signed(encoded(image, 95)) for image in images]
    natural = near_images(np.stack(base))
    results = [Result("images: pairs among the originals", len(natural), "pairs")]
    for name, (change, quality) in IMAGES.items():
        note(f"images, {name}")
        twins = [signed(encoded(change(image), quality)) for image in images]
        results += scores(f"images, {name}", natural, near_images(np.stack(base + twins)), len(base))
    return results


def of_texts(data: Path | None, number: int) -> list[Result]:
    texts = read_texts(data, number)
    words = sorted({part for text in texts for part in text.lower().split()})
    natural = near_texts(texts)
    long = np.array([len(normalize(text).split()) >= 9 for text in texts])
    results = [Result("texts: pairs among the originals", len(natural), "pairs")]
    kinds = []
    for name, edit in TEXTS.items():
        note(f"texts, {name}")
        found = near_texts(texts + [edit(text, words) for text in texts])
        kinds.append(scores(f"texts, {name}", natural, found, len(texts)))
        if name == "word changed":
            results += scores(f"texts of 9 words or more, {name}", natural, found, len(texts), long)[:1]
    for place, what in enumerate(("recall", "precision")):
        mean = float(np.mean([of_kind[place].value for of_kind in kinds]))
        results.append(Result(f"texts, all edits: {what}", mean, "", _GOAL))
    return results + [result for of_kind in kinds for result in of_kind]


# Parts of a column's standard deviation; two rows are near up to 0.005 of it between the 1 and 99 % quantiles.
JITTERS = (0.001, 0.004)


def read_tables(number: int) -> dict[str, pa.Table]:
    """A mixed table of 14 columns, some values missing, and the 30 measurements of scikit-learn's breast cancer."""
    from sklearn.datasets import load_breast_cancer

    with tempfile.TemporaryDirectory() as folder:
        write_table(Path(folder, "rows.csv"), number)
        mixed = pyarrow.csv.read_csv(Path(folder, "rows.csv")).drop_columns("label")
    found = load_breast_cancer()
    measured = pa.table({str(name): column for name, column in zip(found.feature_names, found.data.T, strict=True)})
    return {"mixed": mixed, "measurements": measured}


def jittered(table: pa.Table, jitter: float) -> pa.Table:
    """Every fraction moved by up to so many standard deviations of its column."""
    for place, field in enumerate(table.schema):
        if pa.types.is_floating(field.type):
            values = table[field.name].to_numpy()
            moved = values + jitter * np.nanstd(values) * _RANDOM.uniform(-1, 1, len(values))
            table = table.set_column(place, field.name, pa.array(moved, from_pandas=True))
    return table


def near_rows(table: pa.Table) -> np.ndarray:
    """Pairs of near rows, as `pipeline.data.twins.find` looks for them."""
    numeric = [field.name for field in table.schema if not pa.types.is_string(field.type)]
    columns = {field.name: table[field.name] for field in table.schema}
    table = pa.table(columns | {name: table[name].cast(pa.float64()) for name in numeric})
    grid = Grid.fit(table, numeric, [name for name in columns if name not in numeric])
    keys = grid.keys(table.combine_chunks().to_batches()[0])

    def fetch(rows: np.ndarray, names: Sequence[str]) -> np.ndarray:
        return np.stack([table[name].to_numpy()[rows] for name in names], axis=1)

    return grid.near(distinct_pairs(*map(groups_of_equal, keys.T)), fetch)


def of_tables(number: int) -> list[Result]:
    results = []
    for name, table in read_tables(number).items():
        natural = near_rows(table)
        results.append(Result(f"{name} table: pairs among the originals", len(natural), "pairs"))
        for jitter in JITTERS:
            note(f"{name} table, jitter {jitter}")
            found = near_rows(pa.concat_tables([table, jittered(table, jitter)]))
            results += scores(f"{name} table, jitter {jitter}", natural, found, len(table))
    return results


def seconds(number: int) -> list[Result]:
    """Of so many signatures and texts, all different."""
    signatures = _RANDOM.integers(0, 256, (number, len(signed(encoded(Image.new("L", (320, 240)), 90)))), np.uint8)
    # The last eight bytes are the size of the image: not small.
    signatures[:, -8:].view(np.uint32)[:] = 320
    started = time.perf_counter()
    near_images(signatures)
    of_signatures = time.perf_counter() - started
    texts = read_texts(None, number)
    started = time.perf_counter()
    near_texts(texts)
    return [
        Result(f"{number:,} signatures", of_signatures, "s", "<= 20"),
        Result(f"{number:,} texts", time.perf_counter() - started, "s", "<= 60"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="100 images, 500 texts, 5,000 of each for the time")
    parser.add_argument(
        "--data", type=Path, help="a folder with flowers/, banking77/ and sms-spam/; else generated data"
    )
    arguments = parser.parse_args()
    num_images, num_texts, num_timed = (100, 500, 5_000) if arguments.short else (800, 5_000, 60_000)
    results = of_images(arguments.data, num_images) + of_texts(arguments.data, num_texts) + of_tables(num_texts)
    report("near_twins", results + seconds(num_timed))


if __name__ == "__main__":
    main()
