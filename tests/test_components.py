"""The named parts of a config: kinds told from paths, the split that is meant, own code in fingerprints."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.components import source_of, split_of
from pipeline.config import Config, parse
from pipeline.data.sources import Csv, ImageFolder, Parquet
from pipeline.data.split import Given, Stratified
from pipeline.errors import ConfigError
from pipeline.plan import PLAN, fingerprints
from pipeline.resolve import code_hashes


def config(**keys: object) -> Config:
    return parse({"name": "c", "source": "rows.csv", **keys}, origin="test")


@pytest.mark.parametrize(("path", "kind"), [("a.csv", Csv), ("a.TSV", Csv), ("a.parquet", Parquet), ("a.pq", Parquet)])
def test_the_kind_of_a_source_is_told_by_its_ending(path: str, kind: type) -> None:
    assert type(source_of(config(source=path))) is kind


def test_a_folder_is_a_folder_of_images(tmp_path: Path) -> None:
    assert source_of(config(source=str(tmp_path))) == ImageFolder(str(tmp_path), "label")


def test_a_source_of_unknown_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.xyz").touch()
    with pytest.raises(ConfigError, match="cannot be told from its ending"):
        source_of(config(source=str(tmp_path / "rows.xyz")))


def test_a_recognized_split_column_is_used_unless_shares_are_written_down() -> None:
    assert split_of(config(), recognized="split") == Given()
    assert split_of(config(), recognized=None) == Stratified()
    assert split_of(config(split={"column": "fold"}), recognized=None) == Given(column="fold")
    shares = {"train": 0.8, "validation": 0.1, "test": 0.1}
    assert split_of(config(split=shares), recognized="split") == Stratified(**shares)


def test_own_code_counts_in_the_fingerprints_of_the_stages_that_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    own = config(model="fingerprinted_nets:net")
    found = []
    for code in ("def net(spec): return 1\n", "def net(spec): return 2\n"):
        (tmp_path / "fingerprinted_nets.py").write_text(code)
        found.append(fingerprints(own, "source", code_hashes))
    changed = [stage.name for stage in PLAN if found[0][stage.name] != found[1][stage.name]]
    assert changed == ["tune", "train", "evaluate", "export"]


def test_code_that_does_not_exist_and_paths_with_a_colon_are_no_code() -> None:
    assert code_hashes({"a": "no_such_module:thing", "b": ["C:\\rows.csv", "12:30", "plain"]}) == {}
