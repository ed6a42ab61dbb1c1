"""Workers and their chief: the trials of one process, whoever is killed, cut off or of another mind."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import load_config
from pipeline.context import Context
from pipeline.errors import ConfigError
from pipeline.progress import silent
from pipeline.tuning import beforehand
from pipeline.tuning.agreement import agreement
from pipeline.tuning.service import serving
from tests.chiefs import LOCALHOST, chief_of, free_port
from tests.helpers import cli, last_json, ok, wait_until

CONFIG = """
source = { name = "ScikitLearn", dataset = "iris" }
model = { name = "mlp", width = 8, depth = 1 }
resume = { checkpoint_seconds = 0.2 }

[train]
epochs = 2
batch_size = 32

[tune]
trials = 6
epochs = 150
patience = 150
finalists = 0

[tune.space]
"train.learning_rate" = { min = 0.0001, max = 0.01, log = true }
"model.dropout" = [0.0, 0.2]
"""
SPACE = {"model.depth": {"min": 1, "max": 100}}


@pytest.fixture(scope="module")
def one_process(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[int, dict[str, Any]]]:
    """A folder with prepared data, and the trials that one process finds."""
    folder = tmp_path_factory.mktemp("one")
    (folder / "iris.toml").write_text(CONFIG)
    ok(cli(folder, "run", "iris.toml", "--until", "prepare", "--quiet"))
    whole = folder.with_name("whole")
    shutil.copytree(folder, whole)
    ok(cli(whole, "tune", "iris.toml", "--quiet"))
    return folder, trials_in(whole)


@pytest.fixture
def folder(one_process: tuple[Path, Any], tmp_path: Path) -> Path:
    shutil.copytree(one_process[0], tmp_path / "here")
    return tmp_path / "here"


def trials_in(folder: Path) -> dict[int, dict[str, Any]]:
    [found] = (folder / "runs" / "iris" / "tune").glob("*/trials.json")
    best = json.loads(found.with_name("best.json").read_text())
    trials = {trial["number"]: trial for trial in json.loads(found.read_text())}
    assert best == min(trials.values(), key=lambda trial: trial["score"])["overrides"]
    return trials


def assert_equal_trials(found: dict[int, dict[str, Any]], expected: dict[int, dict[str, Any]]) -> None:
    assert len(expected) == 6
    assert found.keys() == expected.keys()
    for number, trial in found.items():
        assert trial["overrides"] == expected[number]["overrides"]
        assert trial["score"] == pytest.approx(expected[number]["score"], rel=1e-3)
        assert len(trial["history"]) == len(expected[number]["history"])


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", "tune", "iris.toml", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "COLUMNS": "200"},
    )


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in found.read_text().split()] if found.exists() else []


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and waits to be buried does not."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="finds processes in /proc")
def test_a_worker_and_the_chief_are_killed_and_nothing_changes(folder: Path, one_process: tuple[Path, Any]) -> None:
    moments = random.Random(20261124)
    chief = start(folder, "--set", "tune.workers=2")
    with chief:
        wait_until(lambda: list(folder.glob("runs/iris/.checkpoints/tune-*/worker-*/")))
        time.sleep(moments.uniform(0.0, 1.0))
        workers = children(chief.pid)
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)
        wait_until(lambda: len(set(children(chief.pid)) - {workers[0]}) == 2 or chief.poll() is not None)
        time.sleep(moments.uniform(0.0, 1.0))
        orphans = children(chief.pid)
        assert chief.poll() is None
        chief.kill()
        chief.communicate()
    assert len(orphans) == 2
    wait_until(lambda: not any(map(is_alive, orphans)), seconds=10)

    again = cli(folder, "tune", "iris.toml", "--resume", "--set", "tune.workers=2", "--json")

    assert last_json(again)["stages"][-1]["summary"]["trials"] == 6
    assert_equal_trials(trials_in(folder), one_process[1])
    assert not list(folder.glob("runs/iris/.checkpoints"))


def test_workers_from_elsewhere_find_what_one_process_finds(
    folder: Path, one_process: tuple[Path, Any], tmp_path: Path
) -> None:
    shutil.copytree(folder, elsewhere := tmp_path / "elsewhere")
    address = f"127.0.0.1:{free_port()}"
    workers = [start(elsewhere, "--worker", address, "--json") for _ in range(2)]  # they wait for their chief
    chief = start(folder, "--chief", address, "--set", "tune.workers=2")
    _, said = chief.communicate(timeout=120)
    trained = [last_json(ended(worker)) for worker in workers]

    assert chief.returncode == 0, said
    assert f"listens at {address}" in said
    assert [one["name"] for one in trained] == ["iris", "iris"]
    assert sum(one["trials"] for one in trained) == 6
    assert all(one["trials"] for one in trained)
    assert_equal_trials(trials_in(folder), one_process[1])
    assert not list(elsewhere.glob("runs/iris/.checkpoints"))


def ended(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    out, error = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, error)


def test_a_worker_of_another_config_is_refused_and_one_of_the_same_trains(folder: Path) -> None:
    from pipeline.model_steps import space_of, spec_of
    from pipeline.tuning.journals import header_of
    from pipeline.tuning.stage import search_of
    from pipeline.tuning.worker import work

    config = load_config(folder / "iris.toml", ["tune.epochs=2", "tune.trials=2", f'runs="{folder / "runs"}"'])
    run = folder / "runs" / "iris"
    [prepared] = (run / "prepare").iterdir()
    context = Context(config, {"prepare": prepared}, folder, "1a2b", silent(), run)
    spec = spec_of(context)
    space = space_of(config, spec)
    about = {"fingerprint": "1a2b", "agreement": agreement(context, header_of(context, space))}
    chief = chief_of(search_of(config, spec, space, None), about=about)
    other = config.override({"train.optimizer.name": "SGD"})
    with serving(chief, LOCALHOST) as address:
        with pytest.raises(ConfigError, match=r'train\.optimizer\.name is "SGD" here and "auto" there'):
            work(other, prepared, run, address, silent(), patience=5)
        assert chief.workers == []
        longer = config.override({"train.epochs": 7, "tune.trials": 50, "tune.workers": 3})  # what changes no trial

        assert work(longer, prepared, run, address, silent(), patience=5) == 2

    assert chief.is_done
    assert [len(trial.outcome.history) for trial in chief.search.trials] == [2, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"--worker": "h:1", "--resume": True}, "--worker stands alone, and --resume"),
        ({"--worker": "h:1", "--chief": "h:1"}, "--worker stands alone, and --chief"),
        ({"--more": 3, "--resume": True}, "--more begins a longer search"),
    ],
)
def test_options_that_contradict_one_another_are_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "iris.toml").write_text(CONFIG)
    with pytest.raises(ConfigError, match=message):
        beforehand.check_options(load_config(tmp_path / "iris.toml"), options)


def test_more_and_resume_need_a_search_to_go_on_with(folder: Path) -> None:
    more = cli(folder, "tune", "iris.toml", "--more", "3")
    resume = cli(folder, "tune", "iris.toml", "--resume")
    worker = cli(folder, "tune", "iris.toml", "--worker", "127.0.0.1:1", "--set", "seed=5")

    assert more.returncode == resume.returncode == worker.returncode == 2
    assert "no finished search to go on with" in more.stderr
    assert "no interrupted search of this config" in resume.stderr
    assert '"prepare" is not done for this config here' in worker.stderr


def test_more_goes_on_with_the_trials_that_are_done(one_process: tuple[Path, Any], tmp_path: Path) -> None:
    shutil.copytree(one_process[0].with_name("whole"), folder := tmp_path / "here")
    more = ok(cli(folder, "tune", "iris.toml", "--set", "tune.finalist_seeds=1", "--more", "2"))
    newest = max((folder / "runs" / "iris" / "tune").glob("*/trials.json"), key=lambda path: path.stat().st_mtime)
    found = {trial["number"]: trial for trial in json.loads(newest.read_text())}

    assert sorted(found) == [*range(8)]
    assert all(found[number] == trial for number, trial in one_process[1].items())
    assert "goes on with 6 trials that are done" in more.stderr
    assert more.stderr.endswith("next: pipeline run iris.toml --set tune.finalist_seeds=1 --set tune.trials=8\n")


def test_the_rungs_of_hyperband_rise_among_workers_as_in_one_process(folder: Path) -> None:
    rungs = ["--set", "tune.algorithm=hyperband", "--set", "tune.epochs=9", "--set", "tune.trials=16", "--quiet"]
    found = []
    for workers in ("1", "2"):
        here = folder.with_name(f"by {workers}")
        shutil.copytree(folder, here)
        ok(cli(here, "tune", "iris.toml", *rungs, "--set", f"tune.workers={workers}"))
        [tuned] = (here / "runs" / "iris" / "tune").iterdir()
        trials = {trial["number"]: trial for trial in json.loads((tuned / "trials.json").read_text())}
        found.append((trials, json.loads((tuned / "tuning.json").read_text())["winner"]))
    (alone, winner), (shared, its_winner) = found
    assert shared.keys() == alone.keys()
    assert winner == its_winner
    children = [trial for trial in alone.values() if trial["parent"] is not None]
    assert {trial["first_epoch"] for trial in children} >= {1, 3}
    for number, trial in shared.items():
        for key in ("overrides", "parent", "epochs", "first_epoch", "seeds"):
            assert trial[key] == alone[number][key]
        assert trial["history"] == pytest.approx(alone[number]["history"], rel=1e-3)
