"""What a column can be. The types are those of the stored rows, see `pipeline.data.schema`."""

from __future__ import annotations

from typing import Literal, get_args

Kind = Literal["numeric", "categorical", "image", "text", "datetime", "tags"]

KINDS: tuple[Kind, ...] = get_args(Kind)
