"""An Airflow 3 DAG generated from `PLAN`: one task a stage, each a call of `pipeline stage`.

The file that is written imports Airflow and nothing else, so a scheduler parses it in milliseconds and needs
neither this package nor TensorFlow in its own environment.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from pipeline.config import Config
from pipeline.errors import RunError
from pipeline.plan import PLAN

_TEMPLATE = '''"""{name}: written by `pipeline dag`. Write it again when the plan changes; edit the config, not this."""

from datetime import datetime

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

PIPELINE = {command!r}  # the environment that holds TensorFlow
FOLDER = {folder!r}  # where runs and saved_models go
CONFIG = {config!r}

with DAG(
    dag_id={name!r},
    schedule={schedule!r},
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,  # a run directory admits one process
    tags=["pipeline"],
):
    tasks = {{
        stage: BashOperator(
            task_id=stage, bash_command=f"{{PIPELINE}} stage {{stage}} {{CONFIG}} --quiet", cwd=FOLDER, append_env=True
        )
        for stage in {stages!r}
    }}
{edges}
'''


def dag_source(config_path: Path, config: Config, *, schedule: str | None = None) -> str:
    """The text of the DAG file.

    Args:
      config_path: the config that every task is given.
      config: the same, loaded: its name becomes the DAG's.
      schedule: a cron expression or an Airflow preset such as "@daily"; None: started by hand.
    """
    edges = "\n".join(f'    tasks["{need}"] >> tasks["{stage.name}"]' for stage in PLAN for need in stage.needs)
    return _TEMPLATE.format(
        name=config.name,
        command=f"{shlex.quote(sys.executable)} -m pipeline",
        folder=str(Path.cwd()),
        config=shlex.quote(str(config_path.absolute())),
        schedule=schedule,
        stages=[stage.name for stage in PLAN],
        edges=edges,
    )


def write_dag(config_path: Path, config: Config, *, output: Path | None = None, schedule: str | None = None) -> Path:
    """Writes the DAG file, by default `dags/<name>.py`, and returns its path.

    Raises:
      RunError: it cannot be written.
    """
    path = output or Path("dags") / f"{config.name}.py"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dag_source(config_path, config, schedule=schedule), encoding="utf-8")
    except OSError as error:
        raise RunError(
            f"{path} cannot be written: {error.strerror}.", fix="Choose another file with --output."
        ) from error
    return path
