"""Asks a SavedModel in a process that knows only TensorFlow: `python -I fresh_process.py`.

Run by path, never imported. Reads three lines from standard input: MODEL, ROWS.npz and OUT.npz. ROWS holds raw
columns by argument name; OUT gets every output for all rows at once (`batch/NAME`) and for the first rows one
at a time (`single/NAME`).
"""

import sys

import numpy as np
import tensorflow as tf

SINGLE_ROWS = 8


def main(model_path: str, rows_path: str, out_path: str) -> None:
    """Loads, asks, writes."""
    model = tf.saved_model.load(model_path)
    serve = model.signatures["serving_default"]
    rows = np.load(rows_path, allow_pickle=True)
    specs = serve.structured_input_signature[1]
    columns = {name: tf.constant(rows[name].tolist(), specs[name].dtype) for name in rows.files}
    num_rows = len(rows[rows.files[0]])
    batch = {name: value.numpy() for name, value in serve(**columns).items()}
    singles = [
        serve(**{name: value[row : row + 1] for name, value in columns.items()})
        for row in range(min(SINGLE_ROWS, num_rows))
    ]
    found = {f"batch/{name}": value for name, value in batch.items()}
    found |= {f"single/{name}": np.concatenate([single[name].numpy() for single in singles]) for name in batch}
    if any(name.split(".")[0] == "pipeline" for name in sys.modules):
        raise SystemExit("the package was imported: this process proves nothing")
    np.savez(out_path, **found)


if __name__ == "__main__":
    main(*(sys.stdin.readline().rstrip("\n") for _ in range(3)))
