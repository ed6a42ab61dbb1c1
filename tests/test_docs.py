"""The documentation is true where that can be checked: links, configs, verbs, keys with their defaults."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from typer.main import get_command

from pipeline.cli import app
from pipeline.config import Config, load_config
from pipeline.config_sections import Component

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SMALL_PAGES = [ROOT / folder / "README.md" for folder in ("configs", "data", "saved_models")]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
FRAGMENT = "# part of a config"


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def code(page: Path) -> str:
    """What stands in fences and between backticks: prose may say "pipeline" and mean the word."""
    text = page.read_text(encoding="utf-8")
    fences = re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    rest = re.sub(r"^```\w*\n.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return "\n".join([*fences, *re.findall(r"`([^`\n]+)`", rest)])


def anchors(page: Path) -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every key of the config, dotted, and its default as the table spells it."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel) and not issubclass(kind, Component):
            yield from keys(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", spelled(field.default)


def spelled(default: object) -> str:
    if default is PydanticUndefined:
        return "required"
    if default is None:
        return "none"
    if isinstance(default, Component):
        assert not default.arguments
        default = default.name
    return f"`{json.dumps(list(default) if isinstance(default, tuple) else default)}`"


@pytest.mark.parametrize("page", [*PAGES, *SMALL_PAGES], ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_resolves(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_config_loads(page: Path, tmp_path: Path) -> None:
    for number, block in enumerate(blocks(page, "toml")):
        file = tmp_path / f"config_{number}.toml"
        file.write_text('source = "rows.csv"\n' + block if block.startswith(FRAGMENT) else block, encoding="utf-8")
        load_config(file)


def test_there_are_configs_to_load() -> None:
    assert sum(len(blocks(page, "toml")) for page in PAGES) >= 5


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_verb_exists(page: Path) -> None:
    verbs = re.findall(r"(?:^|(?<!from)[\s/`])pipeline ([a-z]+)\b", code(page))

    assert set(verbs) <= set(get_command(app).commands)  # type: ignore[attr-defined]


def test_every_verb_is_documented() -> None:
    documented = "\n".join(code(page) for page in PAGES)

    for verb in get_command(app).commands:  # type: ignore[attr-defined]
        assert f"pipeline {verb}" in documented


@pytest.mark.parametrize(("key", "default"), list(keys(Config)))
def test_every_key_is_documented_with_its_default(key: str, default: str) -> None:
    rows = [line.split(" | ") for line in (ROOT / "docs" / "config.md").read_text(encoding="utf-8").splitlines()]
    row = next((row for row in rows if row[0] == f"| `{key}`"), None)

    assert row is not None
    assert row[2] == ("the file's name" if key == "name" else default)


def test_no_documented_key_is_invented() -> None:
    text = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
    tables = text[text.index("## Keys") : text.index("## Components")]

    assert set(re.findall(r"^\| `([^`]+)` \|", tables, re.MULTILINE)) == {key for key, _ in keys(Config)}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_no_page_names_a_place_of_one_machine(page: Path) -> None:
    found = re.findall(r"(?<![\w.}$])/(?:home|root|tmp|work|Users)/\S*", page.read_text(encoding="utf-8"))

    assert not found
