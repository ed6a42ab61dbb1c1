"""`python -m benchmarks` prints the name of every benchmark, one a line."""

from __future__ import annotations

from pathlib import Path

for path in sorted(Path(__file__).parent.glob("*.py")):
    if not path.name.startswith("_") and "--short" in path.read_text():
        print(path.stem)
