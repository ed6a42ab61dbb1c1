"""The schema file: what `init` writes holds for the same data; what breaks it is told with count and examples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import load_config
from pipeline.data.checks import Anomaly
from pipeline.data.infer import Wanted
from pipeline.data.ingest import Ingested, ingest
from pipeline.data.schema_file import Column, load_schema_file, schema_text
from pipeline.data.sources import Csv
from pipeline.errors import ConfigError, DataError
from pipeline.progress import silent
from pipeline.runner import run
from pipeline.starter import write_config
from tests.helpers import write_csv

KEYS = ("out_of_range", "not_whole", "new_category", "missing", "not_unique", "new_column")


def rows(number: int = 100) -> list[dict[str, str]]:
    return [
        {
            "code": f"c{row}",
            "age": str(17 + row % 60),
            "when": f"2024-01-{row % 28 + 1:02}T10:00:00",
            "colour": ["red", "green", "?"][row % 3],
            "tags": ["u|v", "v", "u"][row % 3],
            "y": "ab"[row % 2],
        }
        for row in range(number)
    ]


EXPECTED = {
    "code": Column(kind="categorical", unique=True),
    "age": Column(kind="numeric", whole=True, min=17.0, max=76.0, max_missing=0.0),
    "when": Column(kind="datetime", min="2024-01-01T10:00:00", max="2024-01-28T10:00:00"),
    "colour": Column(kind="categorical", values=("green", "red"), max_missing=0.5),
    "tags": Column(kind="tags", values=("u", "v")),
    "y": Column(kind="categorical", values=("a", "b")),
}


def read(folder: Path, table: list[dict[str, str]], actions: Any = None, expected: Any = None) -> Ingested:
    expected = expected or EXPECTED
    source = Csv(str(write_csv(folder / "rows.csv", table)))
    wanted = Wanted("y", kinds={name: column.kind for name, column in expected.items()}, known=set(expected))
    return ingest(source, folder, wanted, columns=expected, actions=actions)


def changed(number: int, column: str, *values: str) -> list[dict[str, str]]:
    """A table whose first rows hold these values."""
    table = rows(number)
    for row, value in zip(table, values, strict=False):
        row[column] = value
    return table


def test_data_as_expected_are_no_anomaly(tmp_path: Path) -> None:
    assert read(tmp_path, rows()).anomalies == ()


@pytest.mark.parametrize(
    ("column", "values", "anomaly"),
    [
        ("age", ["-1", "190", "16", "200"], Anomaly("out_of_range", "age", 4, ("-1", "190", "16"), "17 to 76")),
        ("age", ["18.5", "18.5"], Anomaly("not_whole", "age", 2, ("18.5",), "whole numbers")),
        ("age", ["?"], Anomaly("missing", "age", 1, (), "at most 0.0% missing, not 1.0%")),
        (
            "when",
            ["2023-12-31", "2024-01-29"],
            Anomaly(
                "out_of_range", "when", 2, ("2023-12-31 00:00:00", "2024-01-29 00:00:00"),
                "2024-01-01T10:00:00 to 2024-01-28T10:00:00",
            ),
        ),
        (
            "colour",
            ["blue", " pink", "blue"],
            Anomaly("new_category", "colour", 3, ("blue", "pink"), "one of green, red"),
        ),
        ("colour", ["?"] * 50, Anomaly("missing", "colour", 67, (), "at most 50.0% missing, not 67.0%")),
        ("tags", ["u|w", "w|x|w", "v"], Anomaly("new_category", "tags", 2, ("w", "x"), "one of u, v")),
        ("code", ["c7", "c7", "", ""], Anomaly("not_unique", "code", 2, (), "every value once")),
        ("y", ["c"], Anomaly("new_category", "y", 1, ("c",), "one of a, b")),
    ],
)  # fmt: skip
def test_each_anomaly_has_its_count_and_examples(
    tmp_path: Path, column: str, values: list[str], anomaly: Anomaly
) -> None:
    table = changed(100, column, *values)
    (found,) = read(tmp_path, table).anomalies
    assert found == anomaly
    assert f'column "{column}"' in found.line()
    assert anomaly.expected in found.line()
    assert read(tmp_path, table, {anomaly.kind: "ignore"}).anomalies == ()
    with pytest.raises(DataError, match=f'column "{column}"') as caught:
        read(tmp_path, table, {anomaly.kind: "stop"})
    assert f'checks.{anomaly.kind} = "warn"' in str(caught.value)


def test_a_new_column_is_left_out_and_told(tmp_path: Path) -> None:
    table = [{**row, "new": "1"} for row in rows()]
    found = read(tmp_path, table)
    assert [anomaly.line() for anomaly in found.anomalies] == [
        'schema: column "new": new column; expected the columns of the schema file'
    ]
    assert "new" not in found.schema.kinds
    assert read(tmp_path, table, {"new_column": "ignore"}).anomalies == ()
    with pytest.raises(DataError, match='column "new": new column'):
        read(tmp_path, table, {"new_column": "stop"})


def test_a_column_that_is_gone_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='"schema_file": there is no column "age"'):
        read(tmp_path, [{name: value for name, value in row.items() if name != "age"} for row in rows()])


def test_all_kinds_together_come_column_by_column(tmp_path: Path) -> None:
    table = changed(100, "age", "18.5", "-5", "?")
    table[3]["code"], table[4]["colour"] = "c0", "blue"
    assert [(anomaly.feature, anomaly.kind) for anomaly in read(tmp_path, table).anomalies] == [
        ("code", "not_unique"), ("age", "missing"), ("age", "not_whole"), ("age", "out_of_range"),
        ("colour", "new_category"),
    ]  # fmt: skip


def test_one_bound_alone_is_checked(tmp_path: Path) -> None:
    for bound, expected in (({"min": 20.0}, "at least 20"), ({"max": 70.0}, "at most 70")):
        column = Column(kind="numeric", **bound)  # type: ignore[arg-type]
        (found,) = read(tmp_path, rows(), expected={**EXPECTED, "age": column}).anomalies
        assert found.expected == expected


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('[columns.a]\nkind = "numeric"\nmx = 3\n', [":3", '"columns.a.mx"']),
        ('[columns.a]\nkind = "number"\n', [":2", '"columns.a.kind"']),
        ("[columns.a]\nmax = 3\n", ['"columns.a.kind" is missing']),
        ('[columns.a]\nkind = "numeric"\nmin = 5\nmax = 3\n', ["min 5.0 is above max 3.0"]),
        ('[columns.a]\nkind = "numeric"\nmin = "5"\n', ["min = '5' does not fit a column of kind numeric"]),
        ('[columns.a]\nkind = "numeric"\nmin = nan\n', ["columns.a.min"]),
        ('[columns.a]\nkind = "numeric"\nmin = true\n', ["columns.a.min"]),
        ('[columns.a]\nkind = "categorical"\nmin = 5\n', ["does not fit a column of kind categorical"]),
        ('[columns.a]\nkind = "datetime"\nmin = "yesterday"\n', ["'yesterday' does not fit a column of kind datetime"]),
        ('[columns.a]\nkind = "datetime"\nmax = 2024-01-01T10:00:00Z\n', ["does not fit a column of kind datetime"]),
        ('[columns.a]\nkind = "numeric"\nvalues = ["x"]\n', ["values are for categories"]),
        ('[columns.a]\nkind = "numeric"\nmax_missing = 1.5\n', [":3", '"columns.a.max_missing"']),
        ('[column.a]\nkind = "numeric"\n', ['the key "columns" is missing']),
        ('[columns.a]\nkind = "numeric\n', ["cannot be read", "line 2"]),
        (b"\xff", ["cannot be read", "UTF-8"]),
        (None, ["does not exist", "pipeline init"]),
    ],
)
def test_a_schema_file_that_does_not_fit_is_refused_with_its_line(
    tmp_path: Path, text: str | bytes | None, parts: list[str]
) -> None:
    path = tmp_path / "rows.schema.toml"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        load_schema_file(path)
    assert str(path) in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


def test_times_may_be_written_without_quotes_in_a_schema_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.schema.toml"
    path.write_text('[columns.when]\nkind = "datetime"\nmin = 2024-01-01\nmax = 2024-01-28T10:00:00\n')
    when = load_schema_file(path).columns["when"]
    assert read(tmp_path, rows(), expected={**EXPECTED, "when": when}).anomalies == ()
    found = read(tmp_path, changed(100, "when", "2023-01-01"), expected={**EXPECTED, "when": when}).anomalies
    assert [anomaly.count for anomaly in found] == [1]


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
COLUMNS = st.one_of(
    st.builds(
        lambda bounds, **rest: Column(kind="numeric", min=min(bounds), max=max(bounds), **rest),
        st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 2),
        whole=st.booleans(), max_missing=st.floats(0, 1), unique=st.booleans(),
    ),
    st.builds(
        lambda times: Column(kind="datetime", min=min(times).isoformat(), max=max(times).isoformat()),
        st.tuples(st.datetimes(), st.datetimes()),
    ),
    st.builds(Column, kind=st.sampled_from(["categorical", "tags"]), values=st.none() | st.lists(NAMES).map(tuple)),
    st.builds(Column, kind=st.sampled_from(["text", "image"])),
)  # fmt: skip


@settings(deadline=None)
@given(st.dictionaries(NAMES, COLUMNS, max_size=4), NAMES)
def test_a_written_schema_is_read_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, columns: dict[str, Column], about: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.schema.toml"
    path.write_text(schema_text(columns, about) if columns else "[columns]\n", encoding="utf-8")
    assert load_schema_file(path).columns == columns


WORDS = st.sampled_from(
    ["", "?", "7", "-1.5", "1e300", "2024-02-29", "red", "größe", 'say "x"', "a|b", "\U0001f389", " 8 "]
)
TABLES = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(WORDS, min_size=width, max_size=width), min_size=3, max_size=70)
)


@settings(deadline=None)
@given(TABLES)
def test_what_init_writes_holds_for_the_same_data(
    tmp_path_factory: pytest.TempPathFactory, table: list[list[str]]
) -> None:
    folder = tmp_path_factory.mktemp("init")
    written = [
        {**{f"c {place}": value for place, value in enumerate(row)}, "z": str(number % 5), "y": "ab"[number % 2]}
        for number, row in enumerate(table)
    ]
    write_csv(folder / "rows.csv", written)
    config = load_config(write_config(folder / "rows.csv", label="y", output=folder / "c.toml").path)
    assert config.schema_file == str(folder / "c.schema.toml")
    config = config.override(
        {"runs": str(folder / "runs"), "quarantine.max_fraction": 1.0, "quarantine.max_class_fraction": 1.0}
        | {f"checks.{key}": "stop" for key in KEYS}
    )
    try:
        done = run(config, silent(), until="ingest").stages[0]
    except DataError as error:
        assert "every row of class" in str(error)  # noqa: PT017 - all rows of one label were bad: no anomaly
    else:
        assert json.loads((done.directory / "anomalies.json").read_text()) == []


def test_a_run_warns_of_what_the_reviewed_schema_does_not_expect(tmp_path: Path) -> None:
    write_csv(tmp_path / "rows.csv", rows())
    path = write_config(tmp_path / "rows.csv", label="y", output=tmp_path / "c.toml").path
    runs = [f'runs="{tmp_path}/runs"']
    reporter = silent()
    run(load_config(path, runs), reporter, until="ingest")
    assert reporter.warnings == []
    schema = tmp_path / "c.schema.toml"
    schema.write_text(schema.read_text().replace("max = 76.0", "max = 70.0"))
    run(load_config(path, runs), reporter, until="ingest")
    assert reporter.warnings == ['schema: column "age": out of range 6 times, e.g. "71", "72", "73"; expected 17 to 70']
    again = silent()
    assert run(load_config(path, runs), again, until="ingest").stages[0].skipped  # the content counts, not the time
    schema.write_text(schema.read_text().replace("[columns.age]", "[columns.agee]"))
    with pytest.raises(DataError, match='no column "agee"'):
        run(load_config(path, runs), reporter, until="ingest")
