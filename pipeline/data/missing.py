"""How missing values are spelled in text."""

from __future__ import annotations

MISSING = ("", "?", "nan", "NaN", "NAN")
