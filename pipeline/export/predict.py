"""A published model on a file of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from pipeline.data.convert import convert
from pipeline.data.schema import Feature, Schema
from pipeline.data.sources import Arrow, Csv, JsonLines, Parquet
from pipeline.data.sources.image_folder import ENDINGS
from pipeline.data.sources.source import Source, refuse
from pipeline.errors import ConfigError, DataError, did_you_mean
from pipeline.export.publish import latest
from pipeline.export.published import ABOUT
from pipeline.export.raw import raw_column
from pipeline.progress import Reporter
from pipeline.runs import read_json, translate_os_errors

_BATCH_ROWS = 4096
_IMAGE_BATCH_ROWS = 64


def predict(saved_model: Path, rows: Path, output: Path | None, reporter: Reporter) -> pa.Table:
    """Asks a published model.

    Args:
      saved_model: `saved_models/NAME`, of which the highest version is taken, or one version.
      rows: a CSV, TSV, JSON lines, Parquet or Arrow file with the model's columns, among others; for an image model
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
    # Paths of images in a table begin beside it, as in training.
    folder = None if rows.is_dir() or rows.suffix.lower() in ENDINGS else rows.absolute().parent
    with reporter.bar("rows answered") as advance:
        for batch, place_of in _batches(rows, about):
            columns = _raw(batch, about, place_of, folder)
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


_SOURCES: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys((".parquet", ".pq"), Parquet),
    **dict.fromkeys((".arrow", ".arrows", ".feather", ".ipc"), Arrow),
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), JsonLines),
}


def _batches(rows: Path, about: dict[str, Any]) -> Iterator[tuple[pa.RecordBatch, Callable[[int], str]]]:
    """Rows to ask about, and where each row of the batch stands, for people."""
    images = [column["name"] for column in about["columns"] if column["kind"] == "image"]
    size = _IMAGE_BATCH_ROWS if images else _BATCH_ROWS
    if images and (rows.is_dir() or rows.suffix.lower() in ENDINGS):
        files = sorted(path for path in rows.rglob("*") if path.suffix.lower() in ENDINGS) if rows.is_dir() else [rows]
        if not files:
            raise DataError(f"{rows} holds no images.", expected=", ".join(ENDINGS))
        table = pa.table({images[0]: [str(file) for file in files]})
        yield from ((batch, lambda row: str(rows)) for batch in table.to_batches(max_chunksize=size))
        return
    ending = rows.with_suffix("").suffix if rows.suffix.lower() == ".gz" else rows.suffix
    source = _SOURCES.get(ending.lower(), Csv)(str(rows))
    first_row = 0
    for large in source.batches(refuse):
        for start in range(0, large.num_rows, size):
            yield large.slice(start, size), partial(_place, source, first_row + start)
        first_row += large.num_rows


def _place(source: Source, first_row: int, row: int) -> str:
    return str(source.places([first_row + row])[0])


def _raw(
    batch: pa.RecordBatch, about: dict[str, Any], place_of: Callable[[int], str], folder: Path | None
) -> dict[str, np.ndarray]:
    names = batch.schema.names
    for column in about["columns"]:
        if column["name"] not in names:
            raise DataError(
                f'The rows have no column "{column["name"]}", which the model needs.',
                expected=f"the columns {', '.join(known['name'] for known in about['columns'])}",
                fix=did_you_mean(column["name"], names).strip() or None,
            )
    features = tuple(Feature(column["name"], column["kind"]) for column in about["columns"])
    typed, bad = convert(batch, Schema(features[1:], features[0]), folder)
    if bad:
        raise DataError(f'{place_of(bad[0].row)}, column "{bad[0].column}": "{bad[0].value}" is {bad[0].reason}.')
    return {
        column["name"]: raw_column(
            typed.column(column["name"]),
            column["dtype"],
            is_image=column["kind"] == "image",
            separator=column.get("separator", "|"),
        )
        for column in about["columns"]
    }


def _name_bad_image(columns: dict[str, np.ndarray], batch: pa.RecordBatch, about: dict[str, Any]) -> None:
    """The decoder does not say which image it refused, so each is tried again alone."""
    import tensorflow as tf

    for column in about["columns"]:
        if column["kind"] != "image":
            continue
        for row, image in enumerate(columns[column["name"]]):
            try:
                if image:
                    tf.io.decode_image(image, expand_animations=False)
            except tf.errors.InvalidArgumentError as error:
                value = batch.column(column["name"])[row].as_py()
                name = value if isinstance(value, str) else f'The image in "{column["name"]}"'
                raise DataError(
                    f"{name} cannot be decoded: {error.message.split(' [Op:')[0]}", expected="a whole JPEG or PNG"
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
