"""Bad input by the command line: a clear error, the right exit code, no traceback, nothing lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.helpers import cli, image_folder, last_json, mixed_rows, ok, sets, write_csv

GOOD = "a,b,y\n" + "".join(f"{i},{'xyz'[i % 3]},{'no' if i % 2 else 'yes'}\n" for i in range(60))


def refused(folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and error of a command that must fail, without a traceback."""
    done = cli(folder, *arguments)
    assert done.returncode != 0, done.stdout
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr


def table(folder: Path, text: str, config: str = 'source = "rows.csv"\nlabel = "y"\n') -> None:
    (folder / "rows.csv").write_text(text)
    (folder / "c.toml").write_text(config)


@pytest.mark.parametrize(
    ("text", "code", "parts"),
    [
        ("", 3, ["rows.csv is empty"]),
        ("a,b,y\n", 3, ["rows.csv has a header but no rows"]),
        (
            GOOD.replace("\n5", "\nabc5"),
            3,
            ["11 of 60 rows", "rows.csv:7", 'column "a": "abc5" is not a number', "under features", "and 6 more"],
        ),
        (GOOD.replace("z,no\n", "z,no,9\n"), 3, ["10 of 60 rows", "rows.csv:7", "4 values", "3 columns"]),
        (GOOD.replace("a,b,y", "a,a,y"), 3, ["rows.csv:1", '"a" 2 times', "columns 1, 2"]),
        (GOOD.replace("a,b,y", "a,b,yy"), 3, ['no column "y"', 'Did you mean "yy"']),
        (GOOD.replace("no", "yes"), 3, ["one class in train", '"yes"']),
        ("a,b,y\n1,x,no\n2,y,yes\n", 3, ["leaves no rows in"]),
    ],
    ids=[
        "empty",
        "header-only",
        "string-in-numbers",
        "ragged",
        "duplicate-header",
        "label-absent",
        "one-class",
        "too-few",
    ],
)
def test_a_bad_table_is_refused(tmp_path: Path, text: str, code: int, parts: list[str]) -> None:
    table(tmp_path, text)
    found, error = refused(tmp_path, "run", "c.toml", "--until", "prepare")
    assert found == code
    assert all(part in error for part in parts), error


def test_a_few_bad_rows_are_set_aside_and_told(tmp_path: Path) -> None:
    table(tmp_path, GOOD.replace("\n5,", "\nabc,").replace("\n7,y,no", "\n7,y,no,9"))
    done = ok(cli(tmp_path, "run", "c.toml", "--until", "prepare"))
    told = "2 bad rows are set aside in quarantine.parquet: not a number (1), a wrong number of values (1)"
    assert told in " ".join(done.stderr.split())
    (aside,) = tmp_path.glob("runs/c/ingest/*/quarantine.parquet")
    rows = [tuple(row.values())[1:] for row in pq.read_table(aside).to_pylist()]
    assert rows == [
        (7, "a", "abc", "not a number"),
        (9, None, "7,y,no,9", "4 values where there are 3 columns"),
    ]
    assert (
        last_json(cli(tmp_path, "run", "c.toml", "--until", "ingest", "--json"))["stages"][0]["summary"]["rows"] == 58
    )


def test_what_stops_the_run_is_listed_beside_it(tmp_path: Path) -> None:
    table(tmp_path, GOOD.replace("\n5", "\nabc5"))
    _, error = refused(tmp_path, "run", "c.toml", "--until", "ingest")
    assert "refused.parquet" in error
    assert pq.read_table(tmp_path / "runs" / "c" / "refused.parquet").num_rows == 11
    assert not list(tmp_path.rglob("manifest.json"))


