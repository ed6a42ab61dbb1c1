"""TensorFlow's first import, without the lines it writes about this machine before its log level is read."""

from __future__ import annotations

import logging
import os
import sys
import tempfile


def import_tensorflow() -> None:
    """Imports TensorFlow, if that has not happened yet. What it writes is shown only where the import fails.

    `TF_CPP_MIN_LOG_LEVEL` silences what comes later; the first lines come from native code before that, so
    they are caught at the level of the file descriptor.
    """
    if "tensorflow" in sys.modules:
        return
    # What it writes from Python, such as that functions are traced again for every trial.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            import tensorflow  # noqa: F401
        except BaseException:
            said.seek(0)
            os.write(kept, said.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
