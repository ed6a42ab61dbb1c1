"""A page of the report: from its template to the disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.errors import RunError


def template(name: str, **filters: Callable[..., Any]) -> Any:
    """A Jinja2 template of this room; what it is given is escaped, and what it lacks is an error.

    Args:
      name: of the file.
      filters: by name, besides Jinja2's own.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    return environment.get_template(name)


def save_page(path: Path, page: str) -> None:
    """Whole or not at all.

    Raises:
      RunError: it cannot be written.
    """
    try:
        partial = path.with_name(f"{path.name}.partial")
        partial.write_text(page, encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        raise RunError(
            f"{path} cannot be written: {error.strerror}.", fix="Check the folder and the space that is left."
        ) from None
