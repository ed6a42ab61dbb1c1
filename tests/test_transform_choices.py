"""Which transform a column gets: by the config, by Python, by its kind; and what cannot be is refused."""

from __future__ import annotations

import inspect
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline import data
from pipeline.components import chosen_transforms, defaults_of
from pipeline.config import Config, json_schema, load_config, parse
from pipeline.data.schema import Feature, Schema
from pipeline.data.transforms import (
    Clip,
    DateTimeParts,
    HashedText,
    Log,
    MinMaxScale,
    OneHot,
    QuantileScale,
    ResizeImage,
    RobustScale,
    Standardize,
    Tags,
    Vocabulary,
)
from pipeline.data.transforms.chain import Chain
from pipeline.data.transforms.choose import choices_of
from pipeline.data.transforms.transform import fit_on
from pipeline.errors import ConfigError
from pipeline.plan import PLAN, fingerprints
from pipeline.resolve import code_hashes
from tests.helpers import cli, mixed_rows, ok, sets, write_csv

SCHEMA = Schema(
    (
        Feature("income", "numeric"),
        Feature("age", "numeric"),
        Feature("city", "categorical"),
        Feature("since", "datetime"),
        Feature("topics", "tags"),
        Feature("note", "text"),
        Feature("photo", "image"),
    ),
    Feature("y", "categorical"),
    ignored=(("id", "dropped in the config"),),
)


def config(**prepare: Any) -> Config:
    return parse({"name": "c", "source": "rows.csv", "prepare": prepare}, origin="test")


def choices(**prepare: Any) -> dict[str, Any]:
    own = config(**prepare)
    return choices_of(SCHEMA, *chosen_transforms(own), defaults_of(own))


def test_every_kind_has_a_default_with_the_arguments_of_the_section() -> None:
    found = choices(vocabulary_size=7, min_count=3, image_size=[4, 5])
    assert list(found.values()) == [
        Standardize(),
        Standardize(),
        Vocabulary(7, 3),
        DateTimeParts(),
        Tags(max_size=7, min_count=3),
        HashedText(),
        ResizeImage(4, 5),
    ]
    assert list(found) == [feature.name for feature in SCHEMA.features]


def test_a_column_counts_more_than_its_kind_and_that_more_than_the_default() -> None:
    found = choices(
        transforms={"income": ["Clip", "log", {"name": "RobustScale"}], "city": {"name": "OneHot", "max_size": 50}},
        defaults={"numeric": "QuantileScale", "text": {"name": "HashedText", "max_words": 9}},
    )
    assert found["income"] == Chain.of([Clip(), Log(), RobustScale()])
    assert found["age"] == Chain.of([QuantileScale()])
    assert found["city"] == OneHot(max_size=50)
    assert found["note"] == HashedText(max_words=9)
    assert found["since"] == DateTimeParts()


