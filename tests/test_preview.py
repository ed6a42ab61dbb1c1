"""The preview shows what really happens: raw values, stored ones, and what the feed makes of them."""

from __future__ import annotations

import doctest
import importlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from pipeline import inspection
from pipeline.config import Config, load_config
from pipeline.data.in_short import raw_text
from pipeline.data.preview import Column, Part, Preview, Step
from pipeline.data.row_trace import Line, Trace
from pipeline.errors import ConfigError
from pipeline.preview_table import show_preview
from pipeline.progress import silent
from tests.helpers import image_folder, mixed_rows, write_csv

AUGMENT = '[{name = "Shift", fraction = 0.2}, "Flip", {name = "MixUp", alpha = 1.0}]'


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Config:
    folder = tmp_path_factory.mktemp("table")
    write_csv(folder / "mixed.csv", mixed_rows())
    (folder / "mixed.toml").write_text('source = "mixed.csv"\nlabel = "income"\n[train]\nbatch_size = 32\n')
    return load_config(folder / "mixed.toml", [f'runs = "{folder / "runs"}"'])


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Config:
    folder = tmp_path_factory.mktemp("photos")
    image_folder(folder / "photos")
    (folder / "photos.toml").write_text(f'source = "photos"\n[train]\nbatch_size = 8\naugment = {AUGMENT}\n')
    return load_config(folder / "photos.toml", [f'runs = "{folder / "runs"}"'])


def feed_of(config: Config) -> Any:
    from pipeline.model_steps import train_batches

    return train_batches(config, inspection.prepared(config, silent())["prepare"]).feed


def test_raw_values_are_those_of_the_file(table: Config) -> None:
    seen = inspection.preview(table, silent(), rows=5).preview
    lines = [row for row in mixed_rows() if row["split"] == "train"]
    columns = {column.name: column for column in seen.columns}

    assert len(seen.rows) == 5
    for place, row in enumerate(seen.rows):
        line = lines[row]
        assert columns["größe"].raw[place] == line["größe"]
        assert columns["colour"].raw[place] == line["colour"].strip().replace("?", "")
        hours = columns["hours-per-week"].raw[place]
        assert (
            hours == "" if line["hours-per-week"] in ("", "?", "NaN") else float(hours) == float(line["hours-per-week"])
        )
        assert seen.labels[place] == line["income"]


def test_encoded_values_are_those_of_the_transforms(table: Config) -> None:
    """By another way: the transform called on the raw value, not the store."""
    import pyarrow as pa

    from pipeline.data.transforms import Transforms
    from pipeline.runs import read_json

    seen = inspection.preview(table, silent(), rows=20).preview
    made = inspection.prepared(table, silent())
    fitted = dict(Transforms.from_json(read_json(made["prepare"] / "transforms.json")).features)
    for column in seen.columns:
        raw = [value or None for value in column.raw]
        values = pa.array([value and float(value) for value in raw] if column.kind == "numeric" else raw)
        values = values.cast(pa.float64() if column.kind == "numeric" else pa.string())
        for text, expected in zip(column.encoded, fitted[column.name](values), strict=True):
            assert [float(value) for value in text.split()] == pytest.approx(expected.tolist(), rel=1e-3), column.name


def test_the_steps_end_with_the_batch_that_is_trained_on(photos: Config) -> None:
    feed = feed_of(photos)
    for epoch in (0, 3):
        seen = inspection.preview(photos, silent(), epoch=epoch).preview
        features, label = next(iter(feed.dataset(epoch + 1, first_step=epoch * feed.steps_per_epoch)))

        assert [step.name.split("(")[0] for step in seen.steps] == ["gather", "Shift", "Flip", "MixUp"]
        assert seen.steps[-1].parts == (Part.of("image", features["image"].numpy()), Part.of("label", label.numpy()))
        assert list(seen.rows) == feed.rows(epoch * feed.steps_per_epoch)[:3].tolist()


def test_labels_are_classes_until_they_are_mixed(photos: Config) -> None:
    steps = inspection.preview(photos, silent()).preview.steps
    dtypes = [{part.name: part.dtype for part in step.parts}["label"] for step in steps]

    assert dtypes == ["int32", "int32", "int32", "float32"]
    mixed = [text for text in inspection.preview(photos, silent(), rows=8).preview.labels if " + " in text]
    assert mixed
    for text in mixed:
        shares = [float(part.split()[0]) for part in text.split(" + ")]
        assert sum(shares) == pytest.approx(1, abs=0.011)
        assert {part.split()[1] for part in text.split(" + ")} == {"dark", "light"}


@given(st.integers(0, 27), st.integers(0, 50))
@settings(max_examples=8, deadline=None)
def test_a_traced_row_is_the_row_of_that_epoch(photos: Config, row: int, epoch: int) -> None:
    """Found in the batch of its epoch, wherever it stands there."""
    from pipeline.data.row_trace import trace
    from pipeline.inspection import _parts_of

    feed, transforms, _ = _parts_of(photos, inspection.prepared(photos, silent()))
    steps = range(epoch * feed.steps_per_epoch, (epoch + 1) * feed.steps_per_epoch)
    step = next(step for step in steps if row in feed.rows(step))
    features, label = next(iter(feed.dataset(epoch + 1, first_step=step)))
    place = feed.rows(step).tolist().index(row)
    image = features["image"].numpy()[place]

    found = {line.name: line for line in trace(feed, transforms, row, epoch).lines}

    assert found["image"].values[-1].endswith(f"{image.min()} to {image.max()}")
    dark = float(label.numpy()[place][0])
    assert f"{dark:.2f} dark" in found["label"].values[-1] or dark < 0.005
    assert found["image"].changed[0] == 0


