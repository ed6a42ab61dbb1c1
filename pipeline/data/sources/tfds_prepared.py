"""Where a prepared TFDS data set lies; how one comes to lie there. Only a download touches the network."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from pipeline.data import tfds_builders
from pipeline.errors import DataError, did_you_mean

# name, /config, :version
_NAME = re.compile(r"([a-zA-Z]\w*)(?:/([\w.+-]+))?(?::(\d+\.\d+\.\d+))?")
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


def prepared(dataset: str, data_dir: str, *, download: bool) -> Path:
    """The folder that holds a prepared data set; one of our own is generated if it is not there yet.

    Args:
      dataset: `name`, `name/config`, either with `:version` (else the newest), or the folder itself.
      data_dir: the folder below which TFDS keeps `name/config/version/`.
      download: whether what is not there may be downloaded and prepared by TFDS.

    Raises:
      DataError: it is not there, is incomplete, or cannot be made.
    """
    folder = Path(dataset)
    found = folder if _is_whole(folder) else _newest(folder, None)
    if found is not None:
        return found
    match = _NAME.fullmatch(dataset)
    if match is None:
        raise DataError(
            f'"{dataset}" is neither a folder with prepared TFDS data nor a name.',
            expected='a folder with dataset_info.json and features.json, or a name like "mnist" or "glue/cola:2.0.0"',
            fix=_there_is(dataset, data_dir),
        )
    name, config, version = match.groups()
    found = _below(Path(data_dir) / name, config, version)
    if found is None and name in tfds_builders.names() and config is None:
        found = _generated(name, data_dir, version)
    if found is None and download:
        found = _downloaded(dataset, data_dir)
    if found is None:
        raise DataError(
            f'The TFDS data set "{dataset}" is not prepared below {data_dir}.',
            expected=f"{Path(data_dir, name, config or '', version or 'VERSION')} with its files",
            fix=f"Set source.download = true, or copy prepared data there. {_there_is(name, data_dir)}",
        )
    return found


def prepared_below(data_dir: str) -> list[str]:
    """The names of the prepared data sets in a folder, in order: `name/config:version`."""
    whole = {file.parent for depth in (2, 3) for file in Path(data_dir).glob("*/" * depth + "features.json")}
    versions = [folder for folder in whole if _is_whole(folder) and _VERSION.fullmatch(folder.name)]
    return sorted(f"{folder.parent.relative_to(data_dir).as_posix()}:{folder.name}" for folder in versions)


def _there_is(name: str, data_dir: str) -> str:
    known = [*prepared_below(data_dir), *tfds_builders.names()]
    return f"{did_you_mean(name, known)}Without a download there are: {', '.join(dict.fromkeys(known))}."


def _is_whole(folder: Path) -> bool:
    """TFDS writes into `incomplete.*` and renames, so these two are there together with the data."""
    return (folder / "dataset_info.json").is_file() and (folder / "features.json").is_file()


def _newest(folder: Path, version: str | None) -> Path | None:
    if not folder.is_dir():
        return None
    versions = [(match, child) for child in folder.iterdir() if (match := _VERSION.fullmatch(child.name))]
    versions.sort(key=lambda pair: tuple(map(int, pair[0].groups())))
    whole = [child for _, child in versions if version in (None, child.name) and _is_whole(child)]
    return whole[-1] if whole else None


def _below(folder: Path, config: str | None, version: str | None) -> Path | None:
    """The version asked for, of the config asked for; without one, of the default config or of the only one."""
    if config is not None:
        return _newest(folder / config, version)
    found = _newest(folder, version)
    if found is not None or not folder.is_dir():
        return found
    configs = {child.name: path for child in sorted(folder.iterdir()) if (path := _newest(child, version))}
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        default = json.loads((folder / ".config" / "metadata.json").read_text())["default_config_name"]
        if default in configs:
            return configs[default]
    if len(configs) > 1:
        raise DataError(
            f"{folder} holds several configs.",
            expected=f"one of {', '.join(f'{folder.name}/{name}' for name in configs)}",
        )
    return next(iter(configs.values()), None)


def _generated(name: str, data_dir: str, version: str | None) -> Path | None:
    """Generates a data set of our own. TFDS' bars and sayings are kept back: it takes about a second."""
    with _quiet():
        builder = tfds_builders.builder(name, Path(data_dir))
        if version not in (None, str(builder.version)):
            return None
        try:
            builder.download_and_prepare()
        except Exception as error:
            # Another process may have been quicker: then the rename at the end fails.
            found = _newest(Path(data_dir, name), version)
            if found is None and isinstance(error, OSError):
                raise DataError(
                    f"{name} cannot be generated below {data_dir}: {error}", expected="a folder that can be written"
                ) from error
            if found is None:
                raise
    return Path(builder.data_dir)


def _downloaded(dataset: str, data_dir: str) -> Path:
    # Lines that TensorFlow writes when TFDS loads it to encode images.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow_datasets as tfds

    try:
        with _patience(), contextlib.redirect_stdout(sys.stderr):
            builder = tfds.builder(dataset, data_dir=data_dir, try_gcs=False)
            builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    except tfds.core.registered.DatasetNotFoundError as error:
        known = tfds.list_builders(with_community_datasets=False)
        raise DataError(
            f'TFDS {tfds.__version__} knows no data set "{dataset}".',
            expected="a name from https://www.tensorflow.org/datasets/catalog",
            fix=did_you_mean(dataset, known).strip() or None,
        ) from error
    except Exception as error:  # whatever one of 445 builders, their servers or the disk come up with
        raise DataError(
            f'TFDS cannot download and prepare "{dataset}": {_first_line(error)}',
            expected=f"access to the network, and room below {data_dir}",
            fix="Try again later, or copy data there that were prepared elsewhere.",
        ) from error
    return Path(builder.data_dir)


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """Five tries, within 3 s, and not eleven: TFDS needs seven minutes to find out that there is no network."""
    from tensorflow_datasets.core.download import downloader

    usual, downloader.MAX_RETRIES = downloader.MAX_RETRIES, 4
    try:
        yield
    finally:
        downloader.MAX_RETRIES = usual


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
