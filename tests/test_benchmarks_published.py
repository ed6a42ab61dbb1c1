"""The recipes of `benchmarks/published/`, the made table, and what the benchmark prints. Nothing is trained here."""

from __future__ import annotations

from pathlib import Path

import pyarrow.csv
import pytest

from benchmarks import published
from benchmarks.published import Row, markdown
from benchmarks.published_run import GOALS, RECIPES, Goal, Measured, limit_of
from benchmarks.published_table import Boosted, write_table
from pipeline.components import check_training, source_of, split_of
from pipeline.config import load_config


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: goal.name)
def test_a_recipe_is_a_config_that_fits_its_goal(goal: Goal) -> None:
    config = load_config(goal.recipe)
    check_training(config, has_images=goal.name.startswith("fashion"))
    source_of(config)
    split_of(config, recognized="split")
    assert config.tune.trials == 0
    budget = config.train.budget_seconds
    assert budget is not None
    assert budget < (goal.seconds or 3600)


def test_there_is_a_goal_for_every_recipe() -> None:
    assert {path.stem for path in RECIPES.glob("*.toml")} == {goal.name for goal in GOALS}


def test_short_tables_begin_as_long_ones_and_keep_their_shares(tmp_path: Path) -> None:
    tables = []
    for rows in (1_000, 20_000):
        write_table(tmp_path / "table.csv", rows)
        tables.append(pyarrow.csv.read_csv(tmp_path / "table.csv"))
    short, long = (table.drop_columns(["split"]) for table in tables)
    assert short.equals(long.slice(0, 1_000))
    sides = tables[1]["split"].to_pylist()
    assert [sides.count(side) for side in ("train", "validation", "test")] == [14_400, 1_600, 4_000]
    assert 0.4 < sum(long["label"].to_pylist()) / 20_000 < 0.6


def measured(*metrics: float, seconds: float = 10.0, boosted: Boosted | None = None) -> list[Measured]:
    return [Measured(metric, seconds, seconds + 2, 5.0, boosted) for metric in metrics]


@pytest.mark.parametrize(
    ("metrics", "seconds", "holds"),
    [((0.88, 0.90), 10.0, "yes"), ((0.86, 0.87), 10.0, "NO"), ((0.88, 0.90), 61.0, "NO")],
)
def test_a_row_holds_if_the_mean_and_the_time_do(metrics: tuple[float, ...], seconds: float, holds: str) -> None:
    row = Row(Goal("adult", "accuracy", ">= 0.870", 60), measured(*metrics, seconds=seconds))
    assert row.cells()[-1] == holds
    assert row.cells()[2].startswith(f"{sum(metrics) / 2:.4f} ± 0.0")


def test_gradient_boosting_sets_the_limit_of_the_made_table() -> None:
    goal, found = Goal("table", "auc", ">= 0.862"), measured(0.87, boosted=Boosted(0.83, 1.5))
    assert limit_of(goal, found) == 7.5
    row = Row(goal, found)
    assert row.cells()[-1] == "NO"  # 10 s are more
    assert "0.8300" in (row.footnote() or "")


def test_a_failed_run_stays_in_the_table_and_folders_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["published", "--data", "/home/me/sets", "--seeds", "3", "--markdown"])
    command = published._command()
    assert command == "python -m benchmarks.published --data DATA --seeds 3 --markdown"
    text = markdown([Row(GOALS[0], []), Row(GOALS[2], measured(0.9))], command)
    assert "| california | rmse | failed |" in text
    assert "| adult | accuracy | 0.9000 | 1 | >= 0.870 | 10.0 s | 600 s | yes |" in text
    assert f"Command: `{command}`" in text
