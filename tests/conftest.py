"""Before any test imports TensorFlow: only its errors are shown."""

from __future__ import annotations

import os

from hypothesis import settings

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

# How long one example takes is also what else the machine does: the other half of the tests.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")
