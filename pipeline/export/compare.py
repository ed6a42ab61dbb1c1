"""The gate before publishing.

The SavedModel, in a process of its own, must answer raw rows as the trained model answers the prepared ones.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from pipeline.errors import ExportError


class FreshProcess:
    """A process that knows only TensorFlow, see `fresh_process.py`; it starts while the model is still being written.

    Example:
      with FreshProcess() as process:
          ...
          outputs = process.ask(saved_model, columns)
    """

    def __enter__(self) -> FreshProcess:
        """Starts it; TensorFlow's import takes some seconds."""
        script = Path(__file__).with_name("fresh_process.py")
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        return self

    def __exit__(self, *_: object) -> None:
        """Ends it, whether it was asked or not."""
        self._process.kill()
        self._process.communicate()

    def ask(self, saved_model: Path, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by `batch/NAME` and `single/NAME`, for raw columns by argument name.

        Raises:
          ExportError: the process failed; with the end of what it said.
        """
        with tempfile.TemporaryDirectory() as folder:
            rows, out = Path(folder, "rows.npz"), Path(folder, "out.npz")
            np.savez(rows, **columns)  # type: ignore[arg-type]
            _, said = self._process.communicate("\n".join(map(str, (saved_model, rows, out))) + "\n")
            if self._process.returncode != 0:
                raise ExportError(
                    f"The SavedModel does not answer in a fresh process: {said.strip()[-800:]}",
                    expected="a model that needs nothing but TensorFlow",
                )
            with np.load(out, allow_pickle=True) as found:
                return dict(found)


def largest_difference(found: dict[str, np.ndarray], expected: dict[str, np.ndarray], tolerance: float) -> float:
    """Compares outputs.

    Args:
      found: of `ask_in_fresh_process`.
      expected: output name -> what the trained model answers, [rows, ...].
      tolerance: largest difference allowed, absolute and relative to the expected value.

    Returns:
      The largest absolute difference of a numeric output.

    Raises:
      ExportError: an output differs by more, or a label is not the most probable class.
    """
    largest = 0.0
    for key, values in found.items():
        _, _, name = key.partition("/")
        wanted = expected[name][: len(values)]
        if values.dtype.kind == "f":
            if not np.isfinite(values).all():
                raise ExportError(
                    f'The model answers "{name}" with numbers that are not finite.',
                    expected="finite numbers for every row",
                    fix="The training went wrong: look at its losses, and try a lower learning rate.",
                )
            largest = max(largest, float(np.max(np.abs(values - wanted), initial=0.0)))
            equal = bool(np.all(np.isclose(values, wanted, rtol=tolerance, atol=tolerance)))
        else:
            # Two classes within the tolerance may change places; any other label must be the same.
            top = np.sort(expected["probabilities"][: len(values)], axis=1)
            clear = top[:, -1] - top[:, -2] > 2 * tolerance
            equal = bool(np.all(_text(values)[clear] == _text(wanted)[clear]))
        if not equal:
            raise ExportError(
                f'The SavedModel and the trained model differ in "{key}" (by up to {largest:g}).',
                expected=f"differences below {tolerance:g} (export.tolerance)",
                fix="This is skew between training and serving: do not publish; please report it.",
            )
    return largest


def _text(values: np.ndarray) -> np.ndarray:
    return np.asarray([value.decode() if isinstance(value, bytes) else str(value) for value in values.tolist()], object)
