"""What is to be reached on each published set, and one run of its recipe: `pipeline run` in a process of its own."""

from __future__ import annotations

import json
import statistics
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.published_table import Boosted, boosted, write_table
from benchmarks.report import note, timed

RECIPES = Path(__file__).with_name("published")
# Of the set that is made here.
MADE = "table"
# How many times as long as gradient boosting the training on it may take.
TIMES_BOOSTED = 5.0
_SHORT_BUDGET = "5s"


@dataclass(frozen=True)
class Goal:
    """What a set is to reach.

    Attributes:
      name: of the set and of its recipe.
      metric: of the test rows, as `evaluation.json` names it.
      bound: ">= 0.87" or "<= 0.45"; for the mean of the seeds.
      seconds: that a training may take, in the mean; None: no limit, or for the made set that of gradient boosting.
      seeds: at most.
    """

    name: str
    metric: str
    bound: str
    seconds: float | None = None
    seeds: int = 100

    @property
    def recipe(self) -> Path:
        """The config."""
        return RECIPES / f"{self.name}.toml"

    def source(self, data: Path) -> Path:
        """What the recipe reads, absolute."""
        path = tomllib.loads(self.recipe.read_text(encoding="utf-8"))["source"]["path"]
        return (data / path).absolute()


GOALS = (
    Goal("california", "rmse", "<= 0.450", 300),
    Goal("california-long", "rmse", "<= 0.4275", 1200),
    Goal("adult", "accuracy", ">= 0.870", 600),
    Goal("fashion-mnist", "accuracy", ">= 0.930", 900, seeds=1),
    Goal("fashion-mnist-long", "accuracy", ">= 0.940", 3600, seeds=1),
    Goal("banking77", "accuracy", ">= 0.900", 120),
    Goal("banking77-long", "accuracy", ">= 0.915", 600),
    Goal("sms-spam", "f1", ">= 0.950"),
    Goal(MADE, "auc", ">= 0.862"),
)


@dataclass(frozen=True)
class Measured:
    """One seed of one set.

    Attributes:
      metric: on test.
      seconds: from the first step of the training to its end: the making of graphs and validation count.
      stage_seconds: of the whole stage `train`, the start of TensorFlow included.
      epochs: that there was time for.
      boosted: what gradient boosting reached on the same rows, just before; for the made set only.
    """

    metric: float
    seconds: float
    stage_seconds: float
    epochs: float
    boosted: Boosted | None = None


def measure(goal: Goal, data: Path, folder: Path, seeds: int, short: bool) -> list[Measured]:
    """Every seed of a set, one after another.

    Args:
      goal: of the set.
      data: the folder of all sets.
      folder: for the runs. What stands there already is not done again.
      seeds: how many, from 0 on; the set's own number is the most.
      short: a budget of some seconds.

    Raises:
      RuntimeError: a run failed, or gave no such metric.
    """
    found = []
    for seed in range(min(seeds, goal.seeds)):
        own = folder / goal.name / str(seed)
        own.mkdir(parents=True, exist_ok=True)
        source = goal.source(folder if goal.name == MADE else data)
        if goal.name == MADE and not source.exists():
            write_table(source)
        beside = boosted(source, seed) if goal.name == MADE else None
        found.append(run(goal, source, own, seed, short, beside))
        one = found[-1]
        note(f"{goal.name}, seed {seed}: {goal.metric} {one.metric:.4f}, {one.seconds:.0f} s, {one.epochs:.1f} epochs")
    return found


def run(goal: Goal, source: Path, own: Path, seed: int, short: bool, beside: Boosted | None = None) -> Measured:
    """The command, in a folder of its own, so that no seed knows what another one held out."""
    options = [f"seed={seed}", f"source.path={json.dumps(str(source))}"]
    options += [f"train.budget={_SHORT_BUDGET}"] if short else []
    sets = [part for option in options for part in ("--set", option)]
    command: list[str | Path] = [sys.executable, "-m", "pipeline", "run", goal.recipe, *sets]
    command += ["--until", "evaluate", "--quiet", "--json"]
    _, _, said = timed(command, own)
    stages = {stage["stage"]: stage for stage in json.loads(said.splitlines()[-1])["stages"]}
    evaluation = _read(stages, "evaluate", "evaluation.json")
    if goal.metric not in evaluation["metrics"]:
        raise RuntimeError(f'evaluation.json has no "{goal.metric}", only {", ".join(evaluation["metrics"])}')
    manifest, used = _read(stages, "train", "manifest.json"), _read(stages, "train", "config.json")["used"]
    return Measured(evaluation["metrics"][goal.metric], used["seconds"], manifest["seconds"], used["epochs"], beside)


def limit_of(goal: Goal, found: list[Measured]) -> float | None:
    """Seconds that a training may take in the mean; None: any."""
    beside = [one.boosted.seconds for one in found if one.boosted]
    return TIMES_BOOSTED * statistics.mean(beside) if beside else goal.seconds


def _read(stages: dict[str, Any], stage: str, name: str) -> dict[str, Any]:
    text = (Path(stages[stage]["directory"]) / name).read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found
