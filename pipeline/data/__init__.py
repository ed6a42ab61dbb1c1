"""Everything from bytes to batches. Importing it costs nothing; its parts are imported when they are first asked for.

Example:
  >>> from pipeline import data
  >>> splits = data.prepare(data.sources.ScikitLearn("iris"))
  >>> len(splits.train) + len(splits.validation) + len(splits.test)
  150
"""

from __future__ import annotations

import importlib
from typing import Any

# Name -> the module that holds it; None: a room of its own.
_PUBLIC = {
    "augment": None,
    "make_eval": "input_pipeline",
    "make_train": "input_pipeline",
    "prepare": "splits",
    "sources": None,
    "split": None,
    "Splits": "splits",
    "transforms": None,
}
__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_PUBLIC[name] or name}")
    return module if _PUBLIC[name] is None else getattr(module, name)
