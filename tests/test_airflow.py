"""The DAG file run by a real Airflow, in an environment of its own as Airflow's documentation recommends."""

from __future__ import annotations

import ast
import fcntl
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.plan import PLAN

ROOT = Path(__file__).resolve().parents[1]
LOCK_FILE = ROOT / "requirements-airflow.lock"
STAGES = [stage.name for stage in PLAN]
WHEN = "2026-01-02T03:04:05+00:00"


@pytest.fixture(scope="session")
def airflow() -> Path:
    """Airflow's command. Its environment is made once per lock file; the stamp, written last, says it is whole."""
    folder = ROOT / ".cache" / f"airflow-{hashlib.sha256(LOCK_FILE.read_bytes()).hexdigest()[:16]}"
    folder.parent.mkdir(exist_ok=True)
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "ready").exists():
            _run(sys.executable, "-m", "venv", "--clear", folder)
            pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            _run(*pip, "--require-hashes", "--no-deps", "-r", LOCK_FILE)
            (folder / "ready").touch()
    return folder / "bin" / "airflow"


def test_every_task_of_the_plan_succeeds(airflow: Path, tmp_path: Path) -> None:
    config = tmp_path / "configs" / "digits.toml"
    config.parent.mkdir()
    config.write_text(_cut_short((ROOT / "configs" / "digits.toml").read_text(encoding="utf-8")), encoding="utf-8")
    dag_file = _write_dag(config, tmp_path)

    assert _imported(dag_file) == {"datetime", "airflow"}
    result, states = _test_dag(airflow, "digits", tmp_path)

    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert states == dict.fromkeys(STAGES, "success")
    assert (tmp_path / "saved_models" / "digits" / "1" / "saved_model.pb").is_file()


def test_a_failing_stage_fails_the_run(airflow: Path, tmp_path: Path) -> None:
    folder = tmp_path / 'it\'s "one" folder'  # names that a shell and a Python file must quote
    folder.mkdir()
    (folder / "rows.csv").write_text("size,species\n" + "".join(f"{i},k{i % 2}\n" for i in range(60)), encoding="utf-8")
    config = folder / "broken.toml"
    config.write_text('source = "rows.csv"\nlabel = "speceis"\n', encoding="utf-8")
    _write_dag(config, folder)

    result, states = _test_dag(airflow, "broken", folder)

    assert result.returncode != 0
    assert 'Did you mean "species"?' in result.stdout  # our error stands in Airflow's log
    assert states == {stage: "failed" if stage == "ingest" else "upstream_failed" for stage in STAGES}
    assert not (folder / "saved_models").exists()


def _cut_short(config: str) -> str:
    for key, value in (("trials", 1), ("epochs", 1), ("width", 4)):
        config, found = re.subn(rf"^{key} = \d+", f"{key} = {value}", config, flags=re.MULTILINE)
        assert found, f"configs/digits.toml sets no {key}"
    return config


def _write_dag(config: Path, folder: Path) -> Path:
    _run(sys.executable, "-m", "pipeline", "dag", config.relative_to(folder), cwd=folder)
    return folder / "dags" / f"{config.stem}.py"


def _test_dag(airflow: Path, name: str, folder: Path) -> tuple[subprocess.CompletedProcess[str], dict[str, str]]:
    """One run of the DAG -> what `airflow dags test` gave, and the state that Airflow keeps of every task."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW")} | {
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    _run(airflow, "db", "migrate", env=env, cwd=folder)
    # Without a terminal the log has no colours; the exit code is 1 when the run failed (Airflow 3.3).
    command = [airflow, "dags", "test", name, WHEN]
    result = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, timeout=600)
    states = _run(airflow, "tasks", "states-for-dag-run", name, WHEN, "--output", "json", env=env, cwd=folder)
    # Warnings may stand before the JSON.
    rows = json.loads(states[states.index("[{") :])
    return result, {row["task_id"]: row["state"] for row in rows}


def _imported(file: Path) -> set[str]:
    """The top-level packages that a Python file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


def _run(*command: str | Path, **options: object) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout
