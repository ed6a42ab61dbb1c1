"""Before any test imports TensorFlow: only its errors are shown."""

from __future__ import annotations

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