@pytest.mark.parametrize(
    ("config", "parts"),
    [
        ('source = "rows.csv"\nlable = "y"\n', ["c.toml:2", '"lable"', 'Did you mean "label"']),
        ('source = "rows.csv"\nlabel = "y"\n[train]\nepochs = "5"\n', ["c.toml:4", '"train.epochs"', "'5'", "integer"]),
        ('source = "rows.csv"\nlabel = "y"\nmodel = "mpl"\n', ['no "mpl"', 'Did you mean "mlp"']),
        (
            'source = "rows.csv"\nlabel = "y"\n[model]\nname = "mlp"\ndropuot = 0.1\n',
            ['"dropuot"', 'Did you mean "dropout"'],
        ),
        ('source = "rows.csv"\nlabel = "y"\n[train]\noptimizer = "Adm"\n', ['no "Adm"', 'Did you mean "Adam"']),
        (
            'source = "rows.csv"\nlabel = "y"\n[tune.space]\n"model.dropuot" = [0.1]\n',
            ['"model.dropuot"', '"model.dropout"'],
        ),
        ('source = "rows.csv"\nlabel = "y"\n[train]\naugment = ["Flip"]\n', ["train.augment", "images"]),
        ('source = "rows.csv"\nlabel = "y"\n[split]\ntrain = 0.9\n', ["add up to 1.2"]),
        ('source = "no.xyz"\nlabel = "y"\n', ["no.xyz does not exist"]),
        ('source = "rows.csv\nlabel = "y"\n', ["not valid TOML", "line 1"]),
        ('label = "y"\n', ['"source" is missing']),
    ],
)
def test_a_bad_config_is_refused_before_anything_runs(tmp_path: Path, config: str, parts: list[str]) -> None:
    table(tmp_path, GOOD, config)
    code, error = refused(tmp_path, "run", "c.toml")
    assert code == 2
    assert all(part in error for part in parts), error
    assert not list(tmp_path.rglob("manifest.json"))


def test_missing_files_are_named(tmp_path: Path) -> None:
    table(tmp_path, GOOD, 'source = "row.csv"\nlabel = "y"\n')
    code, error = refused(tmp_path, "run", "c.toml")
    assert code == 3
    assert "row.csv does not exist" in error
    assert "rows.csv" in error
    code, error = refused(tmp_path, "run", "d.toml")
    assert code == 2
    assert "d.toml does not exist" in error
    code, error = refused(tmp_path, "init", "nothing.csv")
    assert code == 3
    assert "nothing.csv does not exist" in error


def test_init_refuses_an_absent_label_and_does_not_overwrite(tmp_path: Path) -> None:
    write_csv(tmp_path / "rows.csv", mixed_rows(50))
    code, error = refused(tmp_path, "init", "rows.csv", "--label", "incme")
    assert code == 3
    assert 'Did you mean "income"' in error
    assert cli(tmp_path, "init", "rows.csv").returncode == 0
    code, error = refused(tmp_path, "init", "rows.csv")
    assert code == 2
    assert "exists already" in error
    assert cli(tmp_path, "init", "rows.csv", "--force").returncode == 0


def test_a_column_of_an_unusable_type_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"when": pa.array([0, 1], pa.duration("s")), "y": ["a", "b"]}), tmp_path / "rows.parquet")
    (tmp_path / "c.toml").write_text('source = "rows.parquet"\nlabel = "y"\n')
    code, error = refused(tmp_path, "run", "c.toml", "--until", "ingest")
    assert code == 3
    assert '"when" is of type duration' in error
    assert 'features.drop = ["when"]' in error


@pytest.mark.parametrize("damage", [b"", b"no image at all", None], ids=["empty", "text", "cut-short"])
def test_a_corrupt_image_is_named(tmp_path: Path, damage: bytes | None) -> None:
    image_folder(tmp_path / "images", 4)
    victim = tmp_path / "images" / "light" / "002.jpg"
    victim.write_bytes(victim.read_bytes()[:-200] if damage is None else damage)
    (tmp_path / "c.toml").write_text('source = "images"\n')
    code, error = refused(tmp_path, "run", "c.toml", "--until", "ingest")
    assert code == 3
    assert str(Path("images", "light", "002.jpg")) in error


