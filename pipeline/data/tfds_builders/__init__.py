"""TFDS builders of our own, by name: a builder `digits` is a package `digits/` with a `digits_dataset_builder.py`.

They make their data from what is installed, so that nothing is downloaded; `pipeline.data.sources.Tfds` reads them.
"""

from __future__ import annotations

import importlib
import importlib.resources.abc
import importlib.util
from pathlib import Path
from typing import Any


def file_format() -> str:
    """ArrayRecord, which needs no TensorFlow to be written, where TFDS installs it (on Linux); else TFRecord.

    Not Parquet: TFDS 4.9.10 writes the first 100 rows of a file, and of the next ones every second, third, ... hundred.
    """
    return "array_record" if importlib.util.find_spec("array_record") else "tfrecord"


def names() -> tuple[str, ...]:
    """The builders that there are.

    >>> names()
    ('optical_digits',)
    """
    here = Path(__file__).parent
    return tuple(sorted(file.parent.name for file in here.glob("*/*_dataset_builder.py")))


def builder(name: str, data_dir: Path) -> Any:
    """A builder of ours: a `tfds.core.GeneratorBasedBuilder` that has generated nothing yet.

    Args:
      name: one of `names()`.
      data_dir: the folder below which it writes `NAME/VERSION/`.
    """
    module = importlib.import_module(f"{__name__}.{name}.{name}_dataset_builder")
    return module.Builder(data_dir=str(data_dir), file_format=file_format())
