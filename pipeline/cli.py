"""The command line: `pipeline VERB`. A stage, and with it TensorFlow, is imported only inside its command.

Exit codes: 0 done; 1 a fault of ours; 2 config or usage; 3 data; 4 training; 5 tuning; 6 export; 7 run
directory; 130 interrupted.
"""

from __future__ import annotations

import json
import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from pipeline import __version__

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.progress import Reporter
    from pipeline.runner import Result
    from pipeline.tuning.address import Address

app = typer.Typer(
    help="From raw rows to an evaluated SavedModel. Begin with: pipeline init PATH",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # the rich help costs a quarter of a second
)

# The names of PLAN, repeated so that --help need not load the config's models; a test holds them equal.
StageName = StrEnum("StageName", ["ingest", "split", "prepare", "tune", "train", "evaluate", "export"])

ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG", help="The TOML file of the experiment.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key, e.g. train.epochs=5.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object last, and nothing else on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only warnings and errors.")]


@app.command()
def run(
    config: ConfigPath,
    until: Annotated[StageName | None, typer.Option(help="Stop after this stage.")] = None,
    set_: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run every stage that is not done yet."""
    from pipeline import runner

    reporter = _reporter(quiet)
    loaded = _load(config, set_)
    _show(runner.run(loaded, reporter, until=until.value if until else None), as_json, quiet)


@app.command()
def tune(
    config: ConfigPath,
    more: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="So many more trials than the last search of this config.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Only go on with a search that was interrupted.")] = False,
    chief: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Hand the trials to workers, and listen for them there.")
    ] = None,
    worker: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Train trials of the search whose chief listens there.")
    ] = None,
    set_: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run up to the search for hyperparameters, alone or with workers on other machines."""
    from pipeline import runner
    from pipeline.tuning import beforehand
    from pipeline.tuning.address import Address, listening_at

    reporter, loaded = _reporter(quiet), _load(config, set_)
    beforehand.check_options(loaded, {"--worker": worker, "--chief": chief, "--more": more, "--resume": resume})
    address = Address.parse(chief, "--chief") if chief else None
    if worker:
        _work(loaded, Address.parse(worker, "--worker"), reporter, as_json)
        return
    if more or resume:
        run, found = runner.places(loaded)
        loaded = beforehand.extended(loaded, more, run, found["prepare"]) if more else loaded
        if resume:
            beforehand.check_interrupted(loaded, run, found["tune"])
    with listening_at(address):
        _show(runner.run(loaded, reporter, until="tune"), as_json, quiet)
    if more:
        sets = [*(set_ or []), f"tune.trials={loaded.tune.trials}"]
        reporter.note(f"next: pipeline run {config} {shlex.join(part for one in sets for part in ('--set', one))}")


@app.command()
def stage(
    name: Annotated[
        StageName, typer.Argument(metavar="STAGE", help="ingest, split, prepare, tune, train, evaluate, export.")
    ],
    config: ConfigPath,
    set_: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run one stage alone, as an orchestrator does."""
    from pipeline import runner

    loaded = _load(config, set_)
    _show(runner.run_stage(loaded, _reporter(quiet), name.value), as_json, quiet)


@app.command()
def status(config: ConfigPath, set_: Set = None, as_json: Json = False) -> None:
    """Show what is done, stale or missing, and where."""
    from pipeline import runner
    from pipeline.tables import show_status

    states = runner.status(_load(config, set_))
    if as_json:
        rows = [
            {"stage": s.stage, "state": s.state, "directory": str(s.directory), "seconds": s.seconds} for s in states
        ]
        print(json.dumps({"stages": rows}))
    else:
        show_status(states)


@app.command()
def init(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="A file of rows (CSV, Parquet, JSON lines, ...), or a folder of files, images or texts.",
        ),
    ],
    label: Annotated[str | None, typer.Option(help="The column to predict.")] = None,
    output: Annotated[Path | None, typer.Option(help="The config to write; default: configs/NAME.toml.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing config.")] = False,
) -> None:
    """Look at the data and write a commented config for them."""
    from pipeline.starter import write_config

    written = write_config(path, label=label, output=output, force=force)
    for line in written.findings:
        print(line)
    print(f"wrote {written.path}")
    print(f"next: pipeline run {written.path}")


@app.command()
def stats(
    config: ConfigPath,
    html: Annotated[
        Path | None, typer.Option(help="The page to write; default: statistics.html beside the run.")
    ] = None,
    set_: Set = None,
    quiet: Quiet = False,
) -> None:
    """Show statistics of every column, side by side for train, validation and test, and draw them to a page."""
    from rich.console import Console

    from pipeline.runner import statistics
    from pipeline.statistics_table import show_statistics

    found = statistics(_load(config, set_), _reporter(quiet), html)
    show_statistics(found.sides, Console(highlight=False))
    print(f"wrote {found.page}")


class _ImagesCommand(TyperCommand):
    """Lets `--images` stand alone or with the file to write, which typer's options cannot."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Gives a lone `--images` an empty value; only what ends in .png is taken for its file."""
        for place in [place for place, one in enumerate(args) if one == "--images"][::-1]:
            if not "".join(args[place + 1 : place + 2]).lower().endswith(".png"):
                args = [*args[: place + 1], "", *args[place + 1 :]]
        return super().parse_args(ctx, args)


@app.command(cls=_ImagesCommand)
def preview(
    config: ConfigPath,
    rows: Annotated[int, typer.Option(help="Rows of the batch that are shown with their values.")] = 3,
    epoch: Annotated[int, typer.Option(help="Of which the first batch is shown; counted from 0.")] = 0,
    row: Annotated[int | None, typer.Option(help="A row of train: what the epoch does to it.")] = None,
    images: Annotated[
        str | None,
        typer.Option(metavar="[FILE.png]", help="Draw a sheet of pictures; default: preview.png beside the run."),
    ] = None,
    set_: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show one train batch in every step: raw, encoded, and after each augmentation."""
    from rich.console import Console

    from pipeline import inspection

    seen = inspection.preview(
        _load(config, set_),
        _reporter(quiet),
        rows=rows,
        epoch=epoch,
        row=row,
        sheet=images is not None,
        sheet_path=Path(images) if images else None,
    )
    from pipeline.preview_table import show_preview

    if as_json:
        print(json.dumps(_finite(seen.to_json())))
    else:
        show_preview(seen, Console(highlight=False))


@app.command()
def profile(
    config: ConfigPath,
    seconds: Annotated[float, typer.Option(help="Of measuring; all in all it takes some more.")] = 2.0,
    apply: Annotated[bool, typer.Option("--apply", help="Write what is recommended into CONFIG.")] = False,
    set_: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure what waits in a training, the feed or the model, and recommend what would help."""
    from rich.console import Console

    from pipeline import inspection

    found = inspection.profile(_load(config, set_), _reporter(quiet), seconds=seconds)
    from pipeline import profiling
    from pipeline.profile_table import show_changes, show_profile

    console = Console(highlight=False)
    if not as_json:
        show_profile(found, console)
    changes = profiling.apply(config, [(one.key, one.value) for one in found.recommended]) if apply else []
    if as_json:
        print(json.dumps(_finite({**found.to_json(), "applied": [vars(change) for change in changes]})))
    elif apply:
        show_changes(config, changes, console)


@app.command()
def predict(
    saved_model: Annotated[Path, typer.Argument(metavar="SAVED_MODEL", help="saved_models/NAME or one version of it.")],
    rows: Annotated[
        Path,
        typer.Argument(metavar="ROWS", help="CSV, TSV, JSON lines, Parquet, Arrow; also images."),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help=".csv, .tsv or .parquet; default: CSV on stdout.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Answer raw rows with an exported model."""
    from pipeline.tensorflow_import import import_tensorflow

    import_tensorflow()
    from pipeline.export.predict import predict as answer

    reporter = _reporter(quiet)
    table = answer(saved_model, rows, output, reporter)
    if output is None:
        import pyarrow.csv

        pyarrow.csv.write_csv(table, sys.stdout.buffer, pyarrow.csv.WriteOptions(quoting_style="needed"))
    else:
        reporter.note(f"{table.num_rows} rows answered in {output}")


@app.command()
def dag(
    config: ConfigPath,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write; default: dags/NAME.py.")
    ] = None,
    schedule: Annotated[str | None, typer.Option(help="A cron expression or @daily; default: only by hand.")] = None,
) -> None:
    """Write an Airflow 3 DAG with one task a stage."""
    from pipeline.dag import write_dag

    print(f"wrote {write_dag(config, _load(config, None), output=output, schedule=schedule)}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of the config, for editors."""
    from pipeline.config import json_schema

    print(json.dumps(json_schema(), indent=2))


def _version(wanted: bool) -> None:
    if wanted:
        print(f"pipeline {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """The entry point: errors of ours as text, with their exit code; anything else as a traceback."""
    from pipeline.errors import PipelineError

    try:
        app()
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)


def _load(path: Path, overrides: list[str] | None) -> Config:
    from pipeline.config import load_config

    return load_config(path, overrides or [])


def _work(config: Config, address: Address, reporter: Reporter, as_json: bool) -> None:
    from pipeline import runner
    from pipeline.tuning import beforehand, worker

    prepared = next(state for state in runner.status(config) if state.stage == "prepare")
    directory = beforehand.prepared_of(config, prepared.directory, prepared.state == "done")
    trained = worker.work(config, directory, directory.parents[1], address, reporter)
    reporter.note(f"trained {trained} trials for the chief at {address}")
    if as_json:
        print(json.dumps({"name": config.name, "trials": trained}))


def _reporter(quiet: bool) -> Reporter:
    from pipeline.progress import Reporter

    return Reporter(quiet=quiet)


def _show(result: Result, as_json: bool, quiet: bool) -> None:
    if not quiet:
        from pipeline.tables import show_result

        show_result(result, error_stream=as_json)
    if as_json:
        print(json.dumps(_finite(result.to_json())))


def _finite(value: Any) -> Any:
    """JSON knows no NaN."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and value != value else value
