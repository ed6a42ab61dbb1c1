"""A published model on a file of rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from pipeline.data.images import probe
from pipeline.data.schema import BadValue, Feature, Schema, convert
from pipeline.data.sources import Csv, Parquet
from pipeline.data.sources.image_folder import ENDINGS
from pipeline.errors import ConfigError, DataError, did_you_mean
from pipeline.export.publish import latest
from pipeline.export.saved_model import ABOUT
from pipeline.progress import Reporter
from pipeline.runs import read_json, translate_os_errors

_BATCH_ROWS = 4096
_IMAGE_BATCH_ROWS = 64


def predict(saved_model: Path, rows: Path, output: Path | None, reporter: Reporter) -> pa.Table:
    """Asks a published model.

    Args:
      saved_model: `saved_models/NAME`, of which the highest version is taken, or one version.
      rows: CSV, TSV or Parquet with the model's columns, in any order and among others; for an image model
        also an image, or a folder of images.
      output: CSV, TSV or Parquet to write; None: nothing is written.
      reporter: for progress.

    Returns:
      The rows with the answers: `label` and `probability_<class>`, or `prediction`.

    Raises:
      DataError: a column is missing or a value does not fit, or an image cannot be read.
      ExportError: there is no such model.
      ConfigError: the output's ending is not known.
    """
    import tensorflow as tf

    version = latest(saved_model)
    about = read_json(version / ABOUT)
    writer = None if output is None else _writer(output)
    model = tf.saved_model.load(str(version))  # bound to a name: otherwise it is collected before it is asked
    serve = model.signatures["serving_default"]
    answered = []
    with reporter.bar("rows answered") as advance:
        for batch, first_row, locate in _batches(rows, about):
            columns = _raw(batch, about, first_row, locate)
            arguments = {
                column["argument"]: tf.constant(columns[column["name"]], column["dtype"]) for column in about["columns"]
            }
            try:
                outputs = {name: value.numpy() for name, value in serve(**arguments).items()}
            except tf.errors.InvalidArgumentError as error:
                _name_bad_image(columns, batch, about)
                raise DataError(f"{rows}: the model refuses these rows: {error.message[:200]}") from error
            answered.append(_answer(batch, outputs, about))
            advance(batch.num_rows)
    table = pa.Table.from_batches(answered)
    if writer is not None and output is not None:
        with translate_os_errors(output):
            writer(table, output)
    return table


def _batches(rows: Path, about: dict[str, Any]) -> Iterator[tuple[pa.RecordBatch, int, Any]]:
    images = [column["name"] for column in about["columns"] if column["kind"] == "image"]
    size = _IMAGE_BATCH_ROWS if images else _BATCH_ROWS
    if images and (rows.is_dir() or rows.suffix.lower() in ENDINGS):
        files = sorted(path for path in rows.rglob("*") if path.suffix.lower() in ENDINGS) if rows.is_dir() else [rows]
        if not files:
            raise DataError(f"{rows} holds no images.", expected=", ".join(ENDINGS))
        table = pa.table({images[0]: [str(file) for file in files]})
        yield from ((batch, 0, lambda row: str(rows)) for batch in table.to_batches(max_chunksize=size))
        return
    source = Parquet(str(rows)) if rows.suffix.lower() in (".parquet", ".pq") else Csv(str(rows))
    first_row = 0
    for large in source.batches():
        for start in range(0, large.num_rows, size):
            yield large.slice(start, size), first_row + start, source.locate
        first_row += large.num_rows


def _raw(batch: pa.RecordBatch, about: dict[str, Any], first_row: int, locate: Any) -> dict[str, Any]:
    names = batch.schema.names
    for column in about["columns"]:
        if column["name"] not in names:
            raise DataError(
                f'The rows have no column "{column["name"]}", which the model needs.',
                expected=f"the columns {', '.join(known['name'] for known in about['columns'])}",
                fix=did_you_mean(column["name"], names).strip() or None,
            )
    features = tuple(Feature(column["name"], column["kind"]) for column in about["columns"])
    try:
        typed = convert(batch, Schema(features[1:], features[0]))
    except BadValue as bad:
        raise DataError(
            f'{locate(first_row + bad.row)}, column "{bad.column}": "{bad.value}" is not a number.', expected="a number"
        ) from None
    found: dict[str, Any] = {}
    for column in about["columns"]:
        values = typed.column(column["name"])
        if column["kind"] == "numeric":
            with np.errstate(over="ignore"):
                found[column["name"]] = np.asarray(values.to_numpy(zero_copy_only=False), np.float64).astype(
                    column["dtype"]
                )
        elif column["kind"] == "categorical":
            found[column["name"]] = pc.fill_null(values, "").to_pylist()
        else:
            found[column["name"]] = [_image_bytes(value) for value in values.to_pylist()]
    return found


def _name_bad_image(columns: dict[str, Any], batch: pa.RecordBatch, about: dict[str, Any]) -> None:
    """The decoder does not say which image it refused."""
    for column in about["columns"]:
        if column["kind"] == "image":
            for path, encoded in zip(batch.column(column["name"]).to_pylist(), columns[column["name"]], strict=True):
                probe(path if isinstance(path, str) else encoded)


def _image_bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return Path(str(value)).read_bytes()
    except OSError as error:
        raise DataError(
            f"The image {value} cannot be read: {error.strerror}.", expected="a path to a JPEG or PNG"
        ) from error


def _answer(batch: pa.RecordBatch, outputs: dict[str, np.ndarray], about: dict[str, Any]) -> pa.RecordBatch:
    columns = {name: column for name, column in zip(batch.schema.names, batch.columns, strict=True) if name.strip()}
    columns = {name: column for name, column in columns.items() if not pa.types.is_binary(column.type)}
    if "prediction" in outputs:
        columns["prediction"] = pa.array(outputs["prediction"])
    else:
        labels = outputs["label"]
        # The input may hold a column "label" with the truth in it, which must not be overwritten.
        name = "label" if "label" not in columns else "predicted_label"
        columns[name] = pa.array(labels if labels.dtype.kind == "i" else [label.decode() for label in labels])
        for place, known in enumerate(about["classes"]):
            columns[f"probability_{known}"] = pa.array(outputs["probabilities"][:, place])
    return pa.RecordBatch.from_pydict(columns)


def _writer(output: Path) -> Any:
    ending = output.suffix.lower()
    if ending in (".parquet", ".pq"):
        return lambda table, path: pq.write_table(table, path)
    if ending in (".csv", ".tsv"):
        options = pa.csv.WriteOptions(delimiter="\t" if ending == ".tsv" else ",", quoting_style="needed")
        return lambda table, path: pa.csv.write_csv(table, path, options)
    raise ConfigError(f"The output {output} has an unknown ending.", expected=".csv, .tsv or .parquet")
