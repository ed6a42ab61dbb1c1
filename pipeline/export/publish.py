"""Published models: `saved_models/<name>/<version>/`, counted up as TensorFlow Serving expects, whole or absent."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import ExportError
from pipeline.export.published import ABOUT, versions
from pipeline.runs import publish_directory, read_json, translate_os_errors

_TEMPORARY = ".tmp-"


@contextlib.contextmanager
def new_version(directory: Path, fingerprint: str) -> Iterator[Path]:
    """Gives a temporary directory; at the end it becomes the next version, unless an exception passes.

    Args:
      directory: `saved_models/<name>`.
      fingerprint: of the export; kept in the version's manifest, so that the same export is published once.
    """
    temporary = directory / f"{_TEMPORARY}{os.getpid()}"
    try:
        with translate_os_errors(directory):
            for litter in directory.glob(f"{_TEMPORARY}*"):
                shutil.rmtree(litter, ignore_errors=True)
            temporary.mkdir(parents=True)
            yield temporary
            version = max(versions(directory), default=0) + 1
            publish_directory(temporary, directory / str(version), {"fingerprint": fingerprint})
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def published(directory: Path, fingerprint: str) -> Path | None:
    """The version that was published under this fingerprint: a process may have died right after publishing it."""
    for version in sorted(versions(directory), reverse=True):
        with contextlib.suppress(OSError, ValueError):
            if read_json(directory / str(version) / "manifest.json").get("fingerprint") == fingerprint:
                return directory / str(version)
    return None


def latest(path: Path) -> Path:
    """The SavedModel at a path: itself, or its highest version.

    Raises:
      ExportError: there is none, or it was not exported by this package.
    """
    if (path / "saved_model.pb").exists():
        found = path
    elif existing := versions(path):
        found = path / str(max(existing))
    else:
        raise ExportError(f"{path} holds no SavedModel.", expected="saved_models/NAME or saved_models/NAME/VERSION")
    if not (found / ABOUT).exists():
        raise ExportError(f"{found} has no {ABOUT}.", expected="a SavedModel exported by pipeline")
    return found
