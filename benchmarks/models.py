"""The default models trained by `training.fit`, beside the same layers in plain Keras trained by `Model.fit`."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks import models_data
from benchmarks.models_contest import Contest
from benchmarks.models_sparse import of_sparse
from benchmarks.report import Result, report


def of_tables(folder: Path, short: bool) -> Contest:
    """TabM on ten numbers and four categories."""
    import keras

    from benchmarks import models_plain
    from pipeline.models import tabm
    from pipeline.training.optimizers import AdamW

    rows = models_data.table(1_280 if short else 12_800)
    return Contest(
        "tables", rows, folder / "tables",
        lambda: tabm(rows.spec),
        lambda ours: models_plain.table(rows.spec, ours.output_shape[1]),
        (AdamW(), lambda: keras.optimizers.AdamW(1e-3, weight_decay=1e-2)),
        models_plain.ensemble_loss, batch_size=256, goal=1.5,
    )  # fmt: skip


def of_text(folder: Path, short: bool, data: Path | None) -> Contest:
    """A bag of hashed n-grams, of questions in 77 classes."""
    import keras

    from benchmarks import models_plain
    from pipeline.models import text_bag
    from pipeline.training.optimizers import Adagrad

    rows = models_data.texts(1_024 if short else 9_984, data)
    return Contest(
        "text", rows, folder / "text",
        lambda: text_bag(rows.spec),
        lambda ours: models_plain.text(rows.spec, ours.get_layer("bag_0").width),
        (Adagrad(0.3), lambda: keras.optimizers.Adagrad(0.3)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True), batch_size=256, goal=1.5,
    )  # fmt: skip


def of_images(folder: Path, short: bool, data: Path | None) -> Contest:
    """A residual convnet on grey images of 28x28."""
    import keras

    from benchmarks import models_plain
    from pipeline.models import convnet
    from pipeline.training.optimizers import AdamW

    rows = models_data.images(512 if short else 5_120, data)
    return Contest(
        "images", rows, folder / "images",
        lambda: convnet(rows.spec),
        lambda ours: models_plain.images(rows.spec),
        (AdamW(), lambda: keras.optimizers.AdamW(1e-3, weight_decay=1e-2)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True), batch_size=128, goal=1.0,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=["tables", "text", "images", "sparse"],
        help="this part; may be given several times",
    )  # fmt: skip
    parser.add_argument("--short", action="store_true", help="a tenth of the rows, each side once")
    parser.add_argument("--data", type=Path, help="a folder with banking77/ and fashion-mnist/; default: made rows")
    parser.add_argument("--repetitions", type=int, metavar="N", help="rounds that count; default: 5")
    arguments = parser.parse_args()
    times, short, data = arguments.repetitions or (1 if arguments.short else 5), arguments.short, arguments.data
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        parts: dict[str, Callable[[], list[Result]]] = {
            "tables": lambda: of_tables(folder, short).results(times),
            "text": lambda: of_text(folder, short, data).results(times),
            "images": lambda: of_images(folder, short, data).results(times),
            "sparse": lambda: of_sparse(times, short),
        }
        report("models", [result for name in arguments.only or parts for result in parts[name]()])


if __name__ == "__main__":
    main()
