"""The config is strict, says how to mend itself, and its fingerprints change what they must and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from pipeline.config import Config, fingerprint, json_schema, load_config, parse
from pipeline.config_sections import Component, Section
from pipeline.errors import ConfigError
from pipeline.plan import PLAN, fingerprints

SHORTEST = 'source = "rows.csv"\nlabel = "income"\n'
ROOT = Path(__file__).parents[1]

# Every key of the config with a value that is not its default. `test_every_key_has_a_row` keeps it complete.
CHANGED: dict[str, Any] = {
    "name": "other",
    "source.name": "Csv",
    "source.delimiter": ";",
    "label": "age",
    "task": "binary",
    "seed": 1,
    "runs": "elsewhere",
    "features.drop": ["a"],
    "features.numeric": ["a"],
    "features.categorical": ["a"],
    "features.text": ["a"],
    "features.datetime": ["a"],
    "features.tags": ["a"],
    "features.image": ["a"],
    "features.known_after": ["a"],
    "schema_file": "rows.schema.toml",
    "checks.out_of_range": "quarantine",
    "checks.not_whole": "stop",
    "checks.new_category": "ignore",
    "checks.missing": "stop",
    "checks.not_unique": "stop",
    "checks.new_column": "stop",
    "checks.leak": "stop",
    "checks.conflict": "stop",
    "checks.drift": "stop",
    "quarantine.max_rows": 3,
    "quarantine.max_fraction": 0.5,
    "quarantine.max_class_fraction": 0.5,
    "twins.keep_together": False,
    "twins.near": False,
    "drift.thresholds": {"jensen_shannon": 0.5},
    "drift.features": {"a": {"jensen_shannon": 0.5}},
    "split.name": "Random",
    "split.train": 0.6,
    "split.column": "fold",
    "prepare.image_size": [8, 8],
    "prepare.cache": "encoded",
    "prepare.vocabulary_size": 5,
    "prepare.min_count": 3,
    "prepare.num_bins": 4,
    "prepare.transforms": {"age": ["Clip", "Log"]},
    "prepare.defaults": {"numeric": {"name": "QuantileScale", "output": "normal"}},
    "model.name": "mlp",
    "model.width": 8,
    "train.optimizer": "SGD",
    "train.learning_rate": 0.5,
    "train.schedule": "constant",
    "train.batch_size": 3,
    "train.epochs": 4,
    "train.budget": "90s",
    "train.patience": 5,
    "train.label_smoothing": 0.1,
    "train.ema": 0.99,
    "train.precision": "bfloat16",
    "train.augment": [{"name": "Flip"}],
    "tune.algorithm": "grid",
    "tune.trials": 1,
    "features.weight": "count",
    "train.class_weight": "balanced",
    "train.resample": {"rare": 0.5},
    "tune.epochs": 2,
    "tune.patience": 3,
    "tune.budget": "5m",
    "tune.seeds": 2,
    "tune.folds": 5,
    "tune.finalists": 1,
    "tune.finalist_seeds": 3,
    "tune.population": 1,
    "tune.workers": 2,
    "tune.space": {"model.width": [1, 2]},
    "resume.checkpoint_seconds": 5.0,
    "feed.threads": 3,
    "feed.steps_per_call": 7,
    "export.directory": "elsewhere",
    "export.tolerance": 0.1,
}


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(text: str, name: str = "adult.toml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def refusal(path: Path, overrides: list[str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides or [])
    return str(caught.value)


def shortest() -> Config:
    return parse({"name": "adult", "source": "rows.csv", "label": "income"}, origin="test")


def leaf_keys(model: type[BaseModel], prefix: str = "") -> set[str]:
    """Dotted names of all keys; a component counts by its name."""
    found = set()
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Section) and not issubclass(inner, Component):
            found |= leaf_keys(inner, f"{prefix}{name}.")
        elif isinstance(inner, type) and issubclass(inner, Component) and not prefix:
            found.add(f"{name}.name")
        else:
            found.add(f"{prefix}{name}")
    return found


def stages_after(key: str) -> set[str]:
    """The stages that read a key and all that need those, by PLAN."""
    affected: set[str] = set()
    for stage in PLAN:
        reads = any(read == key or key.startswith(f"{read}.") for read in stage.reads)
        if reads or affected & set(stage.needs):
            affected.add(stage.name)
    return affected


def test_a_source_and_a_label_are_a_config(write: Any) -> None:
    config = load_config(write(SHORTEST))
    assert (config.name, config.label, config.source.name, config.task) == ("adult", "income", "auto", "auto")


def test_a_name_comes_from_the_file_and_is_made_fit_for_a_folder(write: Any) -> None:
    assert load_config(write(SHORTEST, "my data (2).toml")).name == "my_data__2_"


def test_a_relative_path_is_looked_for_beside_the_config_first(write: Any, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,income\n")
    assert load_config(write(SHORTEST)).source.arguments["path"] == str(tmp_path / "rows.csv")


def test_a_relative_path_is_then_looked_for_below_the_current_folder(
    write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "rows.csv").write_text("a,income\n")
    path = write(SHORTEST)
    monkeypatch.chdir(elsewhere)
    assert load_config(path).source.arguments["path"] == str(elsewhere / "rows.csv")


def test_short_forms_are_the_long_ones(write: Any) -> None:
    short = load_config(write(SHORTEST + '[train]\noptimizer = "SGD"\naugment = ["Flip"]\n'))
    long = load_config(
        write(
            'source = {path = "rows.csv"}\nlabel = "income"\n'
            '[train]\noptimizer = {name = "SGD"}\naugment = [{name = "Flip"}]\n'
        )
    )
    assert short == long


def test_a_component_keeps_its_arguments(write: Any) -> None:
    config = load_config(write(SHORTEST + '[train.optimizer]\nname = "SGD"\nmomentum = 0.5\n'))
    assert (config.train.optimizer.name, config.train.optimizer.arguments) == ("SGD", {"momentum": 0.5})


def test_an_unknown_key_is_named_with_its_line_and_the_nearest_match(write: Any) -> None:
    path = write('source = "rows.csv"\nlable = "income"\n')
    text = refusal(path)
    assert f'{path}:2: unknown key "lable"' in text
    assert 'Did you mean "label"?' in text
    assert "'income'" in text


def test_an_unknown_key_in_a_section_is_named_with_its_path_and_line(write: Any) -> None:
    path = write(SHORTEST + "\n[train]\nepochs = 3\nlerning_rate = 0.1\n")
    text = refusal(path)
    assert f'{path}:6: unknown key "train.lerning_rate"' in text
    assert 'Did you mean "learning_rate"?' in text


def test_an_unknown_section_is_named_with_its_line(write: Any) -> None:
    path = write(SHORTEST + "\n[trian]\nepochs = 3\n")
    assert f'{path}:4: unknown key "trian"' in refusal(path)


def test_every_finding_is_reported_at_once(write: Any) -> None:
    text = refusal(write('source = "rows.csv"\nlable = "income"\nsede = 1\n'))
    assert '"lable"' in text
    assert '"sede"' in text


def test_a_missing_source_is_named(write: Any) -> None:
    assert 'the key "source" is missing' in refusal(write('label = "income"\n'))


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('epochs = "5"', "train.epochs"),
        ("epochs = 5.5", "train.epochs"),
        ("epochs = true", "train.epochs"),
        ("epochs = 0", "train.epochs"),
        ("learning_rate = 0.0", "train.learning_rate"),
        ("learning_rate = nan", "train.learning_rate"),
        ("learning_rate = inf", "train.learning_rate"),
        ('budget = "5"', "train.budget"),
        ('budget = "0s"', "train.budget"),
        ("budget = 90", "train.budget"),
        ("label_smoothing = 1.0", "train.label_smoothing"),
        ("ema = 1.0", "train.ema"),
        ('precision = "float16"', "train.precision"),
        ("optimizer = 3", "train.optimizer"),
        ('schedule = "cosin"', "train.schedule"),
    ],
)
def test_a_wrong_value_is_refused_with_its_key_and_line(write: Any, line: str, key: str) -> None:
    path = write(SHORTEST + f"[train]\n{line}\n")
    text = refusal(path)
    assert f'{path}:4: "{key}' in text
    assert "expected:" in text


def test_a_misspelt_choice_gets_the_nearest_one(write: Any) -> None:
    assert 'Did you mean "cosine"?' in refusal(write(SHORTEST + '[train]\nschedule = "cosin"\n'))


@pytest.mark.parametrize("name", ["../escape", "a/b", "", ".hidden", "a b"])
def test_a_name_that_is_no_folder_of_its_own_is_refused(write: Any, name: str) -> None:
    assert '"name" is' in refusal(write(f'name = "{name}"\n' + SHORTEST))


def test_a_seed_that_numpy_and_tensorflow_do_not_share_is_refused(write: Any) -> None:
    assert '"seed" is -1' in refusal(write("seed = -1\n" + SHORTEST))
    assert '"seed" is 2147483648' in refusal(write("seed = 2147483648\n" + SHORTEST))


def test_a_missing_file_names_its_nearest_sibling(write: Any, tmp_path: Path) -> None:
    write(SHORTEST)
    text = refusal(tmp_path / "adlt.toml")
    assert "does not exist" in text
    assert 'Did you mean "adult' in text
    assert "Did you mean" not in refusal(tmp_path / "xyzzy.toml")


def test_what_is_no_toml_is_refused_with_its_line(write: Any) -> None:
    assert "line 2" in refusal(write('source = "rows.csv"\nlabel = income\n'))


def test_what_is_no_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes('label = "Größe"\n'.encode("latin-1"))
    assert "cannot be read" in refusal(path)


def test_a_folder_is_no_config(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(tmp_path)


def test_overrides_take_toml_values_and_bare_words(write: Any) -> None:
    path = write(SHORTEST)
    config = load_config(path, ["train.epochs=5", "name=other", "train.optimizer=SGD", 'features.drop=["a", "b"]'])
    assert (config.train.epochs, config.name, config.train.optimizer.name) == (5, "other", "SGD")
    assert config.features.drop == ("a", "b")


def test_an_override_opens_a_short_form(write: Any) -> None:
    path = write(SHORTEST + '[train]\noptimizer = "SGD"\n')
    config = load_config(path, ["train.optimizer.momentum=0.5", "source.delimiter=;"])
    assert (config.train.optimizer.name, config.train.optimizer.arguments) == ("SGD", {"momentum": 0.5})
    assert config.source.arguments["delimiter"] == ";"
    assert config.source.arguments["path"].endswith("rows.csv")


def test_another_component_by_override_drops_the_arguments_of_the_old_one(write: Any) -> None:
    path = write(SHORTEST + '[train]\noptimizer = {name = "SGD", momentum = 0.5}\n')
    config = load_config(path, ["train.optimizer=Adam"])
    assert (config.train.optimizer.name, config.train.optimizer.arguments) == ("Adam", {})


def test_the_same_component_by_override_keeps_its_arguments(write: Any) -> None:
    path = write(SHORTEST + '[train]\noptimizer = {name = "SGD", momentum = 0.5}\n')
    assert load_config(path, ["train.optimizer=SGD"]) == load_config(path)


@pytest.mark.parametrize("override", ["train.epochs", "train.epoch=5", "train.epochs=many", "seed.x=1", "nothing.at=1"])
def test_a_bad_override_is_refused(write: Any, override: str) -> None:
    text = refusal(write(SHORTEST), [override])
    assert override.partition("=")[0] in text or override.partition(".")[0] in text


def test_override_gives_a_changed_copy() -> None:
    config = shortest()
    changed = config.override({"train.epochs": 5, "model.width": 8})
    assert (changed.train.epochs, changed.model.arguments["width"]) == (5, 8)
    assert config.train.epochs is None
    assert changed.override({"train.epochs": 100}).model.arguments == {"width": 8}


def test_override_refuses_what_the_file_would_refuse() -> None:
    with pytest.raises(ConfigError, match="train.epochs"):
        shortest().override({"train.epochs": "5"})
    with pytest.raises(ConfigError, match='Did you mean "epochs"'):
        shortest().override({"train.epoch": 5})


def test_override_with_nothing_changes_nothing() -> None:
    config = shortest()
    assert config.override({}) == config


def test_a_config_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValueError, match="frozen"):
        shortest().seed = 3  # type: ignore[misc]


def test_the_shipped_configs_load() -> None:
    paths = sorted((ROOT / "configs").glob("*.toml"))
    assert paths
    for path in paths:
        assert load_config(path).name == path.stem


def matches(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    """The part of JSON Schema that `json_schema` uses; a keyword that is not known here is an error."""
    known = {"description", "title", "default", "$defs", "$schema"}
    checks = {
        "$ref": lambda ref: matches(value, root["$defs"][ref.rsplit("/", 1)[1]], root),
        "anyOf": lambda options: any(matches(value, option, root) for option in options),
        "type": lambda kind: matches_type(value, kind),
        "enum": lambda options: value in options,
        "const": lambda only: value == only,
        "required": lambda names: not isinstance(value, dict) or set(names) <= set(value),
        "properties": lambda parts: all(matches(value[key], parts[key], root) for key in set(parts) & set(value)),
        "additionalProperties": lambda rest: (
            all(matches(value[key], rest, root) for key in set(value) - set(schema.get("properties", ())))
            if isinstance(rest, dict)
            else bool(rest) or set(value) <= set(schema["properties"])
        ),
        "propertyNames": lambda names: all(matches(key, names, root) for key in value),
        "items": lambda rest: all(matches(item, rest, root) for item in value),
        "prefixItems": lambda parts: all(matches(item, part, root) for item, part in zip(value, parts, strict=False)),
        "minItems": lambda least: len(value) >= least,
        "maxItems": lambda most: len(value) <= most,
        "minimum": lambda least: value >= least,
        "maximum": lambda most: value <= most,
        "exclusiveMinimum": lambda bound: value > bound,
        "exclusiveMaximum": lambda bound: value < bound,
        "pattern": lambda pattern: __import__("re").search(pattern, value) is not None,
    }
    order = sorted(set(schema) - known, key=lambda keyword: keyword != "type")  # the others take the type for granted
    return all(checks[keyword](schema[keyword]) for keyword in order)


def matches_type(value: Any, kind: str) -> bool:
    kinds = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "object": dict, "array": list}
    if kind == "null":
        return value is None
    return isinstance(value, kinds[kind]) and (kind == "boolean" or not isinstance(value, bool))  # type: ignore[arg-type]


def accepted(tree: dict[str, Any]) -> bool:
    schema = json_schema()
    return matches(tree, schema, schema)


def test_the_schema_accepts_the_shortest_config_and_the_long_forms() -> None:
    assert accepted({"source": "rows.csv", "label": "income"})
    assert accepted({"source": {"name": "Csv", "path": "rows.csv"}, "model": "mlp", "split": {"name": "Given"}})
    assert accepted({"source": "rows.csv", "train": {"optimizer": "SGD", "augment": ["Flip", {"name": "Crop"}]}})
    for chosen in ("Log", ["Clip", {"name": "Log"}], {"name": "OneHot", "max_size": 5}):
        assert accepted({"source": "rows.csv", "prepare": {"transforms": {"a": chosen}, "defaults": {"text": chosen}}})


def test_the_schema_refuses_what_the_config_refuses() -> None:
    assert not accepted({"label": "income"})
    assert not accepted({"source": "rows.csv", "lable": "income"})
    assert not accepted({"source": "rows.csv", "train": {"epochs": "5"}})
    assert not accepted({"source": "rows.csv", "train": {"epochs": 0}})
    assert not accepted({"source": "rows.csv", "train": {"schedule": "cosin"}})
    assert not accepted({"source": "rows.csv", "prepare": {"transforms": {"a": []}}})
    assert not accepted({"source": "rows.csv", "prepare": {"defaults": {"numbers": "Log"}}})


def test_the_schema_accepts_every_value_that_the_config_accepts() -> None:
    for key, value in CHANGED.items():
        config = shortest().override({key: value})
        assert accepted(json.loads(config.model_dump_json())), key


def test_a_fingerprint_does_not_depend_on_the_order_of_keys_nor_on_the_process() -> None:
    value = {"b": [1, 2.5, None], "a": {"x": "ä", "y": True}}
    again = {"a": {"y": True, "x": "ä"}, "b": [1, 2.5, None]}
    code = f"from pipeline.config import fingerprint; print(fingerprint({value!r}))"
    elsewhere = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert fingerprint(value) == fingerprint(again) == elsewhere.stdout.strip()


def test_a_fingerprint_tells_values_apart() -> None:
    values = [1, 1.5, "1", True, None, [1], {"a": 1}, {"a": "1"}, [], {}]
    assert len({fingerprint(value) for value in values}) == len(values)


def test_every_key_has_a_row() -> None:
    assert leaf_keys(Config) <= set(CHANGED)


@pytest.mark.parametrize("key", sorted(CHANGED))
def test_a_changed_key_changes_the_stages_that_read_it_those_after_them_and_no_other(key: str) -> None:
    before = fingerprints(shortest(), "content")
    after = fingerprints(shortest().override({key: CHANGED[key]}), "content")
    assert {stage for stage in before if before[stage] != after[stage]} == stages_after(key)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("runs", set()),
        ("name", {"export"}),
        ("export.tolerance", {"export"}),
        ("tune.trials", {"tune", "train", "evaluate", "export"}),
        ("tune.workers", set()),
        ("tune.population", set()),
        ("train.batch_size", {"tune", "train", "evaluate", "export"}),
        ("train.epochs", {"train", "evaluate", "export"}),
        ("train.budget", {"tune", "train", "evaluate", "export"}),
        ("prepare.num_bins", {"prepare", "tune", "train", "evaluate", "export"}),
        ("split.train", {"split", "prepare", "tune", "train", "evaluate", "export"}),
        ("split.column", {stage.name for stage in PLAN}),
        ("schema_file", {stage.name for stage in PLAN}),
        ("twins.near", {stage.name for stage in PLAN} - {"ingest"}),
        ("checks.leak", {"prepare", "tune", "train", "evaluate", "export"}),
        ("label", {stage.name for stage in PLAN}),
    ],
)
def test_the_plan_reads_what_a_person_expects(key: str, expected: set[str]) -> None:
    assert stages_after(key) == expected


def test_other_content_changes_every_stage_and_another_path_none() -> None:
    before = fingerprints(shortest(), "content")
    assert not set(before.values()) & set(fingerprints(shortest(), "other content").values())
    assert fingerprints(shortest().override({"source.path": "/elsewhere/rows.csv"}), "content") == before


def test_other_weights_of_a_backbone_change_the_stages_from_tune_on_and_another_place_none(tmp_path: Path) -> None:
    first, second = tmp_path / "first.weights.h5", tmp_path / "second.weights.h5"
    first.write_bytes(b"weights")
    second.write_bytes(b"weights")

    def found(path: Path) -> dict[str, str]:
        return fingerprints(shortest().override({"model": {"name": "backbone", "weights": str(path)}}), "content")

    before = found(first)
    assert found(second) == before
    first.write_bytes(b"weights, trained on")
    after = found(first)
    assert {stage for stage in before if before[stage] != after[stage]} == stages_after("model")
    first.unlink()
    assert found(first)["train"] not in (before["train"], after["train"])


def test_weights_of_a_model_of_ones_own_may_be_no_file(tmp_path: Path) -> None:
    values = ["uniform", "distance", str(tmp_path), "a\0b", 3, None, [1.0, 2.0]]
    made = [shortest().override({"model.weights": value}) for value in values]
    assert [config.section("model")["weights"] for config in made] == values
    assert len({fingerprints(config, "content")["train"] for config in made}) == len(values)


def test_the_plan_needs_only_what_comes_before() -> None:
    names = [stage.name for stage in PLAN]
    for place, stage in enumerate(PLAN):
        assert set(stage.needs) <= set(names[:place])