def test_short_and_long_forms_are_one_config(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('source = "r.csv"\n[prepare.transforms]\nincome = "Log"\n')
    (tmp_path / "b.toml").write_text('source = "r.csv"\n[[prepare.transforms.income]]\nname = "Log"\n')
    first, second = (load_config(tmp_path / f"{name}.toml").section("prepare") for name in "ab")
    assert first == second
    overridden = load_config(tmp_path / "a.toml", ['prepare.transforms.age=["Clip", "MinMaxScale"]'])
    assert chosen_transforms(overridden)[0] == {"income": [Log()], "age": [Clip(), MinMaxScale()]}


def test_an_editor_is_told_that_one_transform_needs_no_list() -> None:
    prepare = json_schema()["$defs"]["Prepare"]["properties"]
    for key in ("transforms", "defaults"):
        one, several = prepare[key]["additionalProperties"]["anyOf"]
        assert one == several["items"] == {"$ref": "#/$defs/Component"}
        assert several["minItems"] == 1


@pytest.mark.parametrize(
    ("prepare", "message", "hint"),
    [
        ({"transforms": {"incme": "Log"}}, 'no feature "incme"', 'Did you mean "income"?'),
        ({"transforms": {"id": "Log"}}, '"id" is left out: dropped in the config', ""),
        ({"transforms": {"y": "Log"}}, '"y" is the label', ""),
        ({"transforms": {"income": "Lgo"}}, '"prepare.transforms.income": there is no "Lgo"', 'Did you mean "Log"?'),
        ({"transforms": {"income": {"name": "Clip", "lowr": 0.1}}}, 'Clip has no argument "lowr"', '"lower"'),
        ({"transforms": {"income": {"name": "Clip", "lower": "x"}}}, "prepare.transforms.income.lower", "number"),
        ({"transforms": {"income": {"name": "Clip", "lower": 2.0}}}, "Clip: lower is 2.0", "0 <= lower"),
        ({"transforms": {"city": "Log"}}, 'column "city": Log does not take categories', "FoldRare, HashCategory"),
        ({"transforms": {"income": "OneHot"}}, "OneHot does not take numbers", "features.categorical"),
        ({"transforms": {"photo": "Tokenize"}}, "Tokenize does not take images", "ResizeImage"),
        ({"transforms": {"income": ["Log", "Tags"]}}, "Tags does not take numbers", "QuantileScale"),
        ({"transforms": {"city": ["OneHot", "Vocabulary"]}}, "OneHot is no step of a chain", "alone"),
        ({"transforms": {"income": ["MinMaxScale", "Log"]}}, "MinMaxScale stands before the end", "as the last step"),
        ({"transforms": {"income": "ClassIndex"}}, "is no transform", "learner"),
        ({"transforms": {"income": []}}, "prepare.transforms.income", "at least 1"),
        ({"transforms": {"income": 3}}, "prepare.transforms.income", ""),
        ({"defaults": {"number": "Log"}}, "prepare.defaults", "numeric"),
        ({"defaults": {"text": "Log"}}, '"prepare.defaults.text": Log does not take text', "TfIdf"),
        ({"transforms": {"income": "no_such_module:Thing"}}, "cannot be imported", "module:thing"),
    ],
)
def test_what_cannot_be_is_refused_with_the_way_out(prepare: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        choices(**prepare)
    assert message in caught.value.message
    assert hint in str(caught.value)


def test_a_kind_that_does_not_exist_is_refused_in_python_too() -> None:
    with pytest.raises(ConfigError, match='no kind "numerics"'):
        choices_of(SCHEMA, None, {"numerics": Log()})


DOCS = Path(__file__).resolve().parents[1] / "docs"


def documented(language: str) -> str:
    """The code of the page on transforms of one's own: what it tells people is what is tested here."""
    page = (DOCS / "extend.md").read_text(encoding="utf-8")
    section = page[page.index("### A transform") : page.index("### An optimizer")]
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return block


def test_own_code_counts_in_the_fingerprints_of_prepare_and_what_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    own = config(transforms={"income": ["Clip", "own_steps:PerMedian"]})
    found = []
    for code in (documented("python"), documented("python").replace("1.0", "2.0")):
        (tmp_path / "own_steps.py").write_text(code)
        found.append(fingerprints(own, "source", code_hashes))
    changed = [stage.name for stage in PLAN if found[0][stage.name] != found[1][stage.name]]
    assert changed == ["prepare", "tune", "train", "evaluate", "export"]


def test_a_run_trains_and_serves_with_chosen_transforms_and_own_ones(tmp_path: Path) -> None:
    rows = [
        {"hours": row["hours-per-week"], "note": f" {row['colour']} ä" * (number % 4), **row}
        for number, row in enumerate(mixed_rows())
    ]
    write_csv(tmp_path / "rows.csv", rows)
    (tmp_path / "my_transforms.py").write_text(documented("python"))
    defaults = '[prepare.defaults]\ncategorical = "OneHot"\nnumeric = ["Clip", "RobustScale"]\n'
    (tmp_path / "own.toml").write_text(documented("toml") + defaults)
    overrides = sets("tune.trials=0", "train.epochs=2", "model.width=8")
    done = ok(cli(tmp_path, "run", "own.toml", *overrides))
    assert "largest difference" in done.stdout
    (written,) = (tmp_path / "runs" / "own" / "prepare").glob("*/transforms.json")
    features = {name: (kind, state) for name, kind, state in json.loads(written.read_text())["features"]}
    steps = [step["class"].rpartition(":")[2] for step in features["hours"][1]["steps"]]
    assert steps == ["Divide", "Log", "FittedScale"]
    longest = max(len(row["note"].strip()) for row in rows if row["split"] == "train")
    assert features["note"] == ("my_transforms:FittedTextLength", {"longest": longest})
    assert features["colour"][0].endswith(":FittedOneHot")
    steps = [step["class"].rpartition(":")[2] for step in features["constant"][1]["steps"]]
    assert steps == ["FittedClip", "FittedScale"]


def test_a_wrong_transform_is_refused_before_anything_runs(tmp_path: Path) -> None:
    write_csv(tmp_path / "rows.csv", mixed_rows(30))
    (tmp_path / "c.toml").write_text('source = "rows.csv"\nlabel = "income"\nprepare.transforms.colour = "OneHott"\n')
    done = cli(tmp_path, "run", "c.toml")
    assert done.returncode == 2
    assert 'Did you mean "OneHot"?' in done.stderr + done.stdout
    assert not list((tmp_path / "runs").rglob("manifest.json"))


def test_python_chooses_by_objects() -> None:
    random = np.random.default_rng(0)
    table = pa.table(
        {"size": random.gamma(1, 50, 200), "town": random.choice(["x", "y", "z"], 200), "y": random.integers(0, 2, 200)}
    )
    splits = data.prepare(
        data.sources.ArrowTable(table, label="y"),
        transforms={"size": [data.transforms.Log(), data.transforms.RobustScale()]},
        default_transforms={"categorical": data.transforms.OneHot()},
        num_bins=10,
    )
    assert splits.spec.num_numeric == 1 + 4
    assert splits.spec.vocabulary_sizes == ()
    assert [len(edges) for edges in splits.spec.edges] == [9]  # 140 rows of train make 8 bins
    values = splits.train.columns["numeric"]
    assert abs(float(np.median(values[:, 0]))) < 1e-6
    assert values[:, 1:].sum() == len(splits.train)
    with pytest.raises(ConfigError, match="does not take categories"):
        data.prepare(data.sources.ArrowTable(table, label="y"), transforms={"town": data.transforms.Log()})


def table(heading: str) -> list[list[str]]:
    """The cells of the documented table of examples whose header begins so, without the header."""
    lines = (DOCS / "transforms.md").read_text(encoding="utf-8").splitlines()
    (start,) = [number for number, line in enumerate(lines) if line.startswith(heading)]
    end = lines.index("", start)
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[start + 2 : end]]


def as_documented(choice: str, kind: Any, train: pa.Array, values: pa.Array) -> list[str]:
    """A choice in TOML, fitted on a column and shown as the tables of the documentation show it."""
    own = config(transforms={"it": tomllib.loads(f"it = {choice.strip('`')}")["it"]})
    schema = Schema((Feature("it", kind),), Feature("y", "categorical"))
    found = fit_on(choices_of(schema, *chosen_transforms(own))["it"], train)(values)
    if kind == "numeric":
        return [f"{value + 0.0:.2f}".replace("-0.00", "0.00") for value in found[:, 0].tolist()]
    return ["".join(str(int(value)) for value in row) for row in found.tolist()]


def test_what_the_documentation_says_comes_out_does() -> None:
    numbers = pa.array([0.0, 20.0, 30.0, 40.0, 1e6, None])
    towns = pa.array([*["Rome"] * 5, *["Oslo"] * 3, *["Bern", "Lima"] * 2, "Nara", None])
    asked = pa.array(["Rome", "Oslo", "Lima", "Nara", "Atlantis", None])
    rows = table("| steps |")
    assert len(rows) > 6
    for choice, *expected in rows:
        assert as_documented(choice, "numeric", numbers, pa.array([0.0, 30.0, 1e6, 5e6, None])) == expected
    for choice, *expected in table("| transform | Rome"):
        assert as_documented(choice, "categorical", towns, asked) == expected


@pytest.mark.parametrize("name", data.transforms.__all__)
def test_every_transform_is_documented_with_its_arguments(name: str) -> None:
    transform = getattr(data.transforms, name)
    if not hasattr(transform, "kinds") or name == "Transforms":
        return
    rows = (DOCS / "transforms.md").read_text(encoding="utf-8").splitlines()
    (row,) = [line for line in rows if line.startswith(f"| `{name}` |")]
    for argument in inspect.signature(transform).parameters:
        assert f"`{argument}`" in row
