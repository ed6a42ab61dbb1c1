"""Typed files that make one table: the same columns in each, and one type a column."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import DataError, did_you_mean


def flat_schema(schema: pa.Schema, file: Path) -> pa.Schema:
    """The columns of a file, with structures as dotted columns: `address.city`.

    Raises:
      DataError: a name stands there twice.
    """
    table = schema.remove_metadata().empty_table()
    while any(pa.types.is_struct(kind) for kind in table.schema.types):
        table = table.flatten()
    names = table.column_names
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataError(
            f'{file}: the column "{repeated[0]}" stands there twice.',
            expected="a name of its own for every column",
            fix="Rename or remove one of them.",
        )
    return table.schema


def common_schema(files: Sequence[Path], schemas: Sequence[pa.Schema]) -> pa.Schema:
    """The columns of the first file, in types that hold the values of every file.

    Whole numbers beside fractions become float64; types that have nothing in common become text.

    Args:
      files, schemas: of equal length; the schemas as from `flat_schema`.

    Raises:
      DataError: a file lacks a column, or has one more; or types that not even text can hold.

    Example:
      >>> schemas = [pa.schema({"a": pa.int32()}), pa.schema({"a": pa.float32()})]
      >>> common_schema([Path("1.parquet"), Path("2.parquet")], schemas).field("a").type
      DataType(double)
    """
    first, fields = schemas[0], {field.name: field for field in schemas[0]}
    for file, schema in zip(files[1:], schemas[1:], strict=True):
        check_same_columns(files[0], first.names, file, schema.names)
        for field in schema:
            if fields[field.name].type != field.type:
                fields[field.name] = _wider(fields[field.name], field, files[0], file)
    return pa.schema(list(fields.values()))


def check_same_columns(first: Path, expected: Sequence[str], file: Path, names: Sequence[str]) -> None:
    """Refuses files that differ in their columns; the order may differ.

    Raises:
      DataError: with the file and the column.
    """
    listed = f"the columns of {first}: {', '.join(expected[:30])}"
    for name in (name for name in expected if name not in names):
        hint = did_you_mean(name, set(names) - set(expected)).strip()
        raise DataError(f'{file} has no column "{name}", which {first} has.', expected=listed, fix=hint or None)
    for name in (name for name in names if name not in expected):
        raise DataError(f'{file} has a column "{name}", which {first} has not.', expected=listed)


def check_values(batch: pa.RecordBatch) -> None:
    """Refuses text that is not UTF-8 and offsets that point outside: Arrow believes what a file says of its values.

    Raises:
      pa.ArrowInvalid: a wrong offset would later end the process.
    """
    batch.validate(full=True)


def as_schema(batch: pa.RecordBatch, schema: pa.Schema, file: Path) -> pa.RecordBatch:
    """A batch with its structures flattened, its columns in the order and the types of a schema.

    Raises:
      DataError: a value is out of the range of its column's type.
    """
    table = pa.Table.from_batches([batch])
    while any(pa.types.is_struct(kind) for kind in table.schema.types):
        table = table.flatten()
    columns = []
    for field in schema:
        column = table.column(field.name).combine_chunks()
        columns.append(column if column.type == field.type else _cast(column, field, file))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _cast(column: pa.Array, field: pa.Field, file: Path) -> pa.Array:
    try:
        # What float64 cannot hold to the last digit is rounded, as everywhere in numeric columns.
        return pc.cast(column, field.type, safe=not pa.types.is_floating(field.type))
    except pa.ArrowInvalid as error:
        raise DataError(
            f'{file}, column "{field.name}": its values do not fit {field.type}, its type over all files: {error}',
            fix="Write the column with one type in all files.",
        ) from error


def _wider(left: pa.Field, right: pa.Field, first: Path, file: Path) -> pa.Field:
    try:
        fields = [pa.schema([field.with_nullable(True)]) for field in (left, right)]
        return pa.unify_schemas(fields, promote_options="permissive").field(0)
    except pa.ArrowTypeError:
        pass
    try:
        for field in (left, right):
            pc.cast(pa.nulls(1, field.type), pa.string())
    except pa.ArrowException as error:
        raise DataError(
            f'The column "{left.name}" is of type {left.type} in {first} and of type {right.type} in {file}.',
            expected="types that have something in common",
            fix="Write the column with one type in all files.",
        ) from error
    return pa.field(left.name, pa.string())
