"""Lines of JSON objects as a record batch: by Arrow where all is well, line by line where it is not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from pipeline.data.sources.json_types import TAGS, Column, Keys, fitted, items, parse_line
from pipeline.data.sources.source import Place, Reject

# Arrow 25 takes a line `null` for a row of nulls, and if it is the first one, ends the process.
_NO_OBJECT = re.compile(rb"\n[^{]")
_ARROW_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Rows:
    """The rows of some lines.

    Attributes:
      batch: the rows.
      lines: int64 [rows]: the line of each, from 1.
      rejects: what is no row.
    """

    batch: pa.RecordBatch
    lines: np.ndarray
    rejects: tuple[Reject, ...] = ()


def parse_block(block: bytes, first_line: int, columns: tuple[Column, ...], file: str) -> Rows:
    """The rows in a block of whole lines.

    Args:
      block: lines in UTF-8.
      first_line: the number of the first of them.
      columns: see `columns_of_objects`; every batch has these.
      file: for rejects.
    """
    table = _by_arrow(block, columns)
    if table is None:
        return _by_line(block, first_line, columns, file)
    (batch,) = table.combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], table.schema)]
    return Rows(batch, np.arange(first_line, first_line + batch.num_rows))


def _by_arrow(block: bytes, columns: tuple[Column, ...]) -> pa.Table | None:
    """None where Arrow cannot be asked, refuses, or might read something else than stands there."""
    block = block.rstrip()
    if any(column.parsed is None for column in columns) or not block.startswith(b"{") or _NO_OBJECT.search(block):
        return None
    try:
        block.decode()  # Arrow does not look
        table = pa.json.read_json(
            pa.BufferReader(block),
            read_options=pa.json.ReadOptions(block_size=_ARROW_BLOCK_BYTES),
            parse_options=pa.json.ParseOptions(explicit_schema=_nested(columns), unexpected_field_behavior="error"),
        ).flatten()
        found = {column.name: _cast(table.column(column.name), column) for column in columns}
    except (pa.ArrowException, UnicodeDecodeError):
        return None
    # Two objects on a line, or blank lines, would put every later row on a wrong line.
    if table.num_rows != block.count(b"\n") + 1 or None in found.values():
        return None
    return pa.table(found)


def _by_line(block: bytes, first_line: int, columns: tuple[Column, ...], file: str) -> Rows:
    by_path = {column.path: column for column in columns}
    rows: list[dict[str, Any]] = []
    lines: list[int] = []
    rejects: list[Reject] = []
    for number, line in enumerate(block.split(b"\n"), start=first_line):
        if not line.strip():
            continue
        expected = "one JSON object a line"
        try:
            value = parse_line(line)
            expected = "the keys and the types of the first lines"
            rows.append(_row(value, by_path))
            lines.append(number)
        except ValueError as error:
            shown = line[:200].decode(errors="replace").strip()
            rejects.append(Reject(Place(file, number), shown, str(error), expected))
    schema = pa.schema([(column.name, column.type) for column in columns])
    return Rows(pa.RecordBatch.from_pylist(rows, schema), np.array(lines, np.int64), tuple(rejects))


def _row(value: dict[str, Any], columns: dict[Keys, Column]) -> dict[str, Any]:
    """The values by column. ValueError: one does not fit, or has no column."""
    whole = {key for key, found in value.items() if isinstance(found, dict) and (key,) in columns}
    row = {key: fitted(value[key], columns[(key,)]) for key in whole}
    for path, found in items({key: found for key, found in value.items() if key not in whole}):
        if path in columns:
            row[columns[path].name] = fitted(found, columns[path])
        elif found is not None:
            raise ValueError(f'the key "{".".join(path)}" is in none of the first lines, which tell the columns')
    return row


def _nested(columns: tuple[Column, ...]) -> pa.Schema:
    """The columns as objects within objects, for Arrow."""
    fields: dict[str, Any] = {}
    for column in columns:
        if len(column.path) == 1:
            fields[column.path[0]] = column.parsed
        else:
            fields.setdefault(column.path[0], []).append((column.path[1], column.parsed))
    return pa.schema([(name, pa.struct(kind) if isinstance(kind, list) else kind) for name, kind in fields.items()])


def _cast(values: pa.ChunkedArray, column: Column) -> pa.ChunkedArray | None:
    """None: a list holds null, which only Python leaves out."""
    if column.type == TAGS and pc.list_flatten(values).null_count:
        return None
    return values if values.type == column.type else pc.cast(values, column.type)
