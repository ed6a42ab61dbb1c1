"""The page and the table show what the statistics say, whatever the names are."""

from __future__ import annotations

import base64
import doctest
import io
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

import pipeline.report.statistics_page
import pipeline.report.summary
import pipeline.statistics_table
from pipeline.data.drift import compare
from pipeline.data.kinds import Kind
from pipeline.data.statistics import Numbers, Statistics
from pipeline.errors import RunError
from pipeline.report.histogram import HistogramPainter, bin_edges, share_outside
from pipeline.report.statistics_page import MAX_HISTOGRAMS, write_page
from pipeline.statistics_table import show_statistics

NASTY = '[bold]<script>alert("1")</script> & \x1b[31m $x_1$ \u65e5\u672c'


def mixed(num_rows: int, seed: int = 0, name: str = NASTY) -> Statistics:
    """A column of every kind; one of numbers has a name that no page should believe."""
    random = np.random.default_rng(seed)
    columns: dict[str, tuple[object, Kind]] = {
        name: (pa.array(random.normal(5.0, 2.0, num_rows)), "numeric"),
        "grade": (pa.array(random.integers(1, 7, num_rows).astype(float)), "numeric"),
        "nothing": (pa.array([None] * num_rows, pa.float64()), "numeric"),
        "huge": (pa.array(random.uniform(-1.7, 1.7, num_rows) * 1e308), "numeric"),
        "color": (pa.array(random.choice(["red", "<b>blue</b>", ""], num_rows)), "categorical"),
        "review": (pa.array(["good film", "bad"] * (num_rows // 2)), "text"),
        "born": (pa.array(random.integers(0, 10**15, num_rows), pa.timestamp("us")), "datetime"),
        "genres": (pa.array([["drama", "news"], ["drama"]] * (num_rows // 2)), "tags"),
        "photo": (pa.array(["a.png"] * num_rows), "image"),
    }
    batch = pa.record_batch(
        {key: values for key, (values, _) in columns.items()} | {"photo.height": np.full(num_rows, 480)}
    )
    return Statistics.of(batch, {key: kind for key, (_, kind) in columns.items()})


class Page(HTMLParser):
    """Tags with their attributes, and all text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[Mapping[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def sides() -> dict[str, Statistics]:
    return {"train": mixed(600), "validation": mixed(200, 1), "test": mixed(200, 2)}


def test_the_page_is_well_formed_self_contained_and_escapes_names(sides: dict[str, Statistics], tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_page(sides, path, title=NASTY)
    page = Page(path)
    assert page.open == []
    assert page.all("script") == page.all("b") == page.all("link") == []
    assert '<script>alert("1")</script>' in page.text
    assert "\x1b" not in page.text
    links = [attributes["href"] for attributes in page.all("a")]
    anchors = [f"#{attributes['id']}" for attributes in page.all("section")]
    assert links == anchors
    assert len(anchors) == 9
    sources = [attributes["src"] or "" for attributes in page.all("img")]
    assert all(source.startswith("data:image/svg+xml;base64,") for source in sources)
    assert "http" not in re.sub(r'"data:[^"]*"', "", path.read_text(encoding="utf-8"))
    assert [child.name for child in tmp_path.iterdir()] == ["page.html"]


def test_the_page_says_what_the_statistics_say(sides: dict[str, Statistics], tmp_path: Path) -> None:
    write_page(sides, tmp_path / "page.html", title="people")
    text = Page(tmp_path / "page.html").text
    found = sides["train"].features[NASTY]
    assert "train: 600 rows" in text
    assert f"{found.numbers['value'].moments.mean:.4g}" in text
    assert f"{found.numbers['value'].moments.maximum:.4g}" in text
    assert "100.0 %" in text
    assert "(empty)" in text
    assert "<b>blue</b>" in text
    assert "1970-" in text


def test_pictures_are_drawn_where_there_is_something_to_see(sides: dict[str, Statistics], tmp_path: Path) -> None:
    write_page(sides, tmp_path / "page.html", title="people")
    page = Page(tmp_path / "page.html")
    # Two of the normal numbers, of the dates, the lengths and the tags; none of what is missing or constant.
    assert len(page.all("img")) == 6
    for attributes in page.all("img"):
        svg = ElementTree.fromstring(base64.b64decode((attributes["src"] or "").split(",")[1]))
        assert svg.tag == "{http://www.w3.org/2000/svg}svg"
        assert not [
            part for part in svg.iter() if any("href" in key and "http" in part.get(key, "") for key in part.attrib)
        ]


def test_drift_is_told_at_the_top_and_at_the_column(sides: dict[str, Statistics], tmp_path: Path) -> None:
    missing = Statistics.of(
        pa.record_batch({"nothing": [1.0] * 600, "new": [1.0] * 600}), {"nothing": "numeric", "new": "numeric"}
    )
    drift = [one for one in compare(sides["train"], missing) if one.feature in ("nothing", "new")]
    assert {one.measure for one in drift} == {"missing", "column"}
    write_page(sides, tmp_path / "page.html", title="people", drift=drift)
    page = Page(tmp_path / "page.html")
    place = list(sides["train"].features).index("nothing")
    assert page.all("a")[0]["href"] == f"#feature-{place}"
    assert page.text.count("missing 100.0% -> 0.0%") == 2
    assert page.text.count("the column is new") == 1


def test_the_same_statistics_make_the_same_page(sides: dict[str, Statistics], tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_page(sides, tmp_path / name, title="people")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_folder_that_is_not_there_is_told(sides: dict[str, Statistics], tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot be written"):
        write_page(sides, tmp_path / "none" / "page.html", title="people")


def test_many_columns_are_quick_and_histograms_end_somewhere(tmp_path: Path) -> None:
    columns = {f"x{place}": np.random.default_rng(place).normal(size=100) for place in range(MAX_HISTOGRAMS + 5)}
    kinds: dict[str, Kind] = dict.fromkeys(columns, "numeric")
    found = Statistics.of(pa.record_batch(columns), kinds)
    started = time.process_time()
    write_page({"train": found, "test": found}, tmp_path / "page.html", title="wide")
    assert time.process_time() - started < 60
    page = Page(tmp_path / "page.html")
    assert (len(page.all("section")), len(page.all("img"))) == (MAX_HISTOGRAMS + 5, MAX_HISTOGRAMS)
    assert f"first {MAX_HISTOGRAMS} columns only" in page.text


def test_sides_with_different_columns_and_no_rows_are_shown(tmp_path: Path) -> None:
    one = Statistics.of(pa.record_batch({"a": [1.0, 2.0]}), {"a": "numeric"})
    other = Statistics.of(
        pa.record_batch({"a": pa.array([], pa.string()), "b": pa.array([], pa.float64())}),
        {"a": "text", "b": "numeric"},
    )
    write_page({"train": one, "test": other}, tmp_path / "page.html", title="odd")
    assert "numeric / text" in Page(tmp_path / "page.html").text
    write_page({}, tmp_path / "page.html", title="nothing")
    assert "0 columns" in Page(tmp_path / "page.html").text


# --- histograms


def numbers(values: list[float] | np.ndarray) -> Numbers:
    return (
        Statistics.of(pa.record_batch({"x": np.asarray(values, float)}), {"x": "numeric"})
        .features["x"]
        .numbers["value"]
    )


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(0, 100).map(float), min_size=2, max_size=30)
)
def test_bins_increase_and_hold_all_values_but_those_beyond_the_axis(values: list[float]) -> None:
    one = numbers(values)
    edges = bin_edges([one])
    if len(set(values)) < 2:
        assert edges == []
        return
    assert np.all(np.diff(edges) > 0)
    shares = one.shares(edges)
    outside = share_outside(one, edges)
    # What lies on the first edge is inside the axis, and in no bin.
    assert np.sum(shares) + outside == pytest.approx(
        1.0, abs=0.5 / len(values) + values.count(min(values)) / len(values)
    )
    assert HistogramPainter().svg({"train": one}) is not None


def test_few_whole_numbers_have_a_bin_each_with_their_exact_share() -> None:
    one = numbers([1.0] * 50 + [2.0] * 30 + [4.0] * 20)
    assert bin_edges([one]) == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert one.shares(bin_edges([one])) == pytest.approx([0.5, 0.3, 0.0, 0.2], abs=0.01)


def test_many_whole_numbers_share_bins_evenly() -> None:
    edges = bin_edges([numbers(np.arange(1000.0))])
    assert set(np.diff(edges)) == {25.0}
    assert edges[0] == -0.5


def test_one_far_value_does_not_press_the_others_into_one_bin() -> None:
    one = numbers([*np.random.default_rng(0).normal(size=5000), 1e9])
    edges = bin_edges([one])
    assert edges[-1] < 10
    assert 0 < share_outside(one, edges) < 0.02


# --- the table


def table(sides: Mapping[str, Statistics], width: int | None = None) -> list[str]:
    written = io.StringIO()
    show_statistics(sides, Console(file=written, width=width, force_terminal=width is not None, color_system=None))
    return [line.rstrip() for line in written.getvalue().splitlines()]


def test_the_table_has_a_line_a_column_and_side_and_breaks_nothing_in_a_log(sides: dict[str, Statistics]) -> None:
    lines = table({"train": sides["train"]})
    assert len(lines) == 1 + 9 + 1  # a text has two: characters and words
    assert lines[0].split() == [
        "feature",
        "kind",
        "of",
        "missing",
        "distinct",
        "mean",
        "std",
        "min",
        "median",
        "max",
        "top",
    ]
    assert "\x1b" not in "\n".join(lines)
    assert "[bold]" in lines[1]
    assert len(table(sides)) == 1 + 3 * 10
    assert "red " in "\n".join(lines)


@pytest.mark.parametrize("width", [30, 60, 80, 120, 200])
def test_a_narrow_terminal_gets_fewer_columns_and_is_told(sides: dict[str, Statistics], width: int) -> None:
    clean = {"train": mixed(100, name="height")}
    lines = table(clean, width)
    assert max(map(len, lines)) <= width
    body = "\n".join(lines)
    assert "feature" in lines[0]
    assert "height" in body
    assert ("left out" in body) == (width < 150)


def test_the_table_loads_neither_tensorflow_nor_matplotlib() -> None:
    program = "import sys, pipeline.statistics_table, pipeline.report.statistics_page as page; "
    program += (
        "print([name for name in ('tensorflow', 'matplotlib', 'jinja2', 'scipy', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "module", [pipeline.report.statistics_page, pipeline.report.summary, pipeline.statistics_table]
)
def test_the_examples_run(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert (result.failed, result.attempted > 0) == (0, True)