def test_an_unreadable_folder_is_named(tmp_path: Path) -> None:
    """As a user without rights, in a namespace of its own where the kernel allows one: root may read anything."""
    image_folder(tmp_path / "images", 2)
    (tmp_path / "c.toml").write_text('source = "images"\n')
    (tmp_path / "images" / "light").chmod(0)
    code = (
        "import os, sys\n"
        "if os.getuid() == 0:\n"
        "    import ctypes\n"
        "    libc = ctypes.CDLL(None, use_errno=True)\n"
        "    for capability in (1, 2):\n"  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        "        assert libc.prctl(24, capability, 0, 0, 0) == 0, ctypes.get_errno()\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'pipeline', 'run', 'c.toml', '--until', 'ingest'])\n"
    )
    try:
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    finally:
        (tmp_path / "images" / "light").chmod(0o755)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert str(Path("images", "light")) in done.stderr
    assert "Permission denied" in done.stderr


def test_an_unwritable_output_folder_is_named_and_nothing_is_lost(tmp_path: Path) -> None:
    table(tmp_path, GOOD)
    (tmp_path / "file").write_text("in the way")
    code, error = refused(tmp_path, "run", "c.toml", "--until", "ingest", *sets('runs="file"'))
    assert code == 7
    assert "file" in error
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_full_disk_is_named_and_the_run_goes_on_later(tmp_path: Path) -> None:
    """A limit on file sizes stands for the disk: the kernel refuses the same writes."""
    table(tmp_path, GOOD)
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))\n"
        "sys.argv = ['pipeline', 'run', 'c.toml', '--until', 'ingest']\n"
        "from pipeline.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 7, done.stderr
    assert "Traceback" not in done.stderr
    assert not [path for path in tmp_path.rglob(".tmp-*") if path.is_dir()]
    assert last_json(cli(tmp_path, "run", "c.toml", "--until", "ingest", "--json"))["stages"][0]["skipped"] is False


def test_a_diverging_training_says_so(tmp_path: Path) -> None:
    table(tmp_path, GOOD)
    overrides = sets("tune.trials=0", "train.epochs=3", "train.learning_rate=1e38", 'train.optimizer="SGD"')
    code, error = refused(tmp_path, "run", "c.toml", *overrides)
    assert code == 4
    assert "learning rate of 1e+38" in error
    assert "train.learning_rate" in error


def test_trials_that_all_fail_stop_the_run_with_the_first_error(tmp_path: Path) -> None:
    space = '"train.learning_rate" = [2e38, 3e38]\n"train.optimizer" = ["SGD"]\n'
    train = '[train]\nlearning_rate = 3e38\nschedule = "constant"\n'
    table(tmp_path, GOOD, f'source = "rows.csv"\nlabel = "y"\n{train}[tune.space]\n{space}')
    code, error = refused(tmp_path, "run", "c.toml", *sets("tune.trials=2", "tune.epochs=2", 'train.optimizer="SGD"'))
    assert code == 5
    assert "All 2 trials failed" in error
    assert "The loss became" in error


NET = """
import keras

def net(spec, *, width: int = 8):
    numbers = keras.Input((spec.num_numeric,), name="numeric")
    return keras.Model({"numeric": numbers}, keras.layers.Dense(spec.num_outputs)(keras.layers.Dense(width)(numbers)))
"""


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        ("tabm", ['"model.width" is 0', "1 or more"]),
        ("nets:net", ['"model": net refuses', "width", "0"]),  # what Keras says of it
    ],
)
def test_a_hyperparameter_that_makes_no_model_is_a_config_error(tmp_path: Path, model: str, parts: list[str]) -> None:
    table(tmp_path, GOOD)
    (tmp_path / "nets.py").write_text(NET)
    code, error = refused(
        tmp_path, "run", "c.toml", *sets("tune.trials=0", f'model={{name="{model}"}}', "model.width=0")
    )
    assert code == 2
    assert all(part in error for part in parts), error
