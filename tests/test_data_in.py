"""Data in, by the command line: what `init` finds, what `run` reports and leaves, for every source and every check."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import os
import re
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from pipeline.cli import main
from pipeline.config import load_config
from pipeline.data.sides import NO_SIDE, TEST, TRAIN, VALIDATION
from pipeline.runs import read_json
from tests.helpers import image_folder, sets, write_csv

Rows = list[dict[str, str]]


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def stages(self) -> dict[str, Path]:
        """Stage -> directory, of a run with --json."""
        return {stage["stage"]: Path(stage["directory"]) for stage in json.loads(self.out.splitlines()[-1])["stages"]}

    @property
    def sides(self) -> np.ndarray:
        return np.load(self.stages["split"] / "sides.npy")

    @property
    def warnings(self) -> list[str]:
        return re.findall(r"warning: (.*)", self.err)


def pipeline(folder: Path, *arguments: str) -> Done:
    """`pipeline ARGUMENTS` in a folder, in this process: importing TensorFlow once is enough."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    environment = {"COLUMNS": "2000"}  # so that no line is broken
    with (
        contextlib.chdir(folder),
        mock.patch.dict(os.environ, environment),
        mock.patch.object(sys, "argv", ["pipeline", *arguments]),
    ):
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main()
            except SystemExit as error:
                code = int(error.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


def good(done: Done) -> Done:
    assert done.code == 0, done.out + done.err
    return done


def prepared(folder: Path, *overrides: str, config: str = "c.toml") -> Done:
    """`run --until prepare`, which must succeed."""
    return good(pipeline(folder, "run", config, "--until", "prepare", "--json", *sets(*overrides)))


def init(folder: Path, path: str, *arguments: str) -> Done:
    return good(pipeline(folder, "init", path, "--output", "c.toml", *arguments))


def rentals(num_rows: int = 400) -> Rows:
    """As the bike-sharing table: what is to be predicted is the sum of two columns."""
    random = np.random.default_rng(0)
    rows = []
    for number in range(num_rows):
        hour, temperature = number % 24, random.normal(15, 8)
        casual = int(random.poisson(4 + max(temperature, 0) * (8 < hour < 20)))
        registered = int(random.poisson(20 + 60 * (hour in (8, 17))))
        values = {
            "hr": hour,
            "temp": f"{temperature:.2f}",
            "casual": casual,
            "registered": registered,
            "cnt": casual + registered,
        }
        rows.append({name: str(value) for name, value in values.items()})
    return rows


@pytest.fixture
def bikes(tmp_path: Path) -> Path:
    write_csv(tmp_path / "bikes.csv", rentals())
    init(tmp_path, "bikes.csv", "--label", "cnt")
    return tmp_path


def test_the_parts_of_the_label_are_a_leak_and_named(bikes: Path) -> None:
    (line,) = [line for line in prepared(bikes).warnings if "leak" in line]
    assert '"casual"' in line
    assert '"registered"' in line
    assert '"temp"' not in line


def test_a_leak_stops_the_run_if_it_shall(bikes: Path) -> None:
    done = pipeline(bikes, "run", "c.toml", "--until", "prepare", *sets('checks.leak="stop"'))
    assert done.code == 3
    assert re.search(r'error: leak.*"casual".*"registered"', done.err)
    assert "features.drop" in done.err
    done = prepared(bikes, 'checks.leak="stop"', 'features.drop=["casual", "registered"]')
    assert not [line for line in done.warnings if "leak" in line]


def test_a_column_declared_as_known_after_is_a_leak_whatever_it_holds(bikes: Path) -> None:
    overrides = ('features.known_after=["temp"]', 'features.drop=["casual"]')
    lines = [line for line in prepared(bikes, *overrides).warnings if "leak" in line]
    assert any('"temp" is declared to be known after "cnt"' in line for line in lines)
    assert read_json(prepared(bikes, *overrides).stages["prepare"] / "leaks.json")[0]["features"] == ["temp"]


def messages(num: int) -> list[tuple[str, str]]:
    """(class, sentence) of random words, some with a lone quotation mark."""
    random = np.random.default_rng(1)
    words = np.asarray(
        [f"{first}{second}" for first in "bcdfghklmn" for second in ("ado", "ist", "ule", "erp", "ong", "ax")]
    )
    found = []
    for number in range(num):
        sentence = " ".join(random.choice(words, 18))
        spam = number % 4 == 0
        found.append(
            ("spam" if spam else "ham", f"{'WIN ' if spam else ''}{sentence}{chr(34) if number % 9 == 0 else ''}")
        )
    return found


def test_messages_without_header_and_quoting_keep_their_twins_on_one_side(tmp_path: Path) -> None:
    rows = messages(200)
    exact = [(number, 200 + number) for number in range(12)]
    near = [(50 + number, 212 + number) for number in range(12)]
    rows += [rows[number] for number, _ in exact]
    rows += [(rows[number][0], rows[number][1].replace(rows[number][1].split()[7], "hello", 1)) for number, _ in near]
    (tmp_path / "SMSSpamCollection").write_text("".join(f"{kind}\t{text}\n" for kind, text in rows))

    init(tmp_path, "SMSSpamCollection", "--label", "column_1")
    source = load_config(tmp_path / "c.toml").source.arguments
    assert {key: source[key] for key in ("delimiter", "header", "quoting")} == {
        "delimiter": "\t",
        "header": False,
        "quoting": False,
    }

    done = prepared(tmp_path)
    assert "12 rows repeat the features of an earlier one" in done.err
    assert "each cluster is kept on one side" in done.err
    with pa.ipc.open_file(done.stages["split"] / "manifest.arrow") as reader:
        manifest = reader.read_all()
    cluster, side = np.asarray(manifest["cluster"]), np.asarray(manifest["side"])
    assert len(cluster) == len(rows)
    for first, second in [*exact, *near]:
        assert cluster[first] == cluster[second] == first, rows[first]
        assert side[first] == side[second]
    naive = read_json(done.stages["split"] / "twins.json")["naive_split"]
    assert naive["with_a_twin_in_train"] > 0, "a split by rows would have leaked"


@pytest.mark.parametrize("split", ["Group", "StratifiedGroup"])
def test_no_patient_is_on_two_sides(tmp_path: Path, split: str) -> None:
    random = np.random.default_rng(2)
    subjects = random.permutation(np.repeat(np.arange(30), 8))
    rows = [{"subject#": str(who), "jitter": f"{random.normal():.4f}", "status": str(who % 3 // 2)} for who in subjects]
    write_csv(tmp_path / "voices.csv", rows)
    init(tmp_path, "voices.csv", "--label", "status")
    done = prepared(tmp_path, f'split={{name = "{split}", column = "subject#"}}')
    sides = done.sides
    assert all(len(set(sides[subjects == who])) == 1 for who in range(30))
    assert {TRAIN, VALIDATION, TEST} == set(sides.tolist())
    schema = read_json(done.stages["ingest"] / "schema.json")
    assert [feature["name"] for feature in schema["features"]] == ["jitter"], "the group is no feature"


TABLE: Rows = [
    {"age": f"{20 + row * 7 % 50}", "colour": ["red", "green", "blue"][row % 3], "y": "yes" if row % 5 < 2 else "no"}
    for row in range(120)
]


def table(start: int = 0, stop: int = 120) -> pa.Table:
    rows = [{**row, "age": int(row["age"])} for row in TABLE[start:stop]]
    return pa.Table.from_pylist(rows)


def as_text(rows: Rows, delimiter: str = ",", header: bool = True) -> str:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=delimiter)
    if header:
        writer.writerow(rows[0])
    writer.writerows(row.values() for row in rows)
    return buffer.getvalue()


def a_csv(folder: Path) -> str:
    (folder / "rows.csv").write_text(as_text(TABLE))
    return "rows.csv"


def a_csv_with_semicolons(folder: Path) -> str:
    (folder / "rows.csv").write_text(as_text(TABLE, ";"))
    return "rows.csv"


def a_tsv(folder: Path) -> str:
    (folder / "rows.tsv").write_text(as_text(TABLE, "\t"))
    return "rows.tsv"


def a_packed_csv(folder: Path) -> str:
    (folder / "rows.csv.gz").write_bytes(gzip.compress(as_text(TABLE).encode()))
    return "rows.csv.gz"


def a_csv_without_header(folder: Path) -> str:
    (folder / "rows.data").write_text(as_text(TABLE, header=False))
    return "rows.data"


def json_lines(folder: Path) -> str:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in table().to_pylist()))
    return "rows.jsonl"


def parquet(folder: Path) -> str:
    pq.write_table(table(), folder / "rows.parquet", row_group_size=50)
    return "rows.parquet"


def feather(folder: Path) -> str:
    pa.feather.write_feather(table(), str(folder / "rows.feather"))
    return "rows.feather"


def many_files(folder: Path) -> str:
    (folder / "logs").mkdir()
    for number in range(4):
        (folder / "logs" / f"{number}.csv").write_text(as_text(TABLE[number * 30 : number * 30 + 30]))
    return "logs/*.csv"


def a_folder_of_files(folder: Path) -> str:
    return many_files(folder).removesuffix("/*.csv")


def train_and_test(folder: Path) -> str:
    (folder / "set").mkdir()
    (folder / "set" / "train.csv").write_text(as_text(TABLE[:90]))
    (folder / "set" / "test.csv").write_text(as_text(TABLE[90:]))
    return "set"


def images(folder: Path) -> str:
    image_folder(folder / "photos", 20)
    return "photos"


def image_list(folder: Path) -> str:
    image_folder(folder / "data" / "photos", 20)
    files = sorted((folder / "data" / "photos").rglob("*.*"))
    rows = [{"file": str(file.relative_to(folder / "data")), "y": file.parent.name} for file in files]
    write_csv(folder / "data" / "list.csv", rows)
    return "data/list.csv"


def texts(folder: Path) -> str:
    for number, (kind, text) in enumerate(messages(60)):
        (folder / "mails" / kind).mkdir(parents=True, exist_ok=True)
        (folder / "mails" / kind / f"{number}.txt").write_text(text)
    return "mails"


def arrays(folder: Path) -> str:
    random = np.random.default_rng(3)
    labels = np.arange(120) % 3
    np.savez(folder / "rows.npz", x=random.normal(size=(120, 4)) + labels[:, None], y=labels)
    return "rows.npz"


def idx(folder: Path) -> str:
    (folder / "mnist").mkdir()
    random = np.random.default_rng(4)
    for name, num in (("train", 90), ("t10k", 30)):
        labels = (np.arange(num) % 3).astype(np.uint8)
        pixels = (random.integers(0, 80, (num, 8, 8)) + 80 * labels[:, None, None]).astype(np.uint8)
        images = struct.pack(">4B3I", 0, 0, 8, 3, *pixels.shape) + pixels.tobytes()
        (folder / "mnist" / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
        (folder / "mnist" / f"{name}-labels-idx1-ubyte").write_bytes(
            struct.pack(">4BI", 0, 0, 8, 1, num) + labels.tobytes()
        )
    return "mnist"


def a_tfds_folder(folder: Path) -> str:
    from pipeline.data.sources import Tfds
    from pipeline.data.sources.source import refuse

    next(Tfds("optical_digits", data_dir=str(folder / "tfds")).batches(refuse))  # prepares it
    (info,) = (folder / "tfds").rglob("dataset_info.json")
    return str(info.parent.relative_to(folder))


# How it is made, the label to name or None, rows, kinds of the features.
SOURCES: dict[str, tuple[Any, str | None, int, set[str]]] = {
    "csv": (a_csv, "y", 120, {"numeric", "categorical"}),
    "semicolons": (a_csv_with_semicolons, None, 120, {"numeric", "categorical"}),
    "tsv": (a_tsv, "y", 120, {"numeric", "categorical"}),
    "gzip": (a_packed_csv, "y", 120, {"numeric", "categorical"}),
    "no header": (a_csv_without_header, "column_3", 120, {"numeric", "categorical"}),
    "json lines": (json_lines, "y", 120, {"numeric", "categorical"}),
    "parquet": (parquet, "y", 120, {"numeric", "categorical"}),
    "feather": (feather, "y", 120, {"numeric", "categorical"}),
    "pattern": (many_files, "y", 120, {"numeric", "categorical"}),
    "folder of files": (a_folder_of_files, "y", 120, {"numeric", "categorical"}),
    "train and test": (train_and_test, "y", 120, {"numeric", "categorical"}),
    "image folder": (images, None, 40, {"image"}),
    "image list": (image_list, "y", 40, {"image"}),
    "text folder": (texts, None, 60, {"text"}),
    "npz": (arrays, None, 120, {"numeric"}),
    "idx": (idx, None, 120, {"image"}),
    "tfds": (a_tfds_folder, None, 1797, {"image"}),
}


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_goes_from_init_to_prepared_stores(tmp_path: Path, name: str) -> None:
    make, label, num_rows, kinds = SOURCES[name]
    path = make(tmp_path)
    init(tmp_path, path, *(["--label", label] if label else []))
    done = prepared(tmp_path)
    schema = read_json(done.stages["ingest"] / "schema.json")
    assert {feature["kind"] for feature in schema["features"]} == kinds
    assert len(done.sides) == num_rows
    spec = read_json(done.stages["prepare"] / "spec.json")
    assert spec["task"] in ("binary", "multiclass")
    for side, place in ((TRAIN, "train"), (VALIDATION, "validation"), (TEST, "test")):
        stored = read_json(done.stages["prepare"] / place / "store.json")["num_rows"]
        assert stored == int((done.sides == side).sum()) > 0
    # The schema that init wrote fits the data that it was written for.
    assert not [line for line in done.warnings if "schema" in line]
    assert not pq.read_table(done.stages["ingest"] / "quarantine.parquet").num_rows


def test_an_image_of_a_list_that_changed_is_read_again(tmp_path: Path) -> None:
    image_list(tmp_path)
    init(tmp_path, "data/list.csv", "--label", "y")
    before = prepared(tmp_path).stages["ingest"]
    assert prepared(tmp_path).stages["ingest"] == before
    first, second, *_ = sorted((tmp_path / "data" / "photos").rglob("*.*"))
    first.write_bytes(second.read_bytes())
    assert prepared(tmp_path).stages["ingest"] != before


def test_published_sides_are_kept(tmp_path: Path) -> None:
    train_and_test(tmp_path)
    init(tmp_path, "set", "--label", "y")
    done = prepared(tmp_path)
    test_first = [row["y"] for row in TABLE[90:] + TABLE[:90]]  # files come in the order of their names
    assert len(test_first) == len(done.sides)
    assert (done.sides[:30] == TEST).all()
    assert not (done.sides[30:] == TEST).any()


def test_rows_that_come_while_they_are_read_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_csv(tmp_path)
    (tmp_path / "growing.py").write_text(
        "from pipeline.data.sources import Csv\n\n\n"
        "class Growing(Csv):\n"
        "    def typed_batches(self, *arguments):\n"
        "        yield from super().typed_batches(*arguments)\n"
        "        with open(self.path, 'a') as handle:\n"
        "            handle.write('33,red,no\\n')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "c.toml").write_text('source = { name = "growing:Growing", path = "rows.csv" }\nlabel = "y"\n')
    done = pipeline(tmp_path, "run", "c.toml", "--until", "ingest")
    assert done.code == 3
    assert "changed while it was read" in done.err
    assert not list(tmp_path.rglob("rows.arrow"))


def test_init_writes_both_files_or_none(tmp_path: Path) -> None:
    a_csv(tmp_path)
    (tmp_path / "c.toml").mkdir()
    done = pipeline(tmp_path, "init", "rows.csv", "--output", "c.toml", "--force")
    assert done.code == 7
    assert "c.toml cannot be written" in done.err
    assert {path.name for path in tmp_path.iterdir()} == {"rows.csv", "c.toml"}
    assert pipeline(tmp_path, "init", "rows.csv", "--output", ".").code == 2


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "rows.csv")
    done = pipeline(tmp_path, "init", "rows.csv")
    assert done.code == 3
    assert "rows.csv is a pipe" in done.err


def test_scikit_learn_by_name(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('source = { name = "ScikitLearn", dataset = "iris" }\n')
    assert len(prepared(tmp_path).sides) == 150


def mixed(folder: Path, num_rows: int = 120) -> None:
    """A table with a column of every kind, each of which knows something of the label."""
    random = np.random.default_rng(5)
    image_folder(folder / "photos", num_rows // 2)
    files = {kind: sorted((folder / "photos" / kind).iterdir()) for kind in ("dark", "light")}
    sentences = [text for _, text in messages(num_rows)]
    rows = []
    for row in range(num_rows):
        yes = row % 2
        rows.append(
            {
                "amount": f"{random.normal(3 * yes, 1):.3f}",
                "visits": str(int(random.poisson(3 + 4 * yes))),
                "member": ["false", "true"][int(random.random() < 0.2 + 0.6 * yes)],
                "colour": ["red", "green", "blue"][int(random.integers(0, 2)) + yes],
                "since": f"2026-{1 + (row * 5 + 6 * yes) % 12:02d}-{1 + row % 28:02d}T{row % 24:02d}:30:00",
                "note": ("thanks a lot " if yes else "please call back ") + sentences[row].replace('"', ""),
                "topics": ["jazz|live", "rock", "rock|live", "folk|jazz"][int(random.integers(0, 2)) + 2 * yes],
                "photo": str(files[["dark", "light"][yes]][row // 2].relative_to(folder)),
                "bought": ["no", "yes"][yes],
            }
        )
    write_csv(folder / "mixed.csv", rows)


SHORT = (
    "tune.trials=0",
    "train.epochs=6",
    "train.batch_size=32",
    "train.learning_rate=0.01",
    "model.width=16",
    "prepare.image_size=[8, 8]",
)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the mixed table and a model of it."""
    folder = tmp_path_factory.mktemp("mixed")
    mixed(folder)
    init(folder, "mixed.csv", "--label", "bought")
    good(pipeline(folder, "run", "c.toml", "--json", *sets(*SHORT)))
    return folder


def test_a_table_of_all_kinds_becomes_a_model_that_takes_raw_rows(published: Path) -> None:
    about = read_json(published / "saved_models" / "c" / "1" / "assets.extra" / "pipeline.json")
    assert {column["name"]: column["kind"] for column in about["columns"]} == {
        "amount": "numeric", "visits": "numeric", "member": "categorical", "colour": "categorical", "since": "datetime",
        "note": "text", "topics": "tags", "photo": "image",
    }  # fmt: skip
    good(pipeline(published, "predict", "saved_models/c", "mixed.csv", "-o", "answers.csv"))
    answers, rows = pa.csv.read_csv(published / "answers.csv"), pa.csv.read_csv(published / "mixed.csv")
    assert answers.num_rows == rows.num_rows
    assert (np.asarray(answers["label"]) == np.asarray(rows["bought"])).mean() > 0.8


def test_paths_of_images_begin_beside_the_table_that_is_asked_about(published: Path, tmp_path: Path) -> None:
    model, rows = published / "saved_models" / "c", published / "mixed.csv"
    good(pipeline(tmp_path, "predict", str(model), str(rows), "-o", "answers.csv"))
    assert pa.csv.read_csv(tmp_path / "answers.csv").num_rows == pa.csv.read_csv(rows).num_rows


def test_stats_prints_a_table_and_draws_a_page(published: Path) -> None:
    done = good(pipeline(published, "stats", "c.toml", "--html", "page.html", *sets(*SHORT)))
    lines = {line.split()[0]: line for line in done.out.splitlines() if line.strip()}
    assert {"amount", "visits", "member", "colour", "since", "note", "topics", "photo", "bought"} <= set(lines)
    assert "train" in lines["amount"]
    page = (published / "page.html").read_text()
    assert all(name in page for name in ("amount", "topics", "photo", "validation"))
    assert page.count('src="data:image/svg') >= 4, "a histogram for each column of numbers, times and lengths"
    assert not re.search(r"(src|href)=\"http", page), "the page needs no network"


@pytest.fixture(scope="module")
def model_of_ages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published model of a small table; more rows than any test of drift needs."""
    folder = tmp_path_factory.mktemp("drift")
    write_csv(folder / "rows.csv", people(600, seed=0))
    init(folder, "rows.csv", "--label", "y")
    good(pipeline(folder, "run", "c.toml", *sets("tune.trials=0", "train.epochs=1", "model.width=8")))
    return folder


def people(num_rows: int, seed: int, older: float = 0.0) -> Rows:
    random = np.random.default_rng(seed)
    ages, colours = random.normal(40 + older, 10, num_rows), random.choice(["red", "green", "blue"], num_rows)
    return [
        {"age": f"{age:.2f}", "colour": str(colour), "y": "yes" if age + random.normal(0, 5) > 40 else "no"}
        for age, colour in zip(ages, colours, strict=True)
    ]


def drifts(done: Done) -> list[str]:
    return [line for line in done.warnings if line.startswith("drift")]


def test_shifted_rows_drift_from_the_published_model(model_of_ages: Path) -> None:
    write_csv(model_of_ages / "older.csv", people(600, seed=1, older=15))
    source = 'source.path="older.csv"'
    found = drifts(prepared(model_of_ages, source))
    assert any("age" in line for line in found)
    assert not any("colour" in line for line in found)
    done = pipeline(model_of_ages, "run", "c.toml", "--until", "prepare", *sets(source, 'checks.drift="stop"'))
    assert done.code == 3
    assert done.err.count("drift: age") == len([line for line in found if "age" in line]) > 1, "all of it is told"
    assert 'checks.drift = "warn"' in done.err
    lenient = "drift.features={age = {kolmogorov_smirnov = 1.0, jensen_shannon = 1.0}}"
    assert not [line for line in drifts(prepared(model_of_ages, source, lenient)) if "age" in line]


def test_the_same_rows_and_new_ones_like_them_do_not_drift(model_of_ages: Path) -> None:
    assert drifts(prepared(model_of_ages, "prepare.min_count=3")) == []
    write_csv(model_of_ages / "more.csv", people(600, seed=2))
    assert drifts(prepared(model_of_ages, 'source.path="more.csv"')) == []


def test_a_split_by_time_leaves_a_gap(tmp_path: Path) -> None:
    random = np.random.default_rng(6)
    days = random.permutation(200)
    rows = [
        {"day": str(np.datetime64("2026-01-01") + int(day)), "x": f"{random.normal():.3f}", "y": "ab"[int(day) % 2]}
        for day in days
    ]
    write_csv(tmp_path / "rows.csv", rows)
    init(tmp_path, "rows.csv", "--label", "y")
    sides = prepared(tmp_path, 'split={name = "Time", column = "day", gap = "7d"}').sides
    newest, oldest = (lambda side: days[sides == side].max()), (lambda side: days[sides == side].min())
    assert oldest(VALIDATION) - newest(TRAIN) >= 7
    assert oldest(TEST) - newest(VALIDATION) >= 7
    assert 0 < (sides == NO_SIDE).sum() <= 14


def test_keys_stay_put_when_rows_are_appended(tmp_path: Path) -> None:
    rows = [{"user": f"u{row % 90}", "x": str(row * 37 % 101), "y": "ab"[row % 7 // 3 % 2]} for row in range(300)]
    write_csv(tmp_path / "rows.csv", rows[:180])
    init(tmp_path, "rows.csv", "--label", "y")
    split = ('split={name = "Key", column = "user"}', "twins.keep_together=false")
    before = prepared(tmp_path, *split).sides
    write_csv(tmp_path / "rows.csv", rows)
    after = prepared(tmp_path, *split).sides
    assert (after[:180] == before).all()
    assert len(after) == 300
    other = prepared(tmp_path, *split, 'name="elsewhere"').sides  # without what was held out before
    assert (other == after).all()


def test_folds_share_their_test_rows_and_part_the_others(tmp_path: Path) -> None:
    write_csv(tmp_path / "rows.csv", people(150, seed=3))
    init(tmp_path, "rows.csv", "--label", "y")
    folds = [prepared(tmp_path, f'split={{name = "Stratified", folds = 3, fold = {fold}}}').sides for fold in range(3)]
    tests = [set(np.flatnonzero(sides == TEST)) for sides in folds]
    parts = [set(np.flatnonzero(sides == VALIDATION)) for sides in folds]
    assert tests[0] == tests[1] == tests[2]
    assert not parts[0] & parts[1] | parts[1] & parts[2] | parts[0] & parts[2]
    assert set.union(*parts) == set(range(150)) - tests[0]