def test_an_operation_without_effect_is_told_from_one_with(photos: Config) -> None:
    augment = '[{name = "Shift", fraction = 0.0}, {name = "Flip", fraction = 1.0}]'
    calm = load_config_again(photos, f"train.augment = {augment}")
    found = inspection.preview(calm, silent(), row=3, epoch=7).trace

    assert found is not None
    image = next(line for line in found.lines if line.name == "image")
    assert image.changed[1] == 0
    assert image.changed[2] > 0.2


def test_weights_of_classes_are_shown(table: Config) -> None:
    weighted = load_config_again(table, 'train.class_weight = "balanced"')
    seen = inspection.preview(weighted, silent(), rows=6).preview
    by_class = dict(zip(seen.labels, seen.sample_weights or (), strict=True))

    assert len(by_class) == 2
    assert by_class["<=50K"] != by_class[">50K"]
    assert list(seen.sample_weights or ()) == [by_class[label] for label in seen.labels]


def test_the_sheet_shows_the_stored_pictures_and_then_every_epoch(photos: Config, tmp_path: Path) -> None:
    from pipeline.data.pictures import pictures
    from pipeline.inspection import _parts_of

    feed, transforms, _ = _parts_of(photos, inspection.prepared(photos, silent()))
    drawn = pictures(feed, transforms, [5, 9], range(3))
    stored = feed.store[np.array([5, 9])]["image"]

    assert [len(line) for line in drawn] == [4, 4]
    for line, pixels in zip(drawn, stored, strict=True):
        assert (line[0].pixels == pixels).all()
        assert line[0].title.split(": ")[1] in ("dark", "light")
        assert any((line[place].pixels != line[place + 1].pixels).any() for place in (1, 2))
    seen = inspection.preview(photos, silent(), rows=2, sheet=True, sheet_path=tmp_path / "new" / "sheet.png")
    assert seen.sheet is not None
    with Image.open(seen.sheet) as sheet:
        assert sheet.width > 2 * sheet.height
        assert np.asarray(sheet.convert("L")).std() > 10  # something is drawn


def test_what_cannot_be_shown_is_refused(table: Config) -> None:
    with pytest.raises(ConfigError, match="no column of this run holds images"):
        inspection.preview(table, silent(), sheet=True)
    with pytest.raises(ConfigError, match="--row is 180, but train has 180 rows"):
        inspection.preview(table, silent(), row=180)
    with pytest.raises(ConfigError, match="--rows is 0"):
        inspection.preview(table, silent(), rows=0)
    with pytest.raises(ConfigError, match="--epoch -1"):
        inspection.preview(table, silent(), epoch=-1)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["CONFIG", "--images"], "preview.png"),
        (["--images", "CONFIG"], "preview.png"),
        (["CONFIG", "--images", "--rows", "2"], "preview.png"),
        (["CONFIG", "--images", "my sheet.PNG"], "my sheet.PNG"),
        (["CONFIG"], None),
    ],
)
def test_images_stands_alone_or_with_a_file(
    photos: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: str | None
) -> None:
    from pipeline.cli import app

    monkeypatch.chdir(tmp_path)
    config = Path(photos.source.arguments["path"]).with_name("photos.toml")
    given = [str(config) if argument == "CONFIG" else argument for argument in arguments]
    done = CliRunner().invoke(app, ["preview", *given, "--json", "--quiet", "--set", f'runs="{photos.runs}"'])

    assert done.exit_code == 0, done.output
    sheet = json.loads(done.stdout.splitlines()[-1])["sheet"]
    assert (sheet and Path(sheet).name) == expected
    assert sheet is None or Path(sheet).is_file()


def test_names_cannot_paint_the_terminal() -> None:
    nasty = '[bold]x[/] \x1b[31m\n"'
    column = Column(nasty, "numeric", "numeric", nasty, (nasty,), ("1",))
    part = Part.of("numeric", np.array([[1.0]], np.float32))
    preview = Preview(0, (4,), 9, (column,), (Step(nasty, (part,)),), (nasty,), (2.0,))
    trace = Trace(4, 0, ("gather", nasty), (Line(nasty, "numeric", ("1", "2"), (0.0, 1.0)),))
    out = io.StringIO()
    for seen in (inspection.Seen(preview), inspection.Seen(preview, trace)):
        show_preview(seen, Console(file=out, highlight=False))

    assert "\x1b" not in out.getvalue()
    assert "[bold]x[/]" in out.getvalue()


def test_a_part_without_values_has_no_range() -> None:
    empty = Part.of("bags", np.empty((3, 0), np.int32))

    assert empty.shape == (3, 0)
    assert np.isnan(empty.mean)


@given(st.text(max_size=500))
def test_raw_text_is_never_long(text: str) -> None:
    assert len(raw_text(text)) <= 200


@pytest.mark.parametrize("name", ["data.in_short", "data.layout", "data.preview", "report.picture_sheet"])
def test_examples_run(name: str) -> None:
    found = doctest.testmod(importlib.import_module(f"pipeline.{name}"))

    assert found.attempted
    assert not found.failed


def load_config_again(config: Config, *overrides: str) -> Config:
    """The same run with other keys."""
    path = Path(config.source.arguments["path"])
    return load_config(path.with_name(f"{config.name}.toml"), [f'runs = "{config.runs}"', *overrides])
