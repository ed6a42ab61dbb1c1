"""A search as TensorBoard's HParams dashboard shows it: a session a trial."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import RunError
from pipeline.report.tuning_axes import Axis, axes_of
from pipeline.report.tuning_files import finite, read_results


def write_hparams(directory: Path) -> Path:
    """Writes tensorboard/, for `tensorboard --logdir`: hyperparameters, validation loss by epoch, and the score.

    TensorFlow is not loaded: the events are TensorBoard's own messages, in its own record format. What can only be
    written as text in TensorBoard, as tables and mixed choices, is written as JSON.

    Args:
      directory: with trials.json, tuning.json and best.json.

    Returns:
      The folder of logs; an older one is replaced.

    Raises:
      RunError: a file is missing or damaged, or the logs cannot be written.
    """
    results = read_results(directory)
    axes = axes_of(results.space, results.trials)
    # No trial has a date of its own; the last ended when the file was written.
    ended = (directory / "trials.json").stat().st_mtime
    target, partial = directory / "tensorboard", directory / "tensorboard.partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        _write(partial, [(ended, 0, _experiment(axes, ended))])
        for trial in results.trials:
            _write(partial / f"trial-{trial['number']:04d}", _session(trial, axes, ended))
        shutil.rmtree(target, ignore_errors=True)
        os.replace(partial, target)
    except OSError as error:
        raise RunError(
            f"{target} cannot be written: {error.strerror}.", fix="Check the folder and the space that is left."
        ) from None
    return target


def _experiment(axes: Sequence[Axis], ended: float) -> Any:
    """What was searched, and which numbers to show."""
    from tensorboard.plugins.hparams import summary_v2

    metrics = [
        summary_v2.Metric("score", display_name="score", description="The lowest validation loss of all epochs."),
        summary_v2.Metric("val_loss", display_name="validation loss", dataset_type=summary_v2.Metric.VALIDATION),
        summary_v2.Metric("seconds", display_name="seconds", description="The trial's share of its population's time."),
    ]
    hparams = [summary_v2.HParam(axis.key, _domain(axis), display_name=axis.name) for axis in axes]
    return summary_v2.hparams_config_pb(hparams, metrics, time_created_secs=ended)


def _domain(axis: Axis) -> Any:
    from tensorboard.plugins.hparams import summary_v2

    if not axis.choices:
        return summary_v2.RealInterval(axis.low, axis.high)
    values = [json.loads(choice) for choice in axis.choices]
    return summary_v2.Discrete([float(value) for value in values] if axis.is_ordered else list(map(_text, values)))


def _session(trial: Mapping[str, Any], axes: Sequence[Axis], ended: float) -> Iterator[tuple[float, int, Any]]:
    """(seconds since 1970, step, summary) of one trial, in order."""
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2, summary_v2
    from tensorboard.plugins.scalar.summary_v2 import scalar_pb

    seconds, history, score = finite(trial.get("seconds")) or 0.0, trial.get("history") or [], finite(trial["score"])
    started = ended - seconds
    values = {axis.key: value for axis in axes if (value := _value(axis, trial["overrides"])) is not None}
    yield started, 0, summary_v2.hparams_pb(values, trial_id=f"trial {trial['number']}", start_time_secs=started)
    for epoch, loss in enumerate(history):
        if loss is not None:
            yield started + seconds * (epoch + 1) / len(history), epoch + 1, scalar_pb("val_loss", loss)
    if score is not None:
        yield ended, len(history), scalar_pb("score", score)
    yield ended, len(history), scalar_pb("seconds", seconds)
    status = api_pb2.STATUS_FAILURE if score is None else api_pb2.STATUS_SUCCESS
    end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=ended)
    summary = type(scalar_pb("end", 0.0))()
    summary.value.add(
        tag=metadata.SESSION_END_INFO_TAG,
        metadata=metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(session_end_info=end)),
        tensor=metadata.NULL_TENSOR,
    )
    yield ended, len(history), summary


def _value(axis: Axis, overrides: Mapping[str, Any]) -> float | str | None:
    """As the domain has it; None: the trial does not have the key, or another kind of value than a range has."""
    if axis.key not in overrides:
        return None
    value = overrides[axis.key]
    return _text(value) if axis.choices and not axis.is_ordered else finite(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _write(directory: Path, events: Sequence[tuple[float, int, Any]] | Iterator[tuple[float, int, Any]]) -> None:
    """One file of events."""
    from tensorboard.compat.proto import event_pb2
    from tensorboard.summary.writer.record_writer import RecordWriter

    directory.mkdir(parents=True)
    # TensorBoard looks for the middle of this name.
    with open(directory / "events.out.tfevents.0000000000.tuning", "wb") as file:
        writer = RecordWriter(file)
        writer.write(event_pb2.Event(wall_time=0.0, file_version="brain.Event:2").SerializeToString())
        for seconds, step, summary in events:
            event = event_pb2.Event(wall_time=seconds, step=step, summary=summary)
            writer.write(event.SerializeToString())
